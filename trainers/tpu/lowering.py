"""A config's training step as the program that a TPU's compiler takes, from shapes alone: no data, no weights."""

import contextlib
import dataclasses
import hashlib
import math
import re

import keras
import tensorflow as tf

from trainers.config import Config
from trainers.data.encoders.base import bytes_as_float
from trainers.data.spec import Spec
from trainers.engine.model_check import check_model
from trainers.engine.optimizers import optimizer_rules
from trainers.engine.state import TrainState
from trainers.engine.step import TrainStep
from trainers.runs.build import make_model, model_arguments, multiply_adds
from trainers.speed.plan import Plan
from trainers.tasks import make_task
from trainers.tpu.tiles import Padded, padded_matrices

_STEPS = 1000  # of the schedule; the program is the same for any number


@dataclasses.dataclass(frozen=True)
class Step:
    """The step of one device, before lowering.

    Attributes:
      batch: examples on the device.
      values: shapes of what the state holds, by kind.
      inputs: shapes of the batch, {"x", "y", "w"}.
      bytes: of "parameters", "optimizer", "batch" and "gradients", from shapes.
      multiply_adds: of one example; None where the model does not say.
      padded: matrices that are no multiple of a tile.
      arguments: of the model, its name among them.
    """

    train: TrainStep
    batch: int
    values: dict
    inputs: dict
    bytes: dict[str, int]
    multiply_adds: int | None
    padded: list[Padded]
    arguments: dict


@dataclasses.dataclass(frozen=True)
class Program:
    """HLO of a step.

    Attributes:
      hlo: serialized.
      aliases: numbers of an input and of the output that takes its place in memory.
      key: the same for the same program, in any process.
    """

    hlo: bytes
    aliases: list[tuple[int, int]]
    key: str


def lowered(config: Config, spec: Spec, batch: int) -> tuple[Step, Program]:
    """The config's step over `batch` examples on one device, and its program.

    Raises:
      ValueError: as make_step and lower.
    """
    step = make_step(config, spec, batch)
    try:
        return step, lower(step)
    except TypeError as error:
        if "out of scope" not in str(error):
            raise
        step = make_step(config, spec, batch, weights=True)  # a layer keeps a tensor that is no variable: it needs its value
        return step, lower(step)


def make_step(config: Config, spec: Spec, batch: int, *, weights: bool = False) -> Step:
    """The config's model, task and optimizer as a step over `batch` examples on one device.

    Args:
      weights: make them, in this machine's memory; else variables are names in a graph, and a net of any size takes none.

    Raises:
      ValueError: what is wrong with the config; shapes that are not static.
    """
    if batch % config.accumulate:
        raise ValueError(f"a device's {batch} examples must be a multiple of accumulate. Received: {config.accumulate}")
    task = make_task(**config.task.to_dict(), spec=spec)
    arguments = model_arguments(config.model.to_dict(), spec, task)
    optimizers = optimizer_rules(config.to_dict()["optimizer"], total_steps=_STEPS)
    with contextlib.nullcontext() if weights else tf.Graph().as_default():
        model = make_model(arguments, config.precision)
        check_model(model, spec, task)
        _check_static(model)
        state = TrainState(model, optimizers, config.seed, task.objectives, task.frozen)
        products = multiply_adds(arguments)
    values = tf.nest.map_structure(lambda v: tf.TensorSpec(v.shape, v.dtype), dict(state.variables))
    inputs = _batch_shapes(spec, batch)
    sizes = {kind: _bytes(specs) for kind, specs in values.items()}
    gradients = sizes["trainable"]
    held = {
        "parameters": sizes["trainable"] + sizes["non_trainable"],
        "optimizer": sizes["optimizer"] + sizes["loss_scale"],
        "batch": _bytes(inputs),
        "gradients": gradients,
    }
    train = TrainStep(state, task, Plan("strategy", "lowered, not run"), config.accumulate, _decode)
    return Step(train, batch, values, inputs, held, products, padded_matrices(model), arguments)


def lower(step: Step) -> Program:
    """The engine's own step of one device. The sum over devices is not in it.

    Raises:
      ValueError: an operation that cannot be compiled, or whose shape depends on values; its name and line.
    """
    nested = (step.values, step.inputs, tf.TensorSpec((), tf.int64))
    indices = _indices(step.values)
    written = []  # numbers of the inputs whose memory the first outputs take

    def program(*flat):
        changes, sums = step.train.advanced(*tf.nest.pack_sequence_as(nested, flat))
        written[:] = [indices[kind, i] for kind, of in changes.items() for i in of]
        return [value for of in changes.values() for value in of.values()], sums

    compiled = Plan("xla", "for a TPU").compile(program)  # flat arguments: nested ones are refused by what follows
    try:
        stages = compiled.experimental_get_compiler_ir(*tf.nest.flatten(nested))
        text, hlo = stages(stage="hlo"), stages(stage="hlo_serialized")
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(_not_lowered(str(error))) from error
    _check_bounded(text)
    return Program(hlo, [(given, i) for i, given in enumerate(written)], _key(text))


def _indices(values: dict) -> dict[tuple[str, int], int]:
    """(kind, index) -> number among the inputs."""
    kinds = {kind: [(kind, i) for i in range(len(specs))] for kind, specs in values.items()}
    flat = [pair for kind in sorted(kinds) for pair in kinds[kind]]  # tf.nest sorts keys
    return {pair: number for number, pair in enumerate(flat)}


def _batch_shapes(spec: Spec, size: int) -> dict:
    images = len(spec.input_shape) == 3  # bytes until the step
    x = tf.TensorSpec((size, *spec.input_shape), tf.int32 if spec.vocab_size else tf.uint8 if images else tf.float32)
    targets = () if spec.target_mean is None or len(spec.target_mean) == 1 else (len(spec.target_mean),)
    y = tf.TensorSpec((size, *targets), tf.int32 if spec.num_classes else tf.float32)
    return {"x": x, "y": y, "w": tf.TensorSpec((size,), tf.float32)}


def _decode(batch: dict) -> dict:
    return {**batch, "x": bytes_as_float(batch["x"], scale=255)}


def _bytes(specs) -> int:
    return sum(math.prod(s.shape) * s.dtype.size for s in tf.nest.flatten(specs))


def _check_static(model: keras.Model) -> None:
    for tensor in getattr(model, "inputs", None) or []:
        if None in tensor.shape[1:]:
            raise ValueError(f"a TPU needs static shapes. Input {tensor.name!r} of the model has the shape {tensor.shape}")


_UNSUPPORTED = re.compile(r"\]? on XLA_\w+: (.+?) \(No registered .*?\{\{node ([^}]+)\}\}", re.DOTALL)
_LINE = re.compile(r'File "([^"]+)", line (\d+)')


def _not_lowered(message: str) -> str:
    found = _UNSUPPORTED.search(message)
    lines = [line for line in _LINE.findall(message) if "site-packages" not in line[0] and not line[0].startswith("<")]
    where = f" at {lines[-1][0]}:{lines[-1][1]}" if lines else ""
    if found:
        return f"operation {found[1]} ({found[2]}){where} runs on the host alone: a TPU cannot have it in its step"
    return f"the step cannot be lowered{where}: {' '.join(message.split())[:400]}"


_DYNAMIC = re.compile(r"^.*\bset-dimension-size\(.*$", re.MULTILINE)


def _check_bounded(text: str) -> None:
    """HLO sets a size where it is known at run time alone."""
    found = _DYNAMIC.search(text)
    if found:
        told = dict(re.findall(r'(op_type|op_name)="([^"]+)"', found[0]))
        raise ValueError(
            f"a TPU needs static shapes. Operation {told.get('op_type', 'without a type')} ({told.get('op_name', 'unnamed')}) "
            "gives a tensor whose size depends on values"
        )


def _key(text: str) -> str:
    """Of the HLO without what differs from process to process: metadata and names."""
    text = re.sub(r", metadata=\{[^}]*\}", "", text.partition(",")[2])  # the first word is the module's name
    names: dict[str, str] = {}
    text = re.sub(r"%[\w.-]+", lambda name: names.setdefault(name[0], f"%{len(names)}"), text)
    return hashlib.sha256(text.encode()).hexdigest()

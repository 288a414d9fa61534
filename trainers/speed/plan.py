"""How steps are compiled and grouped."""

import dataclasses
import functools
import importlib.util
import os
from collections.abc import Callable

import keras
import tensorflow as tf
from keras import layers

from trainers.speed.device import on_cpu
from trainers.speed.faster_layers import is_plain_dropout
from trainers.speed.keras_inside import all_layers, is_seed, own_trainable

# Forward and backward pass as graph or compiled by XLA; the batch whole, or split into pieces that the cores compute side by
# side; one step a call, or many in one program, over batches stacked by the host or gathered from a resident data set.
_IN_PIECES = ("graph_split", "xla_split")
PLANS = ("graph", "graph_split", "xla", "xla_split", "xla_loop", "xla_resident")
NAMES = ("auto", "measure", *PLANS)

_STEPS = {"xla_loop": 32, "xla_resident": 256}  # in one program, which ends sooner when the host wants to be asked
_MOST_PIECES = 4  # measured with 2 alone
_CONVOLUTIONS = (
    layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D,
    layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose,
)  # fmt: skip
_RECURRENT = (layers.RNN, layers.Bidirectional)
_SEQUENCES = (
    layers.MultiHeadAttention,
    layers.GroupQueryAttention,
    layers.Attention,
    layers.AdditiveAttention,
    layers.Embedding,
)
_APART = (  # operations that stay within an example, along other axes than the first
    "Absolute Add All Any Concatenate Divide Equal Exp ExpandDims Gelu LogicalAnd LogicalNot LogicalOr Max Mean Min Multiply "
    "Negative NotEqual Relu Sigmoid Silu Softmax Sqrt Square Subtract Sum Tanh TrueDivide"
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """One of PLANS, or "strategy" where the strategy compiles (TPU).

    Attributes:
      pieces: that a batch is split into.
      steps: that one program may make.
      faster_layers: whether Keras' layers compute in the forms of trainers.speed.faster_layers.
    """

    name: str
    reason: str
    pieces: int = 1
    steps: int = 1
    faster_layers: bool = False

    def compile(self, function: Callable) -> Callable:
        """`function` as this plan runs it; call the result inside a replica."""
        if self.name == "strategy":
            return function
        return tf.function(function, jit_compile=self.name.startswith("xla"), autograph=False)

    def compile_update(self, function: Callable) -> Callable:
        """For what is element by element: XLA makes one pass of it, whatever the rest is."""
        return function if self.name == "strategy" else tf.function(function, jit_compile=has_xla(), autograph=False)


def make_plan(
    name: str,
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    *,
    resident: bool = False,
    before: str | None = None,
    across: bool = False,
) -> Plan:
    """The plan asked for, or for "auto" the one that the facts choose; the same facts choose the same plan. For "measure" too:
    trainers.speed.measure begins with it.

    Args:
      resident: whether batches are rows of tensors in memory (Data.can_be_resident).
      across: whether a loss looks at other examples' outputs, so that pieces of a batch cost a second pass.
      before: the plan that a run which now goes on began with; "auto" and "measure" stay with it where it is possible.

    Raises:
      ValueError: an unknown plan, or one that cannot be used here.
    """
    if name not in NAMES:
        raise ValueError(f"unknown plan {name!r}. Accepted: {', '.join(NAMES)}")
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return Plan("strategy", "TPUStrategy compiles every step itself")
    if name in PLANS:
        refusal = _refusal(name, model, strategy, resident)
        if refusal:
            raise ValueError(f"plan {name!r} cannot be used here: {refusal}. Accepted here: {', '.join(NAMES[:2])}, "
                             f"{', '.join(supported_plans(model, strategy, resident))}")  # fmt: skip
        return named_plan(name, "asked for", strategy)
    if before in supported_plans(model, strategy, resident):
        return named_plan(before, "as the run began", strategy)
    return named_plan(*_chosen(model, strategy, resident, across), strategy)


@functools.cache
def has_xla() -> bool:
    """tensorflow-tpu, which brings libtpu, has none for the CPU."""
    if importlib.util.find_spec("libtpu") is None or tf.config.list_physical_devices("GPU"):
        return True
    try:
        with tf.device("CPU:0"):
            tf.function(lambda: tf.constant(1.0) + 1.0, jit_compile=True, autograph=False)()
    except tf.errors.NotFoundError:
        return False
    return True


def supported_plans(model: keras.Model, strategy: tf.distribute.Strategy, resident: bool) -> list[str]:
    """Plans that give the same numbers here; those that "measure" compares."""
    return [name for name in PLANS if not _refusal(name, model, strategy, resident)]


def named_plan(name: str, reason: str, strategy: tf.distribute.Strategy) -> Plan:
    """One of PLANS, whether or not it can be used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pieces = max(count for count in (1, 2, _MOST_PIECES) if count <= max(cores, 2)) if name in _IN_PIECES else 1
    return Plan(name, reason, pieces, _STEPS.get(name, 1), faster_layers=name.startswith("xla") and on_cpu(strategy))


def _refusal(name: str, model: keras.Model, strategy: tf.distribute.Strategy, resident: bool) -> str | None:
    """Why a plan cannot be used."""
    if name.startswith("xla") and not has_xla():
        return "this TensorFlow has no XLA for the CPU"
    if strategy.num_replicas_in_sync > 1 and name not in ("graph", "xla"):
        return "it needs a strategy of one replica"
    if name in _IN_PIECES and not on_cpu(strategy):
        return "it is CPU only"
    if name in _IN_PIECES and not _examples_are_apart(model):
        return "the model computes statistics of the batch or carries states from batch to batch, or has layers that may"
    if name == "xla_resident" and not resident:
        return "the data is streamed or augmented"
    return None


def _chosen(model: keras.Model, strategy: tf.distribute.Strategy, resident: bool, across: bool) -> tuple[str, str]:
    """By the steps per second of `python -m benchmarks.plans` on 2 cores with AVX-512."""
    loop = "xla_resident" if resident else "xla_loop"
    if strategy.num_replicas_in_sync == 1 and not on_cpu(strategy):
        return loop, "the device is no CPU"
    if not on_cpu(strategy):
        return "xla", "the devices are no CPUs"
    supported = supported_plans(model, strategy, resident)
    if not has_xla():
        return "graph", "this TensorFlow has no XLA for the CPU"

    def split(name: str) -> str:
        return f"{name}_split" if f"{name}_split" in supported and not across else name

    if _has(model, _CONVOLUTIONS):
        return split("graph"), "on a CPU, XLA is slower with convolutions"
    if _has(model, _RECURRENT) and any(layer.compute_dtype == "bfloat16" for layer in all_layers(model)):
        return "graph", "on a CPU, XLA is slower with recurrence in bfloat16"
    if _has(model, _RECURRENT) and strategy.num_replicas_in_sync == 1 and "xla_split" not in supported:
        return "graph", "on a CPU, XLA of a whole batch is slower with recurrence"
    sequences = _has(model, (*_SEQUENCES, *_RECURRENT))
    dropouts = [layer for layer in all_layers(model) if isinstance(layer, layers.Dropout)]
    if any(layer.rate and not is_plain_dropout(layer) for layer in dropouts):
        return split("graph") if sequences else "graph", "on a CPU, XLA is slower with dropout of whole channels"
    if loop in supported and not sequences:
        return loop, "on a CPU, many steps of a dense net are fastest in one program"
    return split("xla"), "on a CPU, XLA is faster without convolutions"


def _has(model: keras.Model, kinds: tuple) -> bool:
    """Whether a layer, also within layers, is of these kinds."""
    return any(isinstance(layer, kinds) for layer in all_layers(model))


def _examples_are_apart(model: keras.Model) -> bool:
    """Whether no example can change another's outputs, as far as we know: only layers and operations that we know, none of
    which keeps statistics or looks across the batch.
    """
    parts = all_layers(model)
    ours = [type(layer).__module__.split(".")[0] in ("keras", "modelzoo") for layer in parts]
    known = all(ours) and not any(isinstance(layer, layers.Lambda) for layer in parts)
    operations = [op for part in parts for op in getattr(part, "operations", ()) if not isinstance(op, layers.Layer)]
    statistics = [v for v in model.non_trainable_variables if not is_seed(v)]
    frozen = {id(v) for layer in parts for v in own_trainable(layer)}  # of layers set to not train
    return known and all(map(_is_apart, operations)) and all(id(v) in frozen for v in statistics)


def _is_apart(operation) -> bool:
    axis = getattr(operation, "axis", -1)
    axes = axis if isinstance(axis, list | tuple) else [axis]
    return type(operation).__name__ in _APART.split() and all(axis is not None and (axis > 0 or axis == -1) for axis in axes)

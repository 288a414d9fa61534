"""From a config to what a run trains: data, task, model, optimizer, plan, learner. Nothing is written."""

import dataclasses
import logging
from collections.abc import Sequence

import keras
import tensorflow as tf

import modelzoo
from trainers.config import Config
from trainers.data.pipeline import Data, Spec, check_same_data, load_data
from trainers.engine.learner import Learner
from trainers.engine.model_check import check_model
from trainers.engine.optimizers import optimizer_rules
from trainers.engine.progress import Timetable
from trainers.runs.init_from import init_from as take_weights
from trainers.runs.workdir import DATA
from trainers.speed.device import device_name, peak_operations
from trainers.speed.measure import measure_plan, settle_plan
from trainers.speed.plan import make_plan
from trainers.speed.remat import rematerialize
from trainers.tasks import Task, make_task

log = logging.getLogger("trainers")

_DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@dataclasses.dataclass(frozen=True)
class Ready:
    """What is made of a config before anything is written."""

    config: Config
    data: Data
    learner: Learner
    timetable: Timetable
    arguments: dict  # of the model


def prepare(config, workdir, devices, plan, data_dir, init_from, before, profile_steps, saving) -> Ready:
    """Everything that can be wrong with config and data is found here."""
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    data = load_data(config.data.to_dict(), workdir / DATA if before else None, data_dir)
    if before:
        check_same_data(data, workdir / DATA)
    task = make_task(**config.task.to_dict(), spec=data.spec)
    steps = saving.every_steps if saving else None
    timetable = make_timetable(config, data, task, stops=profile_steps or (), save_every_steps=steps)
    arguments = model_arguments(config.model.to_dict(), data.spec, task)
    keras.utils.set_random_seed(config.seed)  # here: preparing data draws random numbers too
    with devices.scope():
        model = make_model(arguments, config.precision)
        if config.remat:
            rematerialize(model)
    steps = dict(total_steps=timetable.total_steps, steps_per_epoch=timetable.steps_per_epoch)
    optimizers = optimizer_rules(config.to_dict()["optimizer"], **steps)
    check_model(model, data.spec, task)
    if init_from:
        take_weights(model, init_from)
    chosen = make_plan(
        plan, model, devices, resident=data.can_be_resident("train"),
        before=before and before["plan"]["name"], across=any(objective.across for objective in task.objectives),
    )  # fmt: skip
    options = dict(seed=config.seed, accumulate=config.accumulate, decode=data.decode)
    learner = Learner(model, task, optimizers, devices, chosen, **options)
    learner.peak_operations = peak_operations(device_name(devices), devices.num_replicas_in_sync)
    if learner.peak_operations:  # forward and backward pass are three times the forward pass, a multiply-add two operations
        learner.operations_per_example = 6.0 * (multiply_adds(arguments) or 0)
    learner.check_batch_size(config.batch_size)
    learner.check_monitor(data, config.batch_size, timetable.monitor)
    if plan == "measure" and not before:
        options = dict(total_steps=timetable.total_steps, deterministic=config.deterministic)
        measure_plan(learner, data, batch_size=config.batch_size, **options)
    if plan in ("auto", "measure") and not before:
        settle_plan(learner, data, batch_size=config.batch_size)
    if config.patience and timetable.monitor is None:
        raise ValueError(f"patience needs a metric to monitor, and the task names none. Accepted: {', '.join(task.directions)}")
    if config.patience and "validation" not in data.spec.examples:
        log.warning("patience does nothing: the data has no validation split")
    return Ready(config, data, learner, timetable, arguments)


def make_timetable(
    config: Config, data: Data, task: Task, stops: Sequence[int] = (), save_every_steps: int | None = None
) -> Timetable:
    """The config's epochs and steps, all in steps."""
    per_epoch = data.steps("train", config.batch_size)
    total = config.steps or max(1, round(config.epochs * per_epoch))
    every = config.eval_every_steps or max(1, round((config.eval_every_epochs or 1.0) * per_epoch))
    return Timetable(
        total_steps=total, steps_per_epoch=per_epoch, eval_every_steps=every, log_every_steps=config.log_every_steps,
        save_every_steps=save_every_steps, monitor=config.monitor or task.monitor, patience=config.patience,
        on_nan=config.on_nan, most_bad_steps=config.most_bad_steps, stops=stops,
    )  # fmt: skip


def model_arguments(config: dict, spec: Spec, task: Task) -> dict:
    """The config's model with what follows from the data by the task: input_shape, num_classes, vocab_size, ...

    Raises:
      ValueError: the config says otherwise.
    """
    parameters = modelzoo.model_info(config["name"]).signature.parameters
    config = dict(config)
    for name, fits in task.arguments(spec).items():
        if name in config:
            given = tuple(config[name]) if isinstance(config[name], list) else config[name]
            if given not in fits:
                raise ValueError(f"model.{name} must be {' or '.join(map(str, fits))} for this data. Received: {given}")
        elif name in parameters and parameters[name].default not in fits:
            config[name] = fits[0]
    return config


def make_model(arguments: dict, precision: str) -> keras.Model:
    arguments = dict(arguments)
    return modelzoo.create_model(arguments.pop("name"), **arguments, dtype=_DTYPE_POLICIES[precision])


def multiply_adds(arguments: dict) -> int | None:
    """Of one example by the model of these arguments; None where the model does not say."""
    arguments = dict(arguments)
    return modelzoo.model_info(arguments.pop("name"), **arguments).multiply_adds

"""A run: a config becomes a folder of metrics, checkpoints, model and report. Here data, task, report and checkpoint meet."""

import contextlib
import dataclasses
import logging
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import modelzoo
from trainers.config import Config
from trainers.data.pipeline import STATE_FILE, Data, Spec, check_same_data, load_data, save_state
from trainers.runs.bucket import kept_at
from trainers.runs.checkpoint import Saving, checkpoints, newest_good, restore
from trainers.speed.device import device_name, gains_from_bfloat16, peak_operations
from trainers.runs.finished import targets
from trainers.runs.health import health
from trainers.engine.learner import Hook, Learner
from trainers.runs.init_from import init_from as take_weights
from trainers.speed.measure import measure_plan
from trainers.engine.model_check import check_model
from trainers.engine.optimizers import make_optimizer
from trainers.speed.plan import make_plan
from trainers.engine.progress import Timetable
from trainers.speed.remat import rematerialize
from trainers.engine.signals import on_signal
from trainers.engine.strategy import Process, process_of, make_strategy
from trainers.runs.workdir import (
    CHECKPOINTS,
    CONFIG,
    DATA,
    LAST,
    MODEL,
    SUMMARY,
    fingerprint,
    locked,
    saved_run,
)
from trainers.files import put_in_place, read_json, write_json, write_whole
from trainers.remote import is_remote
from trainers.report import console, metrics_file, profile, readable, tensorboard
from trainers.report.metrics_file import finite
from trainers.tasks import Task, make_task

log = logging.getLogger("trainers")

_DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def run(
    config: Config,
    workdir: Path | str,
    *,
    strategy: str = "auto",
    plan: str = "auto",
    data_dir: str | None = None,
    init_from: str | None = None,
    saving: Saving | None = None,
    profile_steps: tuple[int, int] | None = None,
    hooks: Sequence[Hook] = (),
) -> dict:
    """Train a config and evaluate its best model, or go on where the run in `workdir` stopped.

    At SIGTERM and SIGINT the whole state is saved; started again, with the same plan, kind of machine and versions, the run
    goes on to the same bits as if nothing had happened.

    Args:
      workdir: folder of the run, or an address (trainers.runs.bucket); made once everything that can be wrong with config and
        data has been looked at. On many hosts, one that all of them see.
      strategy, plan: by name (trainers.engine.strategy, trainers.speed.plan).
      data_dir: where data sets and files are looked for.
      init_from: another run's folder, or a file of weights, to begin with (trainers.runs.init_from).
      saving: when checkpoints are made; None for Saving's defaults.
      profile_steps: first and last step of a profiler's trace.
      hooks: called as hook(event, learner); see Learner.

    Returns:
      The summary, as in summary.json.

    Raises:
      ValueError: what is wrong with the config or the data; or a folder that holds another config's run, or is in use.
      Interrupted: at a signal, after the state was saved.
      FloatingPointError: too many steps in a row with a loss or gradient that is not finite.
    """
    if is_remote(workdir):
        with kept_at(str(workdir)) as (copy, send):
            options = dict(strategy=strategy, plan=plan, data_dir=data_dir, init_from=init_from, saving=saving)
            return run(config, copy, **options, profile_steps=profile_steps, hooks=[*hooks, send])
    workdir, began = Path(workdir), time.time()
    if _is_finished(workdir, config, init_from):
        return read_json(workdir / SUMMARY)
    devices = make_strategy(strategy)
    place, is_new = process_of(devices), not workdir.exists()
    with contextlib.ExitStack() as stack:
        if place.is_chief and not is_new:
            stack.enter_context(locked(workdir))
            if _is_finished(workdir, config, init_from):
                return read_json(workdir / SUMMARY)
        before = saved_run(workdir, config, init_from)
        last = newest_good(workdir / CHECKPOINTS)
        ready = _prepare(config, workdir, devices, plan, data_dir, None if last else init_from, before, profile_steps, saving)
        if place.is_chief and is_new:
            stack.enter_context(locked(workdir))
            if (workdir / CONFIG).exists():
                raise ValueError(f"another process began a run in {workdir} meanwhile; the same command again goes on with it")
        if place.is_chief and not before:
            save_state(ready.data, workdir / DATA)
            where = {"strategy": strategy, "data_dir": data_dir, "devices": [d.name for d in tf.config.list_logical_devices()]}
            chosen = {"name": ready.learner.plan.name, "reason": ready.learner.plan.reason}
            record = {"config": config.to_dict(), "seed": config.seed, "init_from": init_from, "plan": chosen, **where}
            write_json(workdir / CONFIG, {**record, "versions": _versions()})
        stack.enter_context(_lost_workers_told(place))
        _train(ready, workdir, last, before, saving or Saving(), profile_steps, hooks, is_chief=place.is_chief)
        return _finish(ready, workdir, began, is_chief=place.is_chief)


@dataclasses.dataclass(frozen=True)
class _Ready:
    """What is made of a config before anything is written."""

    config: Config
    data: Data
    learner: Learner
    timetable: Timetable
    arguments: dict  # of the model


def _is_finished(workdir: Path, config: Config, init_from: str | None) -> bool:
    finished = bool(saved_run(workdir, config, init_from)) and (workdir / SUMMARY).exists()
    if finished:
        log.info("the run in %s is finished; nothing to do. Results are in %s", workdir, workdir / SUMMARY)
    return finished


def _prepare(config, workdir, devices, plan, data_dir, init_from, before, profile_steps, saving) -> _Ready:
    """Everything that can be wrong with config and data is found here."""
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    data = load_data(config.data.to_dict(), workdir / DATA if before else None, data_dir)
    if before:
        check_same_data(data, workdir / DATA)
    task = make_task(**config.task.to_dict(), spec=data.spec)
    steps = saving.every_steps if saving else None
    timetable = make_timetable(config, data, stops=profile_steps or (), save_every_steps=steps)
    arguments = model_arguments(config.model.to_dict(), data.spec, task)
    keras.utils.set_random_seed(config.seed)  # here: preparing data draws random numbers too
    with devices.scope():
        model = make_model(arguments, config.precision)
        if config.remat:
            rematerialize(model)
        optimizer = make_optimizer(
            **config.optimizer.to_dict(), total_steps=timetable.total_steps, steps_per_epoch=timetable.steps_per_epoch
        )
    check_model(model, data.spec.input_shape, task)
    if init_from:
        take_weights(model, init_from)
    chosen = make_plan(
        plan, model, devices, resident=data.can_be_resident("train"),
        before=before and before["plan"]["name"],
    )  # fmt: skip
    options = dict(seed=config.seed, accumulate=config.accumulate, as_float=data.as_float)
    learner = Learner(model, task, optimizer, devices, chosen, **options)
    learner.peak_operations = peak_operations(device_name(devices), devices.num_replicas_in_sync)
    if learner.peak_operations:  # forward and backward pass are three times the forward pass, a multiply-add two operations
        name, rest = arguments["name"], {k: v for k, v in arguments.items() if k != "name"}
        learner.operations_per_example = 6.0 * modelzoo.model_info(name, **rest).multiply_adds
    learner.check_batch_size(config.batch_size)
    learner.check_monitor(data, config.batch_size, config.monitor)
    if plan == "measure" and not before:
        options = dict(total_steps=timetable.total_steps, deterministic=config.deterministic)
        measure_plan(learner, data, batch_size=config.batch_size, **options)
    if config.patience and "validation" not in data.spec.examples:
        log.warning("patience does nothing: the data has no validation split")
    return _Ready(config, data, learner, timetable, arguments)


def _train(ready: _Ready, workdir: Path, last, before, saving: Saving, profile_steps, hooks, *, is_chief: bool) -> None:
    """From the last checkpoint, if there is one, to the end. All hosts train, the chief writes."""
    learner, config = ready.learner, ready.config
    learner.wait_for_all()
    made_for = fingerprint(workdir / CONFIG, workdir / DATA / STATE_FILE)
    if last:
        restore(learner, last, made_for=made_for)
    learner.check_same_step()
    reports = _reports(workdir, profile_steps) if is_chief else []
    hooks = [*([health()] if config.health else []), *reports, *hooks]  # health adds to what the others report
    if is_chief:
        _announce(ready, before)
    hooks.append(checkpoints(workdir / CHECKPOINTS, saving, made_for, writes=is_chief))
    with on_signal(learner.interrupt):
        learner.fit(ready.data, batch_size=config.batch_size, timetable=ready.timetable, hooks=hooks)


@contextlib.contextmanager
def _lost_workers_told(place: Process) -> Iterator[None]:
    errors = tf.errors
    try:
        yield
    except (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.InternalError) as error:
        if place.count == 1:
            raise
        last_line = error.message.strip().splitlines()[-1][:200]
        raise ConnectionError(
            f"another worker is gone, it seems ({type(error).__name__}: {last_line}). Start all of them again: they go on from "
            "the last checkpoint"
        ) from error


def _reports(workdir: Path, profile_steps: tuple[int, int] | None) -> list[Hook]:
    hooks = [console(), metrics_file(workdir / "metrics.jsonl"), tensorboard(workdir / "tensorboard")]
    return hooks + ([profile(workdir / "tensorboard", *profile_steps)] if profile_steps else [])


def _finish(ready: _Ready, workdir: Path, began: float, *, is_chief: bool) -> dict:
    """Save the last and the best model, evaluate the best, report. All hosts compute, the chief writes."""
    learner, data, config, arguments = ready.learner, ready.data, ready.config, ready.arguments
    if learner.progress.best_weights and learner.progress.best_step < learner.progress.step:
        if is_chief:
            _save_model(learner, arguments, config.precision, workdir / LAST)
        learner.set_weights(learner.progress.best_weights)
    if is_chief:
        _save_model(learner, arguments, config.precision, workdir / MODEL)
    summary = _summary(learner, data, config, began)
    if "test" in data.spec.examples:
        metrics = learner.evaluate(data, "test", config.batch_size)
        outputs = learner.predict(data, "test", config.batch_size)
        summary = {"test": finite(metrics), **summary}
        if is_chief:
            summary |= _final_report(learner.task, data, metrics, outputs, workdir)
    if is_chief:
        write_json(workdir / SUMMARY, summary)
    return summary


def make_timetable(config: Config, data: Data, stops: Sequence[int] = (), save_every_steps: int | None = None) -> Timetable:
    """The config's epochs and steps, all in steps."""
    per_epoch = data.steps("train", config.batch_size)
    total = config.steps or max(1, round(config.epochs * per_epoch))
    every = config.eval_every_steps or max(1, round((config.eval_every_epochs or 1.0) * per_epoch))
    return Timetable(
        total_steps=total, steps_per_epoch=per_epoch, eval_every_steps=every, log_every_steps=config.log_every_steps,
        save_every_steps=save_every_steps, monitor=config.monitor, patience=config.patience, on_nan=config.on_nan,
        most_bad_steps=config.most_bad_steps, stops=stops,
    )  # fmt: skip


def model_arguments(config: dict, spec: Spec, task: Task) -> dict:
    """The config's model with what follows from the data: input_shape, num_classes, vocab_size.

    Raises:
      ValueError: the config says otherwise.
    """
    parameters = modelzoo.model_info(config["name"]).signature.parameters
    config = dict(config)
    for name, fits in {
        "input_shape": (spec.input_shape,),
        "num_classes": (task.num_outputs, *task.other_outputs),
        "vocab_size": (spec.vocab_size,),
    }.items():
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


def _save_model(learner: Learner, arguments: dict, precision: str, path: Path) -> None:
    """The model with the weights to evaluate, built anew outside the strategy."""
    model = make_model(arguments, precision)
    frozen = [v for v in model.non_trainable_variables if not v.path.endswith("seed_generator_state")]
    for variable, value in zip([*model.trainable_variables, *frozen], learner.weights(), strict=True):
        variable.assign(value)
    unfinished = path.with_name(f"unfinished_{path.name}")
    model.save(unfinished)
    put_in_place(unfinished, path)


def _final_report(task: Task, data: Data, metrics: dict, outputs: np.ndarray, workdir: Path) -> dict:
    """Write the report of the test split, print it; what it adds to the summary."""
    y = targets(data, "test")
    text, report = task.report(y, outputs)
    write_whole(workdir / "report.txt", text.encode())
    write_json(workdir / "report.json", finite(report))
    print(f"\n{text}")
    print("test: " + "  ".join(f"{name} {readable(value)}" for name, value in metrics.items()))
    added = {}
    if data.arrays("train") is not None:
        how, baseline = task.baseline(targets(data, "train"), y)
        print(f"{how}: " + "  ".join(f"{name} {readable(value)}" for name, value in baseline.items()))
        added["baseline"] = {"how": how, **baseline}
    print(f"results are in {workdir}")
    return added


def _summary(learner: Learner, data: Data, config: Config, began: float) -> dict:
    progress = learner.progress
    best = {"step": progress.best_step, config.monitor: progress.best} if progress.best_weights else {}
    return {
        "best": finite(best),
        "steps": progress.step,
        "parameters": learner.model.count_params(),
        "wall_seconds": round(time.time() - began, 1),
        "examples_per_second": round(progress.examples_per_second, 1),
        "waited_for_input": round(progress.share_waited, 3),
        **({} if learner.share_of_peak is None else {"share_of_peak": round(learner.share_of_peak, 4)}),
        "plan": learner.plan.name,
        "seed": config.seed,
    }


def _announce(ready: _Ready, before: dict | None) -> None:
    data, learner, model, timetable = ready.data, ready.learner, ready.learner.model, ready.timetable
    examples = ", ".join(f"{count:,} {split}" for split, count in data.spec.examples.items())
    log.info("data: %s examples; x %s", examples, data.spec.input_shape)
    log.info("model: %s, %s parameters", model.name, f"{model.count_params():,}")
    log.info("plan: %s (%s); %d replicas", learner.plan.name, learner.plan.reason, learner.strategy.num_replicas_in_sync)
    if gains_from_bfloat16(model, learner.strategy):
        log.info("precision: on this CPU bfloat16 is likely to be faster: --config.precision=bfloat16")
    if before:
        log.info("going on from step %d", learner.progress.step)
        if before["plan"]["name"] != learner.plan.name:
            log.warning("the run began with the plan %s, so other bits from here on", before["plan"]["name"])
        changed = [f"{k} {v} then, {_versions()[k]} now" for k, v in before["versions"].items() if v != _versions().get(k)]
        if changed:
            log.warning("other versions than at the run's start, so other bits perhaps: %s", ", ".join(changed))
    log.info("training for %d steps, %d an epoch", timetable.total_steps, timetable.steps_per_epoch)


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(), "modelzoo": modelzoo.__version__, "tensorflow": tf.__version__,
        "keras": keras.__version__, "numpy": np.__version__,
    }  # fmt: skip

"""A run: a config becomes a folder of metrics, checkpoints, model and report. Here data, task, report and checkpoint meet."""

import contextlib
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
from trainers.data.pipeline import STATE_FILE, save_state
from trainers.engine.learner import Hook
from trainers.engine.signals import on_signal
from trainers.engine.strategy import Process, make_strategy, process_of
from trainers.files import read_json, write_json
from trainers.remote import is_remote
from trainers.report import console, metrics_file, profile, tensorboard
from trainers.runs.bucket import kept_at
from trainers.runs.build import Ready, prepare
from trainers.runs.checkpoint import Saving, checkpoints, newest_good, restore
from trainers.runs.finish import finish
from trainers.runs.health import health
from trainers.runs.workdir import CHECKPOINTS, CONFIG, DATA, SUMMARY, fingerprint, locked, saved_run
from trainers.speed.device import gains_from_bfloat16

log = logging.getLogger("trainers")


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
        ready = prepare(config, workdir, devices, plan, data_dir, None if last else init_from, before, profile_steps, saving)
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
        return finish(ready, workdir, began, is_chief=place.is_chief)


def _is_finished(workdir: Path, config: Config, init_from: str | None) -> bool:
    finished = bool(saved_run(workdir, config, init_from)) and (workdir / SUMMARY).exists()
    if finished:
        log.info("the run in %s is finished; nothing to do. Results are in %s", workdir, workdir / SUMMARY)
    return finished


def _train(ready: Ready, workdir: Path, last, before, saving: Saving, profile_steps, hooks, *, is_chief: bool) -> None:
    """From the last checkpoint, if there is one, to the end. All hosts train, the chief writes."""
    learner, config = ready.learner, ready.config
    learner.wait_for_all()
    made_for = fingerprint(workdir / CONFIG, workdir / DATA / STATE_FILE, *learner.task.files)
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


def _announce(ready: Ready, before: dict | None) -> None:
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

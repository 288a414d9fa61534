"""A run: a config becomes a folder of metrics, checkpoints, model and report. Here data, task, report and checkpoint meet."""

import json
import logging
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import modelzoo
import modelzoo.layers
from trainers.config import Config, load_config
from trainers.data.pipeline import Data, Spec, load_data, load_encoder, save_state
from trainers.engine import checkpoint
from trainers.engine.host import Hook, Host, Timetable
from trainers.engine.model_check import check_model
from trainers.engine.optimizers import make_optimizer
from trainers.engine.plan import make_plan
from trainers.engine.strategy import make_strategy
from trainers.report import console, metrics_file, profile, readable, tensorboard
from trainers.report.metrics_file import finite
from trainers.tasks import Task, make_task

log = logging.getLogger("trainers")

CONFIG, SUMMARY, MODEL, LAST, DATA = "config.json", "summary.json", "model.keras", "last.keras", "data"  # in a run's folder
_CHECKPOINT_SECONDS = 60.0
_DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def run(
    config: Config,
    workdir: Path | str,
    *,
    strategy: str = "auto",
    plan: str = "auto",
    data_dir: str | None = None,
    profile_steps: tuple[int, int] | None = None,
    hooks: Sequence[Hook] = (),
) -> dict:
    """Train a config and evaluate its best model, or go on where the run in `workdir` stopped.

    Args:
      workdir: folder of the run; made once everything that can be wrong with config and data has been looked at.
      strategy, plan: by name (trainers.engine.strategy, trainers.engine.plan).
      data_dir: where data sets and files are looked for.
      profile_steps: first and last step of a profiler's trace.
      hooks: called as hook(event, host); see Host.

    Returns:
      The summary, as in summary.json.

    Raises:
      ValueError: what is wrong with the config or the data; or a folder that holds another config's run.
    """
    workdir = Path(workdir)
    began = time.time()
    before = _saved_run(workdir, config)
    if before and (workdir / SUMMARY).exists():
        log.info("the run in %s is finished; nothing to do. Results are in %s", workdir, workdir / SUMMARY)
        return json.loads((workdir / SUMMARY).read_text())
    keras.utils.set_random_seed(config.seed)
    devices = make_strategy(strategy)
    data = load_data(config.data.to_dict(), workdir / DATA, data_dir)
    task = make_task(**config.task.to_dict(), spec=data.spec)
    timetable = make_timetable(config, data, stops=profile_steps or ())
    arguments = model_arguments(config.model.to_dict(), data.spec, task)
    with devices.scope():
        model = _create(arguments, config.precision)
        optimizer = make_optimizer(
            **config.optimizer.to_dict(), total_steps=timetable.total_steps, steps_per_epoch=timetable.steps_per_epoch
        )
    check_model(model, data.spec.input_shape, task)
    chosen = make_plan(before["plan"]["name"] if before and plan == "auto" else plan, model, devices)
    host = Host(model, task, optimizer, devices, chosen, seed=config.seed, accumulate=config.accumulate)
    host.check_batch_size(config.batch_size)
    host.check_monitor(data, config.batch_size, config.monitor)

    workdir.mkdir(parents=True, exist_ok=True)
    if not before:
        save_state(data, workdir / DATA)
        place = {"strategy": strategy, "data_dir": data_dir, "devices": [d.name for d in tf.config.list_logical_devices()]}
        plan_record = {"name": chosen.name, "reason": chosen.reason}
        record = {"config": config.to_dict(), "seed": config.seed, "plan": plan_record, **place, "versions": _versions()}
        _write_json(workdir / CONFIG, record)
    last = checkpoint.latest(workdir / "checkpoints")
    if last:
        checkpoint.restore(host, last)
        log.info("going on from step %d", host.progress.step)
    _announce(data, model, host, timetable)
    reports = [console(), metrics_file(workdir / "metrics.jsonl"), tensorboard(workdir / "tensorboard")]
    if profile_steps:
        reports.append(profile(workdir / "tensorboard", *profile_steps))
    saves = checkpoint.checkpoints(workdir / "checkpoints", _CHECKPOINT_SECONDS)
    host.fit(data, batch_size=config.batch_size, timetable=timetable, hooks=[*reports, saves, *hooks])

    if host.progress.best_weights and host.progress.best_step < host.progress.step:
        _save_model(host, arguments, config.precision, workdir / LAST)
        host.set_weights(host.progress.best_weights)
    _save_model(host, arguments, config.precision, workdir / MODEL)
    summary = _summary(host, data, config, began)
    if "test" in data.spec.examples:
        summary = {"test": _final_report(host, data, config.batch_size, workdir, summary), **summary}
    _write_json(workdir / SUMMARY, summary)
    return summary


def evaluate_run(
    workdir: Path,
    *,
    split: str | None = None,
    data: str | None = None,
    strategy: str = "auto",
    plan: str = "auto",
    data_dir: str | None = None,
) -> tuple[dict[str, float], str]:
    """Metrics and report of a run's best model.

    Args:
      split: of the run's data; None for "test", or for all of `data`.
      data: another file, folder or tensorflow-datasets name with data of the same shape.
      strategy, plan: "auto" for those of the run, which give its own figures to the bit.

    Raises:
      ValueError: no finished run there, or data that does not fit it.
    """
    saved = _read_run(workdir)
    config, devices = load_config(workdir / CONFIG), make_strategy(saved["strategy"] if strategy == "auto" else strategy)
    data_config = config.data.to_dict()
    if data is not None:
        whole = {"validation": 0.0, "test": 0.0} if "path" in data_config else {}
        data_config |= {"path" if "path" in data_config else "name": data, **whole}
        split = split or ("train" if "path" in data_config else "test")
    found = load_data(data_config, workdir / DATA, data_dir or saved["data_dir"])
    fitted, _ = load_encoder(workdir / DATA)
    if found.spec.input_shape != fitted.input_shape:
        raise ValueError(f"the run is for x of shape {fitted.input_shape}. Received: {found.spec.input_shape}")
    task = make_task(**config.task.to_dict(), spec=fitted)
    with devices.scope():
        model = _load_model(workdir)
        optimizer = make_optimizer("sgd", total_steps=1)  # not used, but a state has one
    chosen = make_plan(saved["plan"]["name"] if plan == "auto" else plan, model, devices)
    host = Host(model, task, optimizer, devices, chosen, accumulate=config.accumulate)
    metrics = host.evaluate(found, split or "test", config.batch_size)
    report, _ = task.report(_targets(found, split or "test"), host.predict(found, split or "test", config.batch_size))
    return metrics, report


def predict_run(workdir: Path, files: Sequence[Path]) -> list[tuple[Path, list[dict]]]:
    """A run's answers for each example in each file.

    Raises:
      ValueError: no finished run there, or a file of another kind than its data.
      FileNotFoundError: no such file.
    """
    _read_run(workdir)
    spec, encoder = load_encoder(workdir / DATA)
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"no such file: {file}")
    read = [(file, encoder.read(file)) for file in files]
    task = make_task(**load_config(workdir / CONFIG).task.to_dict(), spec=spec)
    model = _load_model(workdir)
    data = Data(spec, {}, encoder)
    answers = []
    for file, raw in read:
        x = np.asarray(data.encode(raw))
        if x.shape[1:] != tuple(spec.input_shape):
            raise ValueError(f"{file}: the run is for x of shape {tuple(spec.input_shape)}. Received: {x.shape[1:]}")
        answers.append((file, task.predictions(np.asarray(model.predict(x, verbose=0)))))
    return answers


def make_timetable(config: Config, data: Data, stops: Sequence[int] = ()) -> Timetable:
    """The config's epochs and steps, all in steps."""
    per_epoch = data.steps("train", config.batch_size)
    total = config.steps or max(1, round(config.epochs * per_epoch))
    every = config.eval_every_steps or max(1, round((config.eval_every_epochs or 1.0) * per_epoch))
    return Timetable(
        total_steps=total, steps_per_epoch=per_epoch, eval_every_steps=every, log_every_steps=config.log_every_steps,
        monitor=config.monitor, patience=config.patience, stops=stops,
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


def _saved_run(workdir: Path, config: Config) -> dict | None:
    """config.json of the run in the folder, if there is one; ValueError if it is another config's."""
    if not (workdir / CONFIG).exists():
        return None
    saved = json.loads((workdir / CONFIG).read_text())
    before, now = _flat(saved["config"]), _flat(config.to_dict())
    differing = [f"{k} ({before.get(k)!r} there, {now.get(k)!r} now)" for k in {**before, **now} if before.get(k) != now.get(k)]
    if differing:
        raise ValueError(
            f"{workdir} holds the run of another config; give another --workdir. Differing: {', '.join(differing)}"
        )
    return saved


def _read_run(workdir: Path) -> dict:
    for name in (CONFIG, MODEL):
        if not (workdir / name).exists():
            raise ValueError(f"{workdir} holds no finished run: there is no {name}")
    return json.loads((workdir / CONFIG).read_text())


def _create(arguments: dict, precision: str) -> keras.Model:
    arguments = dict(arguments)
    return modelzoo.create_model(arguments.pop("name"), **arguments, dtype=_DTYPE_POLICIES[precision])


def _load_model(workdir: Path) -> keras.Model:
    return keras.saving.load_model(workdir / MODEL, compile=False, safe_mode=True)


def _save_model(host: Host, arguments: dict, precision: str, path: Path) -> None:
    """The model with the weights to evaluate, built anew outside the strategy."""
    model = _create(arguments, precision)
    frozen = [v for v in model.non_trainable_variables if not v.path.endswith("seed_generator_state")]
    for variable, value in zip([*model.trainable_variables, *frozen], host.weights(), strict=True):
        variable.assign(value)
    unfinished = path.with_name(f"unfinished_{path.name}")
    model.save(unfinished)
    unfinished.replace(path)


def _final_report(host: Host, data: Data, batch_size: int, workdir: Path, summary: dict) -> dict[str, float]:
    """Evaluate the test split, write the report, print both."""
    metrics = host.evaluate(data, "test", batch_size)
    y = _targets(data, "test")
    text, report = host.task.report(y, host.predict(data, "test", batch_size))
    (workdir / "report.txt").write_text(text)
    _write_json(workdir / "report.json", report)
    print(f"\n{text}")
    print("test: " + "  ".join(f"{name} {readable(value)}" for name, value in metrics.items()))
    if data.arrays("train") is not None:
        how, baseline = host.task.baseline(_targets(data, "train"), y)
        print(f"{how}: " + "  ".join(f"{name} {readable(value)}" for name, value in baseline.items()))
        summary["baseline"] = {"how": how, **baseline}
    print(f"results are in {workdir}")
    return finite(metrics)


def _targets(data: Data, split: str) -> np.ndarray:
    arrays = data.arrays(split)
    if arrays is not None:
        return arrays.y
    return np.concatenate([b["y"][b["w"] > 0] for b in data.batches(split, 1024, training=False).as_numpy_iterator()])


def _summary(host: Host, data: Data, config: Config, began: float) -> dict:
    progress = host.progress
    best = {"step": progress.best_step, config.monitor: progress.best} if progress.best_weights else {}
    return {
        "best": finite(best),
        "steps": progress.step,
        "parameters": host.model.count_params(),
        "wall_seconds": round(time.time() - began, 1),
        "examples_per_second": round(progress.examples_per_second, 1),
        "plan": host.plan.name,
        "seed": config.seed,
    }


def _announce(data: Data, model: keras.Model, host: Host, timetable: Timetable) -> None:
    examples = ", ".join(f"{count:,} {split}" for split, count in data.spec.examples.items())
    log.info("data: %s examples; x %s", examples, data.spec.input_shape)
    log.info("model: %s, %s parameters", model.name, f"{model.count_params():,}")
    log.info("plan: %s (%s); %d replicas", host.plan.name, host.plan.reason, host.strategy.num_replicas_in_sync)
    log.info("training for %d steps, %d an epoch", timetable.total_steps, timetable.steps_per_epoch)


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(), "modelzoo": modelzoo.__version__, "tensorflow": tf.__version__,
        "keras": keras.__version__, "numpy": np.__version__,
    }  # fmt: skip


def _flat(values: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _write_json(path: Path, values: dict) -> None:
    """Whole or not at all."""
    unfinished = path.with_name(f"unfinished_{path.name}")
    unfinished.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    unfinished.replace(path)

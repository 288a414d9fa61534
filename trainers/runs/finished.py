"""A finished run's best model, evaluated and used."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainers.config import Config, load_config
from trainers.data.pipeline import Data, load_data, load_encoder
from trainers.data.spec import Spec, Split, mapped
from trainers.engine.learner import Learner
from trainers.engine.optimizers import optimizer_rules
from trainers.engine.strategy import make_strategy
from trainers.nests import length
from trainers.remote import local
from trainers.runs.workdir import CONFIG, DATA, finished_run, load_model
from trainers.speed.plan import make_plan
from trainers.tasks import make_task


def evaluate_run(
    workdir: Path | str,
    *,
    split: str | None = None,
    data: str | None = None,
    strategy: str = "auto",
    plan: str = "auto",
    data_dir: str | None = None,
) -> tuple[dict[str, float], str]:
    """Metrics and report of a run's best model.

    Args:
      split: of the run's data; None for "test". Of `data` None means all of it, where it is a file or folder without splits of
        its own; with these, "train"; and "test" of a tensorflow-datasets name.
      data: another file, folder or tensorflow-datasets name with data of the same shape.
      strategy, plan: "auto" for those of the run, which give its own figures to the bit.

    Raises:
      ValueError: no finished run there, or data that does not fit it.
    """
    workdir = local(workdir)
    saved = finished_run(workdir)
    config, devices = load_config(workdir / CONFIG), _strategy(saved["strategy"] if strategy == "auto" else strategy)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    data_config = config.data.to_dict()
    if data is not None:
        whole = {"validation": 0.0, "test": 0.0} if "path" in data_config else {}
        data_config |= {"path" if "path" in data_config else "name": data, **whole}
        split = split or ("train" if "path" in data_config else "test")
    found = load_data(data_config, workdir / DATA, data_dir or saved["data_dir"])
    fitted, _ = load_encoder(workdir / DATA)
    if found.spec.input_shape != fitted.input_shape:
        raise ValueError(f"the run is for x of shape {fitted.input_shape}. Received: {found.spec.input_shape}")
    learner = _learner(workdir, config, fitted, found, devices, plan, saved["plan"]["name"])
    metrics = learner.evaluate(found, split or "test", config.batch_size)
    report = learner.task.report(targets(found, split or "test"), learner.records(found, split or "test", config.batch_size))
    return metrics, report.text


def _strategy(name: str) -> tf.distribute.Strategy:
    """That of the run, if it can be had by this one process."""
    return make_strategy("auto" if name == "multiworker" else name)


def predict_run(workdir: Path | str, files: Sequence[Path | str]) -> list[tuple[Path | str, list[dict]]]:
    """A run's answers for each example in each file.

    Raises:
      ValueError: no finished run there, or a file of another kind than its data.
      FileNotFoundError: no such file.
    """
    workdir = local(workdir)
    finished_run(workdir)
    spec, encoder = load_encoder(workdir / DATA)
    copies = [local(file) for file in files]
    for file, copy in zip(files, copies, strict=True):
        if not copy.is_file():
            raise FileNotFoundError(f"no such file: {file}")
    read = [(file, encoder.read(copy)) for file, copy in zip(files, copies, strict=True)]
    config, learner, answers = load_config(workdir / CONFIG), None, []
    for file, raw in read:
        x = tf.nest.map_structure(np.asarray, encoder.encode(raw))
        shape = mapped(lambda values: values.shape[1:], x)
        if shape != spec.input_shape:
            raise ValueError(f"{file}: the run is for x of shape {spec.input_shape}. Received: {shape}")
        size = length(x)
        data = Data(dataclasses.replace(spec, examples={"new": size}), {"new": Split(x)}, encoder)
        learner = learner or _learner(workdir, config, spec, data, make_strategy("auto"), "graph", None)
        answers.append((file, learner.task.predictions(learner.answers(data, "new", min(size, config.batch_size)))))
    return answers


def _learner(workdir: Path, config: Config, spec: Spec, data: Data, devices, plan: str, before: str | None) -> Learner:
    """A run's best model, ready to be evaluated and asked."""
    task = make_task(**config.task.to_dict(), spec=spec)
    with devices.scope():
        model = load_model(workdir)
    chosen = make_plan(plan, model, devices, before=before)
    unused = optimizer_rules("sgd")  # but a state has one
    return Learner(model, task, unused, devices, chosen, seed=config.seed, accumulate=config.accumulate, decode=data.decode)


def targets(data: Data, split: str):
    """y of all examples, in order."""
    return data.targets(split)

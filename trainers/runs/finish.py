"""The end of a run: its models saved, the test split evaluated, report and summary written."""

import time
from pathlib import Path
from typing import Any

from trainers.config import Config
from trainers.data.pipeline import Data
from trainers.engine.learner import Learner
from trainers.files import put_in_place, write_json, write_whole
from trainers.report import readable
from trainers.report.metrics_file import finite
from trainers.runs.build import Ready, make_model
from trainers.runs.finished import targets
from trainers.runs.workdir import LAST, MODEL, SUMMARY
from trainers.speed.keras_inside import is_seed
from trainers.tasks import Task


def finish(ready: Ready, workdir: Path, began: float, *, is_chief: bool) -> dict:
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
        records = learner.records(data, "test", config.batch_size)
        summary = {"test": finite(metrics), **summary}
        if is_chief:
            summary |= _final_report(learner.task, data, metrics, records, workdir)
    if is_chief:
        write_json(workdir / SUMMARY, summary)
    return summary


def _save_model(learner: Learner, arguments: dict, precision: str, path: Path) -> None:
    """The model with the weights to evaluate, built anew outside the strategy."""
    model = make_model(arguments, precision)
    of_learner, values = [v for v in learner.model.variables if not is_seed(v)], learner.evaluated_values()
    for variable, like in zip([v for v in model.variables if not is_seed(v)], of_learner, strict=True):
        variable.assign(values[id(like)])
    unfinished = path.with_name(f"unfinished_{path.name}")
    model.save(unfinished)
    put_in_place(unfinished, path)


def _final_report(task: Task, data: Data, metrics: dict, records: Any, workdir: Path) -> dict:
    """Write the report of the test split, print it; what it adds to the summary."""
    y = targets(data, "test")
    report = task.report(y, records)
    write_whole(workdir / "report.txt", report.text.encode())
    write_json(workdir / "report.json", finite(report.data))
    for name, png in report.figures.items():
        write_whole(workdir / "report" / name, png)
    print(f"\n{report.text}")
    print("test: " + "  ".join(f"{name} {readable(value)}" for name, value in metrics.items()))
    added = {}
    if data.arrays("train") is not None:
        how, baseline = task.baseline(targets(data, "train"), y)
        if baseline:
            print(f"{how}: " + "  ".join(f"{name} {readable(value)}" for name, value in baseline.items()))
            added["baseline"] = {"how": how, **baseline}
    print(f"results are in {workdir}")
    return added


def _summary(learner: Learner, data: Data, config: Config, began: float) -> dict:
    progress = learner.progress
    best = {"step": progress.best_step, learner.timetable.monitor: progress.best} if progress.best_weights else {}
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

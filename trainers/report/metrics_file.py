"""metrics.jsonl: a flat line of JSON for each report of metrics."""

import json
import math
import os
from pathlib import Path
from typing import Any

from trainers.files import write_whole


def metrics_file(path: Path):
    """Hook: {"step", "epoch", "split", "loss", ..., "learning_rate", "examples_per_second"} a line; null where not finite.
    Before the line of the training split, one with split "skipped" and "examples" for each step that was skipped.

    A run that goes on from an earlier step first drops the lines after it.
    """

    def hook(event: str, learner) -> None:
        if event == "start" and path.exists():
            progress = learner.progress
            last = progress.step - 1 if progress.sums else progress.step  # with sums, its own lines are still to come
            lines = path.read_bytes().splitlines(keepends=True)
            kept = [i for i, line in enumerate(lines) if _step(line) <= last and _split(line) != "skipped"]
            before = lines[: kept[-1] + 1] if kept else []  # skipped steps stand before the report that they belong to
            write_whole(path, b"".join(line for line in before if _step(line) <= last))
        elif event == "metrics":
            records = []
            if learner.split == "train":
                for step in learner.progress.bad_steps:
                    records.append({"step": step, "split": "skipped", "examples": learner.examples_of_step(step)})
            record = {"step": learner.progress.step, "epoch": learner.epoch, "split": learner.split, **learner.metrics}
            record |= {
                "learning_rate": learner.learning_rate,
                "examples_per_second": round(learner.progress.examples_per_second, 1),
            }
            text = "".join(json.dumps(finite(r)) + "\n" for r in [*records, record])
            with path.open("ab") as file:  # on the disk before a checkpoint is: what it holds is reported here
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())

    return hook


def _step(line: bytes) -> float:
    """Of a line; infinite if the line is not whole."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def _split(line: bytes) -> str | None:
    return json.loads(line).get("split")


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not have, in dicts and lists too."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

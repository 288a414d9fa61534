"""metrics.jsonl: a flat line of JSON for each report of metrics."""

import json
import math
import os
from pathlib import Path


def metrics_file(path: Path):
    """Hook: {"step", "epoch", "split", "loss", ..., "learning_rate", "examples_per_second"} a line; null where not finite.
    Before the line of the training split, one with split "skipped" and "examples" for each step that was skipped.

    A run that goes on from an earlier step first drops the lines after it.
    """

    def hook(event: str, host) -> None:
        if event == "start" and path.exists():
            progress = host.progress
            last = progress.step - 1 if progress.sums else progress.step  # with sums, its own lines are still to come
            lines = [line for line in path.read_bytes().splitlines(keepends=True) if _step(line) <= last]
            unfinished = path.with_name(f"unfinished_{path.name}")
            _write(unfinished, b"".join(lines), "wb")
            unfinished.replace(path)
        elif event == "metrics":
            records = []
            if host.split == "train":
                for step in host.progress.bad_steps:
                    records.append({"step": step, "split": "skipped", "examples": host.examples_of_step(step)})
            record = {"step": host.progress.step, "epoch": host.epoch, "split": host.split, **host.metrics}
            record |= {"learning_rate": host.learning_rate, "examples_per_second": round(host.progress.examples_per_second, 1)}
            text = "".join(json.dumps(finite(r)) + "\n" for r in [*records, record])
            _write(path, text.encode(), "ab")

    return hook


def _step(line: bytes) -> float:
    """Of a line; infinite if the line is not whole."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def _write(path: Path, content: bytes, mode: str) -> None:
    """And make sure that it is on the disk: a checkpoint that is there holds what is reported here."""
    with path.open(mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def finite(record: dict) -> dict:
    """The record with None for numbers that JSON does not have."""
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()}

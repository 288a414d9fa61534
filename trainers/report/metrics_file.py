"""metrics.jsonl: a flat line of JSON for each report of metrics."""

import json
import math
from pathlib import Path


def metrics_file(path: Path):
    """Hook: {"step", "epoch", "split", "loss", ..., "learning_rate", "examples_per_second"} a line; null where not finite.

    A run that goes on from an earlier step first drops the lines after it.
    """

    def hook(event: str, host) -> None:
        if event == "start" and path.exists():
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if json.loads(line)["step"] <= host.progress.step))
        elif event == "metrics":
            record = {"step": host.progress.step, "epoch": host.epoch, "split": host.split, **host.metrics}
            record |= {"learning_rate": host.learning_rate, "examples_per_second": round(host.progress.examples_per_second, 1)}
            with path.open("a") as file:
                file.write(json.dumps(finite(record)) + "\n")

    return hook


def finite(record: dict) -> dict:
    """The record with None for numbers that JSON does not have."""
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()}

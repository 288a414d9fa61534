"""A folder for `Trainer.fit(..., workdir=W)`: checkpoints/, metrics.jsonl, and trainer.json with what must stay the same."""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

from trainers.files import read_json, write_json
from trainers.keras_compat import History
from trainers.runs.checkpoint import newest_good, restore
from trainers.runs.workdir import CHECKPOINTS, locked

_FACTS, _METRICS = "trainer.json", "metrics.jsonl"
_NO_METRICS = {"step", "epoch", "split", "skipped", "learning_rate", "examples_per_second"}


@contextlib.contextmanager
def opened(workdir: Path, learner, facts: dict) -> Iterator[tuple[Path, Path]]:
    """Keep other processes out, and give the learner the state of the newest good checkpoint in the folder, if there is one.

    Yields:
      The folder of checkpoints, and the file of metrics.

    Raises:
      ValueError: it holds what was trained with other facts, or another process is in it.
    """
    with locked(workdir):
        if (workdir / _FACTS).exists():
            before, now = read_json(workdir / _FACTS), json.loads(json.dumps(facts))
            differing = [f"{k} ({before.get(k)!r} there, {v!r} now)" for k, v in now.items() if before.get(k) != v]
            if differing:
                raise ValueError(f"{workdir} holds other training; give another workdir. Differing: {', '.join(differing)}")
        else:
            write_json(workdir / _FACTS, facts)
        newest = newest_good(workdir / CHECKPOINTS)
        if newest:
            restore(learner, newest)
        yield workdir / CHECKPOINTS, workdir / _METRICS


def read_history(metrics: Path) -> History:
    """What the file of metrics says of each epoch up to now."""
    history = History()
    for line in metrics.read_text().splitlines() if metrics.exists() else []:
        record = json.loads(line)
        if record["split"] in ("train", "validation"):
            prefix = "" if record["split"] == "train" else "val_"
            for name in record.keys() - _NO_METRICS:
                history.setdefault(f"{prefix}{name}", []).append(math.nan if record[name] is None else record[name])
    return history

"""A run's folder: the names in it, who may write there, and what is read back."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import filelock
import keras

import modelzoo
import modelzoo.layers  # registers our layers for load_model
from trainers.config import Config
from trainers.files import read_json

CONFIG, SUMMARY, DATA, CHECKPOINTS = "config.json", "summary.json", "data", "checkpoints"
MODEL, LAST = "model.keras", "last.keras"


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Make the folder, and keep other processes out of it. A process that dies, however it dies, gives it free.

    Raises:
      ValueError: another process is in it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(workdir / ".lock", timeout=0):
            yield
    except filelock.Timeout as error:
        raise ValueError(f"another process trains in {workdir}; give another --workdir, or wait for it") from error


def saved_run(workdir: Path, config: Config, init_from: str | None) -> dict | None:
    """config.json of the run in the folder, if there is one.

    Raises:
      ValueError: it is another config's, or began from other weights.
    """
    if not (workdir / CONFIG).exists():
        return None
    saved = _config_record(workdir)
    before = _flat({**saved["config"], "--init_from": saved.get("init_from")})
    now = _flat({**config.to_dict(), "--init_from": init_from})
    if saved["versions"].get("modelzoo") == "0.1.0" and now["monitor"] is None and before["monitor"] == "loss":
        before["monitor"] = None  # what was not given was written as "loss"; now it is left to the task
    differing = [f"{k} ({before.get(k)!r} there, {now.get(k)!r} now)" for k in {**before, **now} if before.get(k) != now.get(k)]
    if differing:
        raise ValueError(
            f"{workdir} holds the run of another config; give another --workdir. Differing: {', '.join(differing)}"
        )
    return saved


def finished_run(workdir: Path) -> dict:
    """config.json of a finished run.

    Raises:
      ValueError: there is none.
    """
    for name in (CONFIG, MODEL):
        if not (workdir / name).exists():
            raise ValueError(f"{workdir} holds no finished run: there is no {name}")
    return _config_record(workdir)


def _config_record(workdir: Path) -> dict:
    record = read_json(workdir / CONFIG)
    absent = [name for name in ("config", "plan", "strategy", "versions") if name not in record]
    if absent:
        raise ValueError(f"{workdir / CONFIG} is not that of a run: it has no {', '.join(absent)}")
    return record


def load_model(workdir: Path) -> keras.Model:
    """The best model; in Keras' safe mode, which runs no code that a file brings along."""
    modelzoo.model_info(_config_record(workdir)["config"]["model"]["name"])  # imports its file, which registers its layers
    return keras.saving.load_model(workdir / MODEL, compile=False, safe_mode=True)


def fingerprint(*files: Path) -> str:
    """SHA-256 of what stands in the files."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _flat(values: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat

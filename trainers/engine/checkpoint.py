"""The whole state of a run, saved and restored to the bit.

A checkpoint is a folder named by its step, with state.safetensors (every variable, the sums, the best weights) and
progress.json. It is written beside the others and then renamed, so that a folder with a step's name is complete.
"""

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import load_file, save_file

from trainers.engine.host import Host, Progress

_KEPT = 2
_ARRAYS, _PROGRESS = "state.safetensors", "progress.json"
_IN_ARRAYS = ("sums", "best_weights")  # fields of Progress


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in a folder of them."""
    steps = sorted(path for path in folder.glob("[0-9]*") if path.is_dir())
    return steps[-1] if steps else None


def save(host: Host, folder: Path) -> Path:
    """Write the state as folder/STEP and drop older ones but the one before it."""
    arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in _named_variables(host).items()}
    arrays |= {f"sums/{name}": value for name, value in host.progress.sums.items()}
    arrays |= {f"best_weights/{i:04d}": value for i, value in enumerate(host.progress.best_weights)}
    progress = {f.name: getattr(host.progress, f.name) for f in dataclasses.fields(Progress) if f.name not in _IN_ARRAYS}
    target, unfinished = folder / f"{host.progress.step:010d}", folder / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_file({name: np.asarray(value, order="C") for name, value in arrays.items()}, unfinished / _ARRAYS)
    (unfinished / _PROGRESS).write_text(json.dumps(progress))
    for path in (unfinished / _ARRAYS, unfinished / _PROGRESS, unfinished):
        _sync(path)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)
    _sync(folder)
    for old in sorted(folder.glob("[0-9]*"))[:-_KEPT]:
        shutil.rmtree(old)
    return target


def restore(host: Host, checkpoint: Path) -> None:
    """Make the state that of a checkpoint.

    Raises:
      ValueError: its variables are not those of this model and optimizer.
    """
    arrays = load_file(checkpoint / _ARRAYS)
    variables = _named_variables(host)
    saved = {name: arrays[name].shape for name in arrays if name.split("/")[0] not in _IN_ARRAYS}
    wanted = {name: tuple(variable.shape) for name, variable in variables.items()}
    differing = [n for n in {**wanted, **saved} if wanted.get(n) != saved.get(n)]
    if differing:
        name = differing[0]
        path = variables[name].path if name in variables else "unknown"
        shapes = f"has the shape {saved.get(name)}, expected {wanted.get(name)}"
        raise ValueError(f"{checkpoint} is of another model: variable {name} ({path}) {shapes}")
    for name, variable in variables.items():
        variable.assign(arrays[name])
    progress = json.loads((checkpoint / _PROGRESS).read_text())
    sums = {name.removeprefix("sums/"): arrays[name] for name in arrays if name.startswith("sums/")}
    best_weights = [arrays[name] for name in sorted(arrays) if name.startswith("best_weights/")]
    host.progress = Progress(**progress, sums=sums, best_weights=best_weights)


def checkpoints(folder: Path, every_seconds: float):
    """Hook: a checkpoint at each evaluation, at the end, and so often between."""
    saved_at, due = time.monotonic(), False

    def hook(event: str, host: Host) -> None:
        nonlocal saved_at, due
        due = due or event == "evaluated"
        if (event == "loop" and (due or time.monotonic() - saved_at >= every_seconds)) or event == "end":
            save(host, folder)
            saved_at, due = time.monotonic(), False

    return hook


def _named_variables(host: Host) -> dict[str, keras.Variable]:
    """Every variable of a run by its kind and place. Keras' own names are no help: a second model in a process has others."""
    return {
        f"{kind}/{i:04d}": variable for kind, variables in host.state.variables.items() for i, variable in enumerate(variables)
    }


def _sync(path: Path) -> None:
    """Make sure that what was written is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

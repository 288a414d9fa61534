"""Weights from another run or file, by the variables' names."""

import logging
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import load_file

from trainers.remote import local
from trainers.runs.workdir import MODEL
from trainers.speed.keras_inside import is_seed

log = logging.getLogger("trainers")


def init_from(model: keras.Model, source: str) -> None:
    """Give a model's variables the values of those of the same name elsewhere. Which did not match is logged.

    Args:
      source: a run's folder (its best model), a .keras file, or .safetensors whose names are the variables' paths.

    Raises:
      ValueError: none of these, or nothing in it fits.
      FileNotFoundError: it is not there.
    """
    found = _read(local(source))
    wanted = {v.path: v for v in model.variables if not is_seed(v)}
    fitting = [name for name, v in wanted.items() if name in found and found[name].shape == tuple(v.shape)]
    if not fitting:
        raise ValueError(f"nothing in {source} fits the model. It has {_some(found)}; the model has {_some(wanted)}")
    for name in fitting:
        wanted[name].assign(found[name])
    log.info("init_from: %d of %d variables are from %s", len(fitting), len(wanted), source)
    for name, variable in wanted.items():
        if name not in found:
            log.warning("init_from: %s is not there and keeps its first values", name)
        elif name not in fitting:
            shapes = found[name].shape, tuple(variable.shape)
            log.warning("init_from: %s has the shape %s there, %s here, and keeps its first values", name, *shapes)
    for name in found.keys() - wanted.keys():
        log.warning("init_from: %s is not in the model and is left out", name)


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.is_dir():
        if not (path / MODEL).exists():
            raise ValueError(f"{path} holds no finished run: there is no {MODEL}")
        path /= MODEL
    if not path.exists():
        raise FileNotFoundError(f"no such run or file: {path}")
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix != ".keras":
        raise ValueError(f"--init_from takes a run's folder, a .keras or a .safetensors file. Received: {path}")
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return {v.path: keras.ops.convert_to_numpy(v) for v in model.variables if not is_seed(v)}


def _some(names) -> str:
    return ", ".join(sorted(names)[:5]) + ", ..." * (len(names) > 5)

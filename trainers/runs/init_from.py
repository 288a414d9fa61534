"""Weights from another run or file, by the variables' names."""

import logging
import re
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import load_file

from trainers.remote import local
from trainers.runs.workdir import MODEL, load_model
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
    found = {_name(path, model): value for path, value in _read(local(source), model).items()}
    wanted = {_name(v.path, model): v for v in model.variables if not is_seed(v)}
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


def _read(path: Path, like: keras.Model) -> dict[str, np.ndarray]:
    if path.is_dir() and not (path / MODEL).exists():
        raise ValueError(f"{path} holds no finished run: there is no {MODEL}")
    if not path.exists():
        raise FileNotFoundError(f"no such run or file: {path}")
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix != ".keras" and not path.is_dir():
        raise ValueError(f"--init_from takes a run's folder, a .keras or a .safetensors file. Received: {path}")
    try:
        with keras.saving.custom_object_scope(_classes(like)):
            model = load_model(path) if path.is_dir() else keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a layer's own code raises, too
        raise ValueError(f"{path} cannot be loaded: {_reason(error)}") from error
    return {v.path: keras.ops.convert_to_numpy(v) for v in model.variables if not is_seed(v)}


def _name(path: str, model: keras.Model) -> str:
    """A Sequential that was built at once has its own name before its variables' paths; loaded from a file, it has not."""
    return path.removeprefix(f"{model.name}/")


def _classes(model: keras.Model) -> dict[str, type]:
    """Those of the model's layers, by name: a file of the same layers needs no registration."""
    found = {}
    for layer in model.layers:
        found |= _classes(layer) if isinstance(layer, keras.Model) else {}
        found[type(layer).__name__] = type(layer)
    return found


def _reason(error: Exception) -> str:
    """One line; Keras' message has the whole config of the model."""
    unknown = re.findall(r"Could not locate \w+ '([^']+)'", str(error))
    if unknown:
        return (
            f"it has {', '.join(sorted(set(unknown)))}, which Keras does not know here. Import the module where it is "
            "registered (keras.saving.register_keras_serializable), or give a .safetensors file with the variables' paths as "
            "names"
        )
    return str(error).rpartition("Exception encountered: ")[2].partition("\n")[0].partition(". ")[0][:300]


def _some(names) -> str:
    return ", ".join(sorted(names)[:5]) + ", ..." * (len(names) > 5)

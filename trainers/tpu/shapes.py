"""What a model and a task need to know of data, from shapes alone: nothing is downloaded, read or fitted."""

import importlib
import inspect
import math
import pkgutil

import numpy as np
import tensorflow_datasets

import modelzoo
from trainers.config import Config
from trainers.data import datasets, sources
from trainers.data.encoders.image import MODES
from trainers.data.spec import Spec

_FLAGS = {"input_shape": "--input_shape=32,32,3", "num_classes": "--num_classes=10", "vocab_size": "--vocab_size=10000"}


def spec_from_shapes(
    config: Config,
    *,
    input_shape: tuple[int, ...] | None = None,
    num_classes: int | None = None,
    vocab_size: int | None = None,
) -> Spec:
    """The spec of a config's data as far as its registered info, the model's arguments and what is given say.

    Args:
      input_shape, num_classes, vocab_size: where given, in place of what the data says. For a regression `num_classes` is
        the number of targets.

    Raises:
      ValueError: a shape that only the data itself would tell; which, and the flag that gives it.
    """
    given = {"input_shape": input_shape, "num_classes": num_classes, "vocab_size": vocab_size}
    data = _of_data(config.data.to_dict())
    found = {}
    for name in given:
        candidates = (given[name], data.get(name), _of_model(config.model.to_dict(), name))
        found[name] = next((value for value in candidates if value is not None), None)
    regression = data.get("is_number", config.task["name"] == "regress")
    if regression and found["num_classes"] is None:
        found["num_classes"] = 1
    tokens = "vocab_size" in _parameters(config.model["name"]) and len(found["input_shape"] or ()) == 1
    absent = [n for n in ("input_shape", "num_classes") if found[n] is None]
    absent += ["vocab_size"] if tokens and found["vocab_size"] is None else []
    if absent:
        flags = {**_FLAGS, "input_shape": "--input_shape=400"} if tokens or found["vocab_size"] else _FLAGS
        raise ValueError(
            f"{' and '.join(absent)} of data {config.data['name']!r} cannot be known without reading it: give "
            f"{' '.join(flags[name] for name in absent)}"
        )
    common = dict(input_shape=tuple(found["input_shape"]), examples={}, vocab_size=found["vocab_size"])
    if regression:
        targets = found["num_classes"]
        return Spec(target_mean=(0.0,) * targets, target_std=(1.0,) * targets, **common)
    classes = max(found["num_classes"], 2)  # a model with one logit is for two
    return Spec(num_classes=classes, class_counts=(1,) * classes, **common)


def _parameters(model: str):
    return modelzoo.model_info(model).signature.parameters


def _of_model(model: dict, argument: str):
    """What the config's model, or its builder's default, says."""
    if argument in model:
        return model[argument]
    parameter = _parameters(model["name"]).get(argument)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _of_data(data: dict) -> dict:
    """What the config's data says of itself; all that is not known is absent."""
    name = data.pop("name")
    files = [module.name for module in pkgutil.iter_modules(sources.__path__) if module.name != "tfds"]
    if name == "text":
        return _of_text(data, importlib.import_module("trainers.data.sources.text").text)
    if name == "image_folder" and data.get("size"):
        return {"input_shape": (*data["size"], data.get("channels", 3))}
    if name in files or ":" in name:
        return {"is_number": True} if data.get("number") else {}
    return _of_registered(name, data)


def _of_text(data: dict, source) -> dict:
    """The most that a vocabulary may hold."""
    default = inspect.signature(source).parameters["vocab"].default
    found = {"vocab_size": data.get("vocab", default)}
    return {**found, "input_shape": (data["max_length"],)} if data.get("max_length") else found


def _of_registered(name: str, data: dict) -> dict:
    """From the features that a tensorflow-datasets builder declares."""
    if name in [module.name for module in pkgutil.iter_modules(datasets.__path__)]:
        importlib.import_module(f"{datasets.__name__}.{name}")  # importing it registers it
    try:
        info = tensorflow_datasets.builder(name).info
    except (tensorflow_datasets.core.registered.DatasetNotFoundError, ValueError, AssertionError) as error:
        raise ValueError(f"data set {name!r} is unknown to tensorflow-datasets: {str(error).splitlines()[0]}") from error
    keys = info.supervised_keys or (None, None)
    features = dict(info.features)
    x, y = (features.get(data.get(key) or keys[i]) for i, key in enumerate("xy"))
    if x is None or y is None:
        raise ValueError(f"data set {name!r} needs x and y, names of features. It has: {', '.join(features)}")
    kinds = tensorflow_datasets.features
    if isinstance(y, kinds.ClassLabel):
        found = {"num_classes": y.num_classes}
    else:
        found = {"num_classes": math.prod(y.shape), "is_number": True} if np.issubdtype(y.np_dtype, np.floating) else {}
    if isinstance(x, kinds.Text):
        return {**found, **_of_text(data, importlib.import_module("trainers.data.sources.tfds").tfds)}
    size = data.get("size")
    shape = (*size, x.shape[-1]) if size and len(x.shape) == 3 and x.shape[-1] in MODES else x.shape
    return found if shape is None or None in shape else {**found, "input_shape": tuple(shape)}

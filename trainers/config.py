"""What a run is: data, model, task, optimizer and how long. A config file is Python with `get_config() -> Config`."""

import ast
import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

PRECISIONS = ("float32", "bfloat16", "float16")
ON_NAN = ("stop", "rollback", "continue")
_HERE = Path(__file__).parent
CONFIG_FOLDERS = (_HERE.parent / "configs", _HERE / "configs")  # a clone's; an installed package's


@dataclasses.dataclass(kw_only=True)
class Config:
    """The science of a run; where it runs and what it writes are flags.

    Each of the four dicts has a `name`; the rest are arguments of what the name stands for, so their signatures are the
    documentation: `python -m modelzoo show NAME`, `trainers/data/sources/`, `trainers/tasks/`, `keras.optimizers`.

    Attributes:
      data: `name` is one of our sources (csv, image_folder, text, npz), a tensorflow-datasets name or
        "package.module:function"; `augment` names transformations of images.
      model: a registered name or "package.module:builder"; input_shape, num_classes and vocab_size come from the data.
      task: classify, regress or "package.module:Class".
      optimizer: a Keras optimizer in lower case, its arguments, and `schedule`, `no_decay`; or a list of [pattern, such a
        dict or None], of which the first whose pattern matches a variable's path counts; None freezes.
      batch_size: examples per step over all replicas together.
      epochs, steps: how long; one of the two.
      seed: of weights, order, augmentation and dropout.
      precision: float32, bfloat16 or float16 (with dynamic loss scaling).
      accumulate: pieces that each batch is computed in, one after the other, to save memory.
      remat: keep less of the forward pass in memory and compute it again in the backward pass.
      eval_every_epochs, eval_every_steps: how often the validation split is evaluated; one of the two.
      monitor: the metric of the validation split that says which model is best; None for the task's own.
      patience: stop after so many evaluations without a better `monitor`; None to never stop early.
      log_every_steps: how often a line of training metrics is written, besides at evaluations.
      on_nan: what happens after `most_bad_steps` in a row whose loss or gradient is not finite: "stop", "rollback" (to the
        best checkpoint, and on with the next batch) or "continue". Such a step changes nothing in any case.
      most_bad_steps: see on_nan.
      deterministic: TensorFlow's deterministic kernels: two runs give the same bits, for 1 to 11% of the speed on a CPU.
      health: report gradient norms, update-to-weight ratios and dead units with the training metrics, and advise.
    """

    data: dict
    model: dict
    optimizer: dict | list
    batch_size: int
    task: dict = dataclasses.field(default_factory=lambda: {"name": "classify"})
    epochs: float | None = None
    steps: int | None = None
    seed: int = 0
    precision: str = "float32"
    accumulate: int = 1
    remat: bool = False
    eval_every_epochs: float | None = None
    eval_every_steps: int | None = None
    monitor: str | None = None
    patience: int | None = None
    log_every_steps: int | None = None
    on_nan: str = "stop"
    most_bad_steps: int = 3
    deterministic: bool = True
    health: bool = False

    def __new__(cls, **fields: Any) -> "Config":
        for name in fields:
            _field(name)
        absent = [name for name in ("data", "model", "optimizer", "batch_size") if name not in fields]
        if absent:
            raise ValueError(f"a config needs {', '.join(absent)}. Received: {', '.join(fields) or 'nothing'}")
        return super().__new__(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _checked(name, value, _field(name).type))

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"a config has either epochs or steps. Received: epochs={self.epochs}, steps={self.steps}")
        if self.eval_every_epochs and self.eval_every_steps:
            raise ValueError("a config has either eval_every_epochs or eval_every_steps. Received: both")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}. Accepted: {', '.join(PRECISIONS)}")
        if self.on_nan not in ON_NAN:
            raise ValueError(f"unknown on_nan {self.on_nan!r}. Accepted: {', '.join(ON_NAN)}")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size must be a multiple of accumulate. Received: {self.batch_size} and {self.accumulate}")
        for name in ("data", "model", "task", "optimizer"):
            value = getattr(self, name)
            if not isinstance(value, list) and not isinstance(value.get("name"), str):
                raise ValueError(f"config.{name} needs a name. Received: {value.to_dict()}")

    def to_dict(self) -> dict:
        """Plain dicts, lists and numbers, as config.json holds them."""
        values = {name: getattr(self, name) for name in _FIELDS}
        return json.loads(json.dumps({k: v.to_dict() if isinstance(v, ConfigDict) else v for k, v in values.items()}))


_FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def _field(name: str) -> dataclasses.Field:
    if name not in _FIELDS:
        raise ValueError(f"unknown config field {name!r}. {_nearest(name, _FIELDS)}")
    return _FIELDS[name]


def _nearest(name: str, names: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, list(names), n=3)
    return f"Nearest: {', '.join(nearest)}" if nearest else f"Accepted: {', '.join(sorted(names))}"


def _checked(name: str, value: Any, kind: Any) -> Any:
    """`value` as the field's type, or ValueError. Numbers are sizes and must be positive; a seed may be 0."""
    kinds = kind.__args__ if isinstance(kind, types.UnionType) else (kind,)
    if dict in kinds and isinstance(value, dict | ConfigDict):
        return ConfigDict(value)
    if float in kinds and type(value) is int:
        value = float(value)
    if type(value) not in kinds:
        accepted = " or ".join("None" if k is type(None) else k.__name__ for k in kinds)
        raise ValueError(f"config.{name} must be {accepted}. Received: {value!r}")
    if isinstance(value, int | float) and type(value) is not bool and not (value > 0 or (name == "seed" and value >= 0)):
        raise ValueError(f"config.{name} must be positive. Received: {value!r}")
    return value


def load_config(path_or_name: str, overrides: Iterable[str] = ()) -> Config:
    """Read a config and change it.

    Args:
      path_or_name: a .py file with get_config(), a run's config.json, or the bare name of a file in `configs/`.
      overrides: "optimizer.learning_rate=0.01". The value is a Python literal, else text; it may name any argument of
        the constructor that its dict is for, listed in the config or not.

    Raises:
      ValueError: no such config; a field that does not exist; a value of the wrong type.
    """
    path = find_config(path_or_name)
    values = _saved_config(path) if path.suffix == ".json" else _run_config_file(path).to_dict()
    for override in overrides:
        _override(values, override)
    return Config(**values)


def find_config(path_or_name: str) -> Path:
    """The file that a path or a bare name stands for."""
    path = Path(path_or_name)
    if path.suffix in (".py", ".json") and path.is_file():
        return path
    for folder in CONFIG_FOLDERS:
        if (folder / f"{path.stem}.py").is_file() and path.parent in (Path("."), Path("configs")):
            return folder / f"{path.stem}.py"
    names = sorted(file.stem for folder in CONFIG_FOLDERS for file in folder.glob("*.py"))
    raise ValueError(f"no config {path_or_name!r}: neither a file nor a name. {_nearest(path.stem, names)}")


def _run_config_file(path: Path) -> Config:
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, NameError, ImportError) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    if not hasattr(module, "get_config"):
        raise ValueError(f"{path} has no function get_config() that returns a trainers.Config")
    config = module.get_config()
    if not isinstance(config, Config):
        raise ValueError(f"{path}: get_config() must return a trainers.Config. Received: {type(config).__name__}")
    return config


def _saved_config(path: Path) -> dict:
    try:
        values = json.loads(path.read_bytes())["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no config.json of a run: it has no 'config'") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no config.json of a run: its 'config' is {values!r}")
    return values


def _override(values: dict, override: str) -> None:
    """Set one value, as "a.b.c=text" says, in nested dicts."""
    key, equals, text = override.partition("=")
    if not equals:
        raise ValueError(f"an override is KEY=VALUE. Received: {override!r}")
    *parents, last = key.split(".")
    _field(key.partition(".")[0])
    for parent in parents:
        if not isinstance(values.setdefault(parent, {}), dict):
            raise ValueError(f"config.{key} cannot be set: {parent!r} is {values[parent]!r}, not a dict")
        values = values[parent]
    values[last] = _literal(key, text, values.get(last))


_FITS = {int: (int, float), float: (int, float), list: (list, tuple)}


def _literal(key: str, text: str, before: Any) -> Any:
    """`text` as a value that can stand where `before` stood."""
    if isinstance(before, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    if before is not None and value is not None and type(value) not in _FITS.get(type(before), (type(before),)):
        raise ValueError(f"config.{key} is {before!r} and must stay {type(before).__name__}. Received: {text!r}")
    return value


def construct(kind: str, name: str, constructor: Callable, arguments: dict, *positional) -> Any:
    """constructor(*positional, **arguments); arguments that it does not take are a ValueError that shows its signature."""
    signature = inspect.signature(constructor)
    named = [
        p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD
    ]  # **kwargs would swallow a misspelled name
    signature = signature.replace(parameters=named)
    try:
        signature.bind(*positional, **arguments)
    except TypeError as error:
        raise ValueError(f"{kind} {name!r}: {error}. It is {name}{signature}") from error
    return constructor(*positional, **arguments)


def find_by_name(kind: str, name: str, package: str, attribute: str) -> Any:
    """What `name` stands for: `attribute` of the file NAME.py in `package`, or "package.module:attribute" of the user's own.

    Raises:
      ValueError: neither.
    """
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{kind} {name!r}: {error}") from error
    names = [m.name for m in pkgutil.iter_modules(importlib.import_module(package).__path__) if m.name != "base"]
    if name not in names:
        raise ValueError(f"unknown {kind} {name!r}. {_nearest(name, names)}; your own is named package.module:attribute")
    return getattr(importlib.import_module(f"{package}.{name}"), attribute)

"""Model names -> builders.

A family is one file in families/: functions that return a `keras.Model`, under `@register_model`. The first
look-up imports every such file, so there is no list of models to keep.
"""

import contextlib
import dataclasses
import difflib
import fnmatch
import functools
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator

import keras

import modelzoo.families
from modelzoo.weights.names import Names
from modelzoo.weights.published import Published

Builder = Callable[..., keras.Model]


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the registry keeps of a model."""

    name: str
    builder: Builder
    tiny: dict
    paper: str | None
    params: int | None
    task: str
    names: dict[str, Names] = dataclasses.field(default_factory=dict)
    weights: dict[str, Published] = dataclasses.field(default_factory=dict)

    @property
    def tiny_arguments(self) -> dict:
        """All that the smallest instance is built with: a variant's own arguments too."""
        return {**getattr(self.builder, "keywords", {}), **self.tiny}


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What a model is. What needs the model itself is counted when it is first asked for.

    Attributes:
      name, summary, task, paper: as registered.
      signature: of the builder, with its defaults.
      arguments: the model is built with, defaults among them.
      tiny: arguments of the smallest instance.
      weights: published sets, by name.
    """

    name: str
    summary: str
    task: str
    paper: str | None
    signature: inspect.Signature
    arguments: dict
    tiny: dict
    weights: dict[str, Published] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def model(self) -> keras.Model:
        """For its structure: the variables have shapes but no values, so that nothing large is allocated."""
        from modelzoo.counting import without_values  # needed by nothing else

        with without_values():
            return create_model(self.name, **self.arguments)

    @property
    def parameters(self) -> int:
        """Trainable or not."""
        return self.model.count_params()

    @property
    def trainable_parameters(self) -> int:
        """Without moving statistics, as papers count them."""
        return sum(math.prod(weight.shape) for weight in self.model.trainable_weights)

    @property
    def output_shape(self) -> tuple | None:
        """None where the model does not say: a subclass of keras.Model."""
        return getattr(self.model, "output_shape", None)

    @property
    def multiply_adds(self) -> int | None:
        """Of one example, as papers count them; None where the model does not say: it is a subclass of keras.Model, or takes
        sequences of any length.
        """
        from modelzoo.counting import layer_multiply_adds  # needed by nothing else

        model = self.model
        if not getattr(model, "inputs", None):
            return None
        try:
            return sum(layer_multiply_adds(layer) for layer in model.layers)
        except (AttributeError, TypeError, NotImplementedError):
            return None


_entries: dict[str, Entry] = {}


def register_model(
    *,
    tiny: dict,
    paper: str | None = None,
    params: int | None = None,
    task: str = "classify",
    names: dict[str, Names] | None = None,
    weights: dict[str, Published] | None = None,
):
    """Decorator that enters a builder under its function's name.

    Args:
      tiny: arguments of the smallest instance; the tests build, train and save every model with them.
      paper: authors, year and title.
      params: trainable parameters of the builder's defaults (or of its paper's net); the tests count them.
      task: the name of the task that it is usually trained on.
      names: what published files call its tensors, by the library that writes them: `{"timm": Names(...)}`.
      weights: published weights of the builder's defaults, by name.

    Raises:
      ValueError: the name is taken.
    """

    def enter(builder: Builder) -> Builder:
        _enter(Entry(builder.__name__, builder, tiny, paper, params, task, names or {}, weights or {}))
        return builder

    return enter


def variant(
    name: str,
    builder: Builder,
    /,
    *,
    doc: str,
    tiny: dict | None = None,
    paper: str | None = None,
    params: int | None = None,
    task: str | None = None,
    weights: dict[str, Published] | None = None,
    **arguments,
) -> Builder:
    """Enter `builder` with other defaults under a name of its own: `lenet5 = variant("lenet5", cnn, ...)`.

    What is not given (`paper`, `tiny`, `task`) is the base's; published weights are the variant's own.
    """
    base = next(entry for entry in _entries.values() if entry.builder is builder)
    changed = functools.partial(builder, **arguments)
    changed.__name__, changed.__doc__ = name, doc
    given = dict(
        tiny=tiny or base.tiny, paper=paper or base.paper, params=params, task=task or base.task, weights=weights or {}
    )
    _enter(dataclasses.replace(base, name=name, builder=changed, **given))
    return changed


def _enter(entry: Entry) -> None:
    module, known = _module(entry.builder), _entries.get(entry.name)
    if known and _module(known.builder) != module:
        raise ValueError(
            f"a model named {entry.name!r} is registered already, by {_module(known.builder)}; {module} needs another"
        )
    _entries[entry.name] = entry


def _module(builder: Builder) -> str:
    return getattr(builder, "func", builder).__module__


@functools.cache
def _import_families() -> None:
    for module in pkgutil.iter_modules(modelzoo.families.__path__):
        importlib.import_module(f"modelzoo.families.{module.name}")


def find_entry(name: str) -> Entry:
    """The entry of a registered name, or of "package.module:builder"; ValueError names the nearest otherwise."""
    _import_families()
    if name in _entries:
        return _entries[name]
    if ":" in name:
        module, _, function = name.partition(":")
        try:
            builder = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"model {name!r}: {error}") from error
        return Entry(name, builder, {}, None, None, "classify")
    nearest = difflib.get_close_matches(name, _entries, n=4, cutoff=0.4) or sorted(_entries)
    raise ValueError(
        f"unknown model {name!r}. Nearest: {', '.join(nearest)}. "
        "`python -m modelzoo list` shows all; a builder of your own is named package.module:function"
    )


def list_models(pattern: str = "*", task: str | None = None, *, pretrained: bool = False, distinct: bool = False) -> list[str]:
    """Registered names, sorted.

    Args:
      pattern: of a shell, such as `"mlp*"`.
      task: only those usually trained on it.
      pretrained: only those with named sets of published weights.
      distinct: one name for each different smallest instance, for whoever builds all of them: the variants of a family
        usually share one.
    """
    _import_families()
    found = {n: e for n, e in sorted(_entries.items()) if fnmatch.fnmatch(n, pattern) and task in (None, e.task)}
    if pretrained:
        found = {name: entry for name, entry in found.items() if entry.weights}
    if distinct:
        instances = {}
        for name, entry in found.items():
            key = getattr(entry.builder, "func", entry.builder), repr(sorted(entry.tiny_arguments.items()))
            instances.setdefault(key, name)
        return sorted(instances.values())
    return list(found)


def create_model(name: str, /, *, weights: str | None = None, dtype: str | None = None, **arguments) -> keras.Model:
    """Build a model: x -> logits, float32, with no softmax or sigmoid at its end.

    Args:
      name: a registered name, or `"package.module:builder"` for a builder of one's own.
      weights: published weights: a named set of this model (`python -m modelzoo show NAME` lists them), `"hf:OWNER/REPO"`,
        or the path of a .safetensors file or of a folder with one. None for random ones. With a named set, or a repository
        that says it, images of 0..1 are normalised in the model as the weights need it.
      dtype: a Keras dtype policy (`"mixed_bfloat16"`), set only while building.
      **arguments: the builder's own (`python -m modelzoo show NAME` lists them).

    Raises:
      ValueError: unknown name; an argument that the builder does not have, lacks or refuses; weights that are not there or
        do not fit.
    """
    entry = find_entry(name)
    if weights is None:
        return _build(entry, dtype, arguments)
    from modelzoo.weights.load import arguments_of, load_weights  # NumPy and safetensors, needed by nothing else
    from modelzoo.weights.published import find_weights

    file = find_weights(weights, entry.name, entry.names, entry.weights)
    entry = _of_architecture(entry, file.architecture)
    model = _build(entry, dtype, arguments_of(file, inspect.signature(entry.builder), arguments))
    load_weights(model, file.path, entry.names)
    return model


def _of_architecture(entry: Entry, architecture: str | None) -> Entry:
    """The variant that a file's architecture names, where a family was asked for; by its own or its published name."""
    if architecture is None or hasattr(entry.builder, "func"):
        return entry
    for variant in _entries.values():
        published = {found.hub.rpartition("/")[2].partition(".")[0] for found in variant.weights.values()}
        if getattr(variant.builder, "func", None) is entry.builder and architecture in (variant.name, *published):
            return variant
    return entry


def _build(entry: Entry, dtype: str | None, arguments: dict) -> keras.Model:
    builder, name = entry.builder, entry.name
    signature = inspect.signature(builder)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ValueError(f"model {name!r}: {error}. It is {name}{signature}") from error
    with _dtype_policy(dtype):
        try:
            return builder(**arguments)
        except TypeError as error:
            given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
            raise ValueError(f"model {name!r}: {error}. It is {name}{signature}. Received: {given}") from error


@contextlib.contextmanager
def _dtype_policy(dtype: str | None) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def model_info(name: str, /, **arguments) -> ModelInfo:
    """What a model is, with `arguments`; with those of its tiny instance too if some argument has no default. `weights` change
    none of it.
    """
    arguments = {key: value for key, value in arguments.items() if key != "weights"}
    entry = find_entry(name)
    signature = inspect.signature(entry.builder)
    defaults = {p.name: p.default for p in signature.parameters.values()}
    if any(default is inspect.Parameter.empty and key not in arguments for key, default in defaults.items()):
        arguments = {**entry.tiny, **arguments}
    summary = inspect.cleandoc(entry.builder.__doc__ or "").partition("\n")[0]
    given = {**defaults, **arguments}
    return ModelInfo(name, summary, entry.task, entry.paper, signature, given, entry.tiny, entry.weights)

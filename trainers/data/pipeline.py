"""A config's data -> Data: opened, fitted, encoded; and what of it is kept with a run. N examples of a split."""

import dataclasses
import inspect
import logging
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np

from trainers.config import construct, find_by_name
from trainers.data import sources
from trainers.data.encoders import Encoder, Fields, TableEncoder, make_encoder, saved
from trainers.data.encoders.base import check_finite
from trainers.data.encoders.kinds import completed, input_kind, target_kind
from trainers.data.lazy import Examples, as_arrays, encoding, examples_of, first_of, shapes_of
from trainers.data.overlap import warn_of_shared
from trainers.data.serving import Data
from trainers.data.spec import Indexed, Source, Spec, Split, Stream, leaves, mapped
from trainers.files import read_json, write_json

__all__ = ["STATE_FILE", "Data", "Spec", "check_same_data", "load_data", "load_encoder", "save_state"]
log = logging.getLogger("trainers")

STATE_FILE = "data.json"
_SAMPLE = 64  # examples of a split that is not in memory, by which an encoder is chosen
_INPUT_FACTS = ("vocab_size",)
_TARGET_FACTS = ("num_classes", "class_names", "class_counts", "target_mean", "target_std")


def load_data(config: dict, state_dir: Path | None = None, data_dir: str | None = None) -> Data:
    """The data that a config names.

    Args:
      config: `name`, the arguments of the source, and `augment`. A name "package.module:function" is one's own source: it
        returns a Source, or a dict of splits that are each (x, y), (x, y, w) or {"x", "y", "w"} of arrays, lists, or dicts of
        these by field.
      state_dir: of a run. What is fitted (vocabulary, means, categories, class names) is read from there if it is there.
      data_dir: where data sets and files are looked for.

    Raises:
      ValueError: unknown data, arguments that the source refuses, or examples that are not right; what and where.
    """
    config = dict(config)
    name, augment = config.pop("name"), config.pop("augment", None)
    source = _open(name, config, data_dir)
    if "train" not in source.splits:
        raise ValueError(f"data {name!r} has no split 'train'. It has: {', '.join(source.splits)}")
    for split, raw in source.splits.items():
        _check_lengths(split, raw)
    x, y = _encoders(source, state_dir)
    splits = {split: _encoded(split, raw, x, y) for split, raw in source.splits.items()}
    _warn_of_shared_rows(source)
    spec = _spec(splits, source.splits["train"], x, y)
    if state_dir is None or not (state_dir / STATE_FILE).exists():
        _check_there_is_something_to_learn(spec, splits["train"])
    if ":" in name:
        log.info("data: %s", "; ".join(_described("x", x, spec.input_shape) + _described("y", y, spec.target_shape)))
    return Data(spec, splits, x, augment, y)


def _open(name: str, arguments: dict, data_dir: str | None) -> Source:
    """The source of a name: a file in sources/, "package.module:function", or else a tensorflow-datasets name."""
    known = [module.name for module in pkgutil.iter_modules(sources.__path__)]
    if name in known or ":" in name:
        function, given = find_by_name("data source", name, sources.__name__, attribute=name), ()
    else:
        function, given = find_by_name("data source", "tfds", sources.__name__, attribute="tfds"), (name,)
    if "data_dir" in inspect.signature(function).parameters:
        arguments = {**arguments, "data_dir": data_dir}
    found = construct("data", name, function, arguments, *given)
    if isinstance(found, Source):
        return found
    if not isinstance(found, dict):
        raise ValueError(f"data {name!r} must return a Source or a dict of splits. Received: {type(found).__name__}")
    return Source({split: _split(name, split, examples) for split, examples in found.items()})


def _split(name: str, split: str, given) -> Split | Indexed | Stream:
    """Of one's own arrays. y [N, 1] becomes [N]."""
    if isinstance(given, Split | Indexed | Stream):
        return given
    parts = dict(zip("xyw", given, strict=False)) if isinstance(given, tuple | list) and len(given) in (2, 3) else given
    if not isinstance(parts, dict) or not {"x"} <= parts.keys() <= {"x", "y", "w"}:
        kind = f"a dict of {', '.join(map(str, given))}" if isinstance(given, dict) else type(given).__name__
        raise ValueError(f'data {name!r}: split {split!r} must be (x, y), (x, y, w) or {{"x", "y", "w"}}. Received: {kind}')

    def column(values):
        return values[:, 0] if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1 else values

    w = parts.get("w")
    y = mapped(column, mapped(as_arrays, parts.get("y", ())))
    return Split(mapped(as_arrays, parts["x"]), y, None if w is None else mapped(np.asarray, w))


def _check_lengths(name: str, split: Split | Indexed | Stream) -> None:
    """ValueError if a split has no examples, fields of unequal length, or weights that are no finite numbers."""
    rows = split.rows if isinstance(split, Indexed) else split
    if isinstance(rows, Split):
        weights = [] if rows.w is None else leaves(rows.w, "w")
        lengths = {what: len(values) for what, values in leaves(rows.x, "x") + leaves(rows.y, "y") + weights}
        if len(set(lengths.values())) > 1:
            received = ", ".join(f"{what} {length}" for what, length in lengths.items())
            raise ValueError(f"fields of split {name!r} must have as many examples. Received: {received}")
        for what, values in weights:
            check_finite(np.asarray(values, np.float32), f"{what} of split {name!r}")
    if not len(split):
        raise ValueError(f"split {name!r} is empty")


def _encoders(source: Source, state_dir: Path | None) -> tuple[Encoder, Encoder]:
    """Of x and y: those of the run, or fitted on the training split."""
    train, kept = source.splits["train"], (None, None, None)
    if state_dir is not None and (state_dir / STATE_FILE).exists():
        kept = _load_state(state_dir)
    spec, x, y = kept
    if x is None:
        x = _completed(source.fields["x"], train, "x", input_kind)
        x.fit(_raw(train, "x"))
    if y is None:
        y = _completed(source.fields["y"], train, "y", target_kind)
        if spec and spec.class_names:
            y.class_names = list(spec.class_names)  # data.json of version 0.1.0 has them there alone
        y.fit(_raw(train, "y"))
    return x, y


def _completed(given, train: Split | Indexed | Stream, part: str, kind_of) -> Encoder:
    if given is None or isinstance(given, dict | tuple):
        return completed(given, getattr(train, part) if isinstance(train, Split) else first_of(train, _SAMPLE)[part], kind_of)
    return make_encoder(given)


def _raw(split: Split | Indexed | Stream, part: str) -> Any:
    """x or y as an encoder is fitted on it: in memory, or something to iterate over that is read only if it is asked for."""
    if isinstance(split, Split):
        return getattr(split, part)
    if isinstance(split, Indexed) and part == "y" and not split.read_y:
        return split.rows.y
    return Examples(examples_of(split))[part]


def _encoded(name: str, raw: Split | Indexed | Stream, x: Encoder, y: Encoder) -> Split | Indexed | Stream:
    """The split with x and y encoded, or, where they are not in memory, what encodes batches of them."""
    if isinstance(raw, Split):
        return Split(_encode(x, raw.x, "x", name), _encode(y, raw.y, "y", name), raw.w)
    first = first_of(raw)
    encode_x, encode_y = encoding(x, first["x"], f"x of split {name!r}"), None
    if isinstance(raw, Indexed):
        rows = Split(mapped(as_arrays, raw.rows.x), mapped(as_arrays, raw.rows.y), raw.rows.w)
        if not raw.read_y:
            rows.y, encode_y = _encode(y, raw.rows.y, "y", name), lambda values: values
        raw = dataclasses.replace(raw, rows=rows)
    encode_y = encode_y or encoding(y, first["y"], f"y of split {name!r}")
    return dataclasses.replace(raw, encode=lambda batch: {"x": encode_x(batch["x"]), "y": encode_y(batch["y"])})


def _encode(encoder: Encoder, values, part: str, split: str):
    try:
        found = encoder.encode(values)
    except ValueError as error:
        raise ValueError(f"{part} of split {split!r}: {error}") from error
    for what, array in leaves(found, part):
        check_finite(array, f"{what} of split {split!r}")
    return found


def _spec(splits: dict[str, Split | Indexed | Stream], raw: Split | Indexed | Stream, x: Encoder, y: Encoder) -> Spec:
    """raw: the training split before it was encoded."""
    train = splits["train"]
    if isinstance(train, Split):
        found = {"x": train.x, "y": train.y}
        values = train.y
    else:
        first = first_of(raw)
        found = {"x": x.encode(first["x"]), "y": y.encode(first["y"])}
        values = train.rows.y if isinstance(train, Indexed) and not train.read_y else _raw(raw, "y")
    facts = {name: value for name, value in x.facts(found["x"]).items() if name in _INPUT_FACTS}
    facts |= {name: value for name, value in y.facts(values).items() if name in _TARGET_FACTS}
    examples = {name: len(split) for name, split in splits.items()}
    return Spec(input_shape=shapes_of(found["x"]), target_shape=shapes_of(found["y"]), examples=examples, **facts)


def _described(what: str, encoder: Encoder, shape) -> list[str]:
    """What each field is taken for, and its shape."""
    if isinstance(encoder, Fields):
        return [text for key, field in encoder.items() for text in _described(f"{what}.{key}", field, shape[key])]
    return [f"{what} is {encoder.name} {list(shape) if isinstance(shape, tuple) else shape}"]


def save_state(data: Data, state_dir: Path) -> None:
    """Keep what load_encoder reads."""
    state = {"spec": dataclasses.asdict(data.spec), "encoder": saved(data.encoder)}
    if data.target_encoder is not None:
        state["targets"] = saved(data.target_encoder)
    state_dir.mkdir(parents=True, exist_ok=True)
    write_json(state_dir / STATE_FILE, state)


def load_encoder(state_dir: Path) -> tuple[Spec, Encoder]:
    """What a run has learnt of its data, and what encodes x, without reading any of it."""
    return _load_state(state_dir)[:2]


def _load_state(state_dir: Path) -> tuple[Spec, Encoder, Encoder | None]:
    """Spec and encoders of x and y; None for that of y in a run of version 0.1.0."""
    state = read_json(state_dir / STATE_FILE)
    try:
        targets = make_encoder(state["targets"]) if "targets" in state else None
        return Spec(**_with_tuples(state["spec"])), make_encoder(state["encoder"]), targets
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{state_dir / STATE_FILE} is damaged: {error}") from error


def _with_tuples(values):
    """JSON's lists as the tuples they were."""
    if isinstance(values, dict):
        return {key: _with_tuples(value) for key, value in values.items()}
    return tuple(map(_with_tuples, values)) if isinstance(values, list) else values


def _check_there_is_something_to_learn(spec: Spec, train: Split | Indexed | Stream) -> None:
    """ValueError where y is one field and the same in all examples."""
    if spec.num_classes == 1:
        names = ", ".join(spec.class_names or ("0",))
        raise ValueError(f"the target has one class, {names}: there is nothing to tell apart")
    if spec.target_mean and isinstance(train, Split) and isinstance(train.y, np.ndarray) and np.all(train.y == train.y[:1]):
        raise ValueError(f"the target is {train.y[0]} in all {len(train)} training examples: there is nothing to learn")


def check_same_data(data: Data, state_dir: Path) -> None:
    """ValueError if the data is not what the run in whose folder the state is began with."""
    for name, before in _with_tuples(read_json(state_dir / STATE_FILE)["spec"]).items():
        now = getattr(data.spec, name)
        if before != now:
            raise ValueError(f"the data has changed since the run began: {name} was {before}, now it is {now}")


def _warn_of_shared_rows(source: Source) -> None:
    """Of examples as they were given: different ones may be encoded as the same."""
    if isinstance(source.fields["x"], TableEncoder):
        return  # its source compares whole rows, with the columns that are left out
    given = {n: s.x for n, s in source.splits.items() if isinstance(s, Split) and isinstance(s.x, np.ndarray | list)}
    warn_of_shared({n: [hash(e.tobytes() if hasattr(e, "tobytes") else str(e)) for e in x] for n, x in given.items()})

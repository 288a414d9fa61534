"""What `keras.Model.fit` accepts -> Data: arrays, or batches that somebody else makes. N examples, B batch, T steps."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.data.encoders import ArrayEncoder
from trainers.data.pipeline import Data
from trainers.data.spec import Batches, Spec, Split
from trainers.nests import length

_ACCEPTED = '(x, y), (x, y, w), {"x", "y", "w"}, x alone, or batches of these: a tf.data.Dataset, a PyDataset, a generator'


class Given(Data):
    """Data of the user's own arrays or batches."""

    def first(self, count: int) -> dict[str, Any]:
        """The training split's first examples, {"x", "y", "w"}, at most `count`. Of a generator it takes none away."""
        found = self._split("train")
        if isinstance(found, Split):
            batch = {"x": found.x, "y": found.y, "w": np.ones(length(found.x)) if found.w is None else found.w}
        else:
            batch = getattr(found, "first", None) or next(found.dataset.as_numpy_iterator())
        return tf.nest.map_structure(lambda t: t[:count], batch)


class _Endless(Batches):
    """Batches without end; as many as an epoch has are `steps`."""

    def from_step(self, dataset, step, steps):
        return dataset.skip(step)


@dataclasses.dataclass
class _Generated(Batches):
    """Batches of a generator, which cannot be skipped without losing them. The first was taken to look at it."""

    first: dict | None = None

    def from_step(self, dataset, step, steps):
        return dataset


def as_data(given: dict, *, class_names: tuple[str, ...] | None = None, steps: int | None = None) -> Given:
    """Data of splits that are each (x, y), (x, y, w), {"x", "y", "w"}, x alone, or a tf.data.Dataset, keras.utils.PyDataset or
    generator of batches of one of these.

    x and y are arrays [N, ...] or dicts, tuples and lists of these; w are weights [N], or [N, T] of the steps of y, or a dict
    of these. Numbers stay what they are: float64 becomes float32 and int64 becomes int32 where they fit; integers that do not
    stay int64. y [N, 1] becomes [N]; text labels become class numbers, whose names are in the spec.

    Args:
      class_names: of text labels, in order, as they were found before; else the training split's.
      steps: batches that are one epoch of data that does not end.

    Raises:
      ValueError: none of these, arrays of unequal length, weights that would be broadcast, or numbers that do not fit.
    """
    splits = {name: _split(name, value, steps) for name, value in given.items()}
    class_names = _number_labels(splits, class_names)
    first = splits["train"]
    x = first.dataset.element_spec["x"] if isinstance(first, Batches) else first.x
    spec = Spec(
        input_shape=tf.nest.map_structure(lambda t: tuple(t.shape[1:]), x),
        examples={name: split.size if isinstance(split, Batches) else length(split.x) for name, split in splits.items()},
        class_names=class_names,
        num_classes=class_names and len(class_names),
    )
    return Given(spec, splits, ArrayEncoder())


def _split(name: str, given, steps: int | None) -> Split | Batches:
    if isinstance(given, tf.data.Dataset):
        return _batches(name, given, steps)
    if isinstance(given, keras.utils.PyDataset):
        return _batches_of_pydataset(name, given, steps)
    if isinstance(given, Iterator):
        return _batches_of_generator(name, given, steps)
    x, y, w = _parts(name, given)
    x, y = _arrays(x, f"{name}: x"), _column(_arrays(y, f"{name}: y"))
    w = None if w is None else _weights(_arrays(w, f"{name}: w"), y, name)
    lengths = {len(array) for array in tf.nest.flatten((x, y, () if w is None else w))}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"{name}: x, y and w must have one length, one or more. Received: {sorted(lengths)}")
    return Split(x, y, w)


def _parts(name: str, given) -> tuple:
    """(x, y, w); y is () where there is none."""
    if isinstance(given, dict) and "x" in given and set(given) <= {"x", "y", "w"}:
        return given["x"], given.get("y", ()), given.get("w")
    if isinstance(given, tuple | list) and len(given) in (2, 3):
        x, y, w = (*given, None)[:3]
        return x, () if y is None else y, w
    if isinstance(given, tuple | list) and len(given) == 1:
        return given[0], (), None
    if isinstance(given, dict) or hasattr(given, "shape"):
        return given, (), None
    raise ValueError(f"{name}: give {_ACCEPTED}. Received: {type(given).__name__}")


# Arrays ---------------------------------------------------------------------------------------------------------------


def _arrays(given, what: str):
    """A nest of arrays; lists become tuples, since tf.data makes one tensor of a list."""
    if isinstance(given, dict):
        return {key: _arrays(value, f"{what}[{key!r}]") for key, value in given.items()}
    if _is_sequence(given):
        return tuple(_arrays(value, f"{what}[{i}]") for i, value in enumerate(given))
    return _array(given, what)


def _is_sequence(given) -> bool:
    """Whether a list or tuple is one of arrays, and not of an array's numbers."""
    if not isinstance(given, list | tuple) or given == []:
        return False
    return all(isinstance(v, dict) or getattr(v, "shape", ()) or _is_sequence(v) for v in given)


def _array(given, what: str) -> np.ndarray:
    """As the model computes: float32 for float64, int32 for integers that fit."""
    array = np.asarray(given)
    if array.dtype == object and all(isinstance(value, str | bytes) for value in array.flat):
        return array
    kind = array.dtype.kind
    if kind == "f" and array.dtype.itemsize > 4:
        with np.errstate(over="ignore"):
            found = array.astype(np.float32)
        if (wrong := np.isinf(found) & np.isfinite(array)).any():
            raise ValueError(f"{what} must fit float32, which ends at 3.4e38. Received: {array[wrong][0]}")
        return found
    if (kind in "iu" and array.dtype.itemsize + (kind == "u") > 4) or array.dtype == np.uint16:
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if high > np.iinfo(np.int64).max:
            raise ValueError(f"{what} must fit int64, which ends at {np.iinfo(np.int64).max}. Received: {high}")
        fits = np.iinfo(np.int32).min <= low and high <= np.iinfo(np.int32).max
        return array.astype(np.int32 if fits else np.int64)
    if kind not in "fiubUS":
        raise ValueError(f"{what} must be numbers, booleans or text. Received: {array.dtype}, {array.flat[0]!r} among them")
    return array


def _column(y):
    """[N, 1] -> [N]."""
    return tf.nest.map_structure(lambda t: t[:, 0] if len(t.shape) == 2 and t.shape[1] == 1 else t, y)


def _weights(w, y, name: str):
    """Of [N], [N, 1] or [N, T]; a dict of these."""
    if isinstance(w, dict):
        return {
            key: _weights(value, y.get(key, y) if isinstance(y, dict) else y, f"{name}[{key!r}]") for key, value in w.items()
        }
    if isinstance(w, tuple):
        raise ValueError(f"{name}: weights of several outputs are a dict by the outputs' names. Received: {len(w)} arrays")
    w = _column(w)
    steps = {t.shape[1] for t in tf.nest.flatten(y) if len(t.shape) > 1}
    if len(w.shape) == 1 or (len(w.shape) == 2 and (w.shape[1] in steps or None in steps)):
        return tf.cast(w, tf.float32) if tf.is_tensor(w) else w.astype(np.float32)
    wanted = "".join(f" or [N, {t}]" for t in sorted(steps))
    raise ValueError(f"{name}: w must be [N]{wanted}. Received: {tuple(w.shape)}")


def _number_labels(splits: dict[str, Split | Batches], names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Make class numbers of text labels, in place; the names of the classes."""
    for split, found in splits.items():
        if isinstance(found, Batches):
            if any(t.dtype == tf.string for t in tf.nest.flatten(found.dataset.element_spec["y"])):
                raise ValueError(
                    f"{split}: text labels in batches must be class numbers. Map them first: keras.layers.StringLookup"
                )
        elif isinstance(found.y, np.ndarray) and found.y.dtype.kind in "USO":
            labels = np.asarray([v.decode() if isinstance(v, bytes) else v for v in found.y.flat]).reshape(found.y.shape)
            names = names or tuple(np.unique(labels).tolist())
            if len(unknown := np.setdiff1d(labels, names)):
                shown = ", ".join(names[:20])
                raise ValueError(f"{split}: the label {str(unknown[0])!r} is not in the training data. It has: {shown}")
            order = np.argsort(names)
            found.y = order[np.searchsorted(names, labels, sorter=order)].astype(np.int32)
    return names


# Batches --------------------------------------------------------------------------------------------------------------


def _batches(name: str, dataset: tf.data.Dataset, steps: int | None) -> Batches:
    """Batches under the names "x", "y", "w"; all as large as the largest."""
    if any(t.shape.rank == 0 for t in tf.nest.flatten(dataset.element_spec)):
        raise ValueError(f"{name}: a dataset must give batches. Received: {dataset.element_spec}; use dataset.batch(...)")
    dataset = dataset.map(
        lambda *parts: _named(name, parts[0] if len(parts) == 1 else parts), num_parallel_calls=tf.data.AUTOTUNE
    )
    cardinality = int(dataset.cardinality())
    batch_size = tf.nest.flatten(dataset.element_spec["w"])[0].shape[0]
    if cardinality == tf.data.INFINITE_CARDINALITY:
        batch_size = batch_size or length(next(dataset.as_numpy_iterator())["w"])
        return _endless(name, dataset, batch_size, steps)
    if cardinality > 0 and batch_size:
        return Batches(dataset, batch_size, cardinality, cardinality * batch_size)
    sizes = [int(n) for n in dataset.map(lambda b: tf.shape(tf.nest.flatten(b["w"])[0])[0]).as_numpy_iterator()]  # to count
    if not sizes:
        raise ValueError(f"{name}: the dataset is empty")
    return Batches(dataset, max(sizes), len(sizes), sum(sizes))


def _endless(name: str, dataset: tf.data.Dataset, batch_size: int, steps: int | None) -> Batches:
    if not steps:
        raise ValueError(
            f"{name}: batches that do not end need steps or steps_per_epoch, or dataset.take(...). Received: neither"
        )
    return _Endless(dataset, batch_size, steps, steps * batch_size)


def _named(name: str, given) -> dict:
    x, y, w = _parts(name, given)
    x, y = tf.nest.map_structure(lambda t: tf.cast(t, tf.float32) if t.dtype == tf.float64 else t, (x, _column(y)))
    rows = tf.shape(tf.nest.flatten(x)[0])[:1]
    return {"x": x, "y": y, "w": tf.ones(rows) if w is None else _weights(w, y, name)}


def _batches_of_pydataset(name: str, given: keras.utils.PyDataset, steps: int | None) -> Batches:
    count = given.num_batches
    first, last = _batch(name, given[0]), _batch(name, given[(count or 1) - 1])

    def epoch():
        for i in range(count) if count else itertools.count():
            yield _batch(name, given[i])
        given.on_epoch_end()

    dataset, batch_size = _from_generator(name, epoch, first), length(first["w"])
    if count is None:
        return _endless(name, dataset, batch_size, steps)
    return Batches(dataset, batch_size, count, (count - 1) * batch_size + length(last["w"]))


def _batches_of_generator(name: str, given: Iterator, steps: int | None) -> Batches:
    """What a generator gives is gone: each iterator goes on where the one before ended."""
    first = next(given, None)
    if first is None:
        raise ValueError(f"{name}: the generator is empty")
    rest = itertools.chain([first], given)
    first = _batch(name, first)
    dataset = _from_generator(name, lambda: (_batch(name, batch) for batch in rest), first)
    return _Generated(**vars(_endless(name, dataset, length(first["w"]), steps)), first=first)


def _batch(name: str, given) -> dict[str, Any]:
    """Arrays {"x", "y", "w"} of a batch."""
    split = _split(name, given, None)
    return {"x": split.x, "y": split.y, "w": np.ones(length(split.x), np.float32) if split.w is None else split.w}


def _from_generator(name: str, epoch, first: dict) -> tf.data.Dataset:
    batch_size = length(first["w"])

    def checked():
        for batch in epoch():
            if length(batch["w"]) > batch_size:
                raise ValueError(f"{name}: no batch may be larger than the first, {batch_size}. Received: {length(batch['w'])}")
            yield batch

    signature = tf.nest.map_structure(lambda t: tf.TensorSpec((None, *t.shape[1:]), tf.as_dtype(t.dtype)), first)
    return tf.data.Dataset.from_generator(checked, output_signature=signature)

"""What `keras.Model.fit` accepts -> Data: arrays, or a dataset of batches. B batch, N examples."""

import numpy as np
import tensorflow as tf

from trainers.data.encoders import ArrayEncoder
from trainers.data.pipeline import Data
from trainers.data.spec import Batches, Spec, Split


def as_data(given: dict) -> Data:
    """Data of splits that are each (x, y), (x, y, w), {"x", "y", "w"} or a tf.data.Dataset of batches of one of these.

    x may be a dict of arrays; w are weights of the examples.

    Raises:
      ValueError: none of these, or arrays of unequal length.
    """
    splits = {name: _split(name, value) for name, value in given.items()}
    x = splits["train"].dataset.element_spec["x"] if isinstance(splits["train"], Batches) else splits["train"].x
    input_shape = tf.nest.map_structure(lambda t: tuple(t.shape[1:]), x)
    spec = Spec(input_shape=input_shape, examples={name: len(split) for name, split in splits.items()})
    return Data(spec, splits, ArrayEncoder())


def _split(name: str, given) -> Split | Batches:
    if isinstance(given, tf.data.Dataset):
        return _batches(name, given)
    x, y, w = _parts(name, given)
    x = tf.nest.map_structure(_small, x)
    y = _small(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    lengths = {len(array) for array in (*tf.nest.flatten(x), y, *([] if w is None else [w]))}
    if len(lengths) > 1 or not len(y):
        raise ValueError(f"{name}: x, y and w must have one length, one or more. Received: {sorted(lengths)}")
    return Split(x, y, None if w is None else np.asarray(w, np.float32))


def _batches(name: str, dataset: tf.data.Dataset) -> Batches:
    """Batches under the names "x", "y", "w"; all as large as the largest."""
    dataset = dataset.map(
        lambda *parts: _named(name, parts[0] if len(parts) == 1 else parts), num_parallel_calls=tf.data.AUTOTUNE
    )
    if any(t.shape.rank == 0 for t in tf.nest.flatten(dataset.element_spec)):
        raise ValueError(f"{name}: a dataset must give batches. Received: {dataset.element_spec}; use dataset.batch(...)")
    cardinality = int(dataset.cardinality())
    if cardinality == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"{name}: a dataset must end after one epoch. Received: one that repeats without end; use dataset.take(...)"
        )
    batch_size = dataset.element_spec["w"].shape[0]
    if cardinality > 0 and batch_size:
        return Batches(dataset, batch_size, cardinality, cardinality * batch_size)
    sizes = [int(size) for size in dataset.map(lambda batch: tf.shape(batch["w"])[0]).as_numpy_iterator()]  # one pass, to count
    if not sizes:
        raise ValueError(f"{name}: the dataset is empty")
    return Batches(dataset, max(sizes), len(sizes), sum(sizes))


def _named(name: str, given) -> dict:
    x, y, w = _parts(name, given)
    y = tf.squeeze(y, 1) if y.shape.rank == 2 and y.shape[1] == 1 else y
    return {"x": x, "y": y, "w": tf.ones(tf.shape(y)[:1]) if w is None else tf.cast(w, tf.float32)}


def _parts(name: str, given) -> tuple:
    if isinstance(given, dict) and {"x", "y"} <= set(given):
        return given["x"], given["y"], given.get("w")
    if isinstance(given, tuple | list) and len(given) in (2, 3):
        return (*given, None)[:3]
    raise ValueError(
        f'{name}: give (x, y), (x, y, w), {{"x", "y", "w"}} or a tf.data.Dataset. Received: {type(given).__name__}'
    )


def _small(values) -> np.ndarray:
    """As the model computes: float32 for float64, int32 for int64."""
    values = np.asarray(values)
    return values.astype({"float64": np.float32, "int64": np.int32}.get(values.dtype.name, values.dtype))

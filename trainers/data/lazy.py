"""Splits that are not in memory: their raw examples one by one, and their encoding within tf.data. B rows of a batch."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from trainers.data.encoders import Encoder, Fields
from trainers.data.encoders.base import check_finite
from trainers.data.spec import Indexed, Stream, leaves, mapped

MOST_BYTES_IN_MEMORY = 2 * 2**30  # of a split's x, where nobody says whether it is kept in memory


@dataclasses.dataclass(frozen=True)
class Examples:
    """Something to iterate over: raw examples, read anew each time; of a dict of fields each by name."""

    dataset: tf.data.Dataset

    def __iter__(self) -> Iterator:
        return self.dataset.as_numpy_iterator()

    def __getitem__(self, key) -> "Examples":
        return Examples(self.dataset.map(lambda example: example[key], num_parallel_calls=tf.data.AUTOTUNE))


def examples_of(split: Indexed | Stream) -> tf.data.Dataset:
    """Raw examples {"x", "y"}, in order."""
    if isinstance(split, Indexed):
        dataset = tf.data.Dataset.from_tensor_slices({"x": split.rows.x, "y": split.rows.y})
    else:
        dataset = split.dataset
    read = split.read or (lambda example: example)
    return dataset.map(lambda e: {"y": (), **read(e)}, num_parallel_calls=tf.data.AUTOTUNE)


def first_of(split: Indexed | Stream, size: int = 1) -> dict:
    """The first raw examples {"x", "y"}, as arrays [size, ...]."""
    batch = next(examples_of(split).batch(size).as_numpy_iterator())
    return {"x": batch["x"], "y": batch["y"]}


def encoding(encoder: Encoder, first, what: str) -> Callable:
    """What encodes tensors [B, ...] of raw examples, in NumPy unless they stay as they are.

    Args:
      first: the first raw example, as arrays [1, ...], which says of what shape the encoded ones are.
      what: the field, for errors.
    """
    if isinstance(encoder, Fields):
        parts = encoder.map(lambda key, field: encoding(field, first[key], f"{what}.{key}"))
        if isinstance(parts, tuple):
            return lambda raw: tuple(part(raw[i]) for i, part in enumerate(parts))
        return lambda raw: {key: part(raw[key]) for key, part in parts.items()}
    encoded = encoder.encode(first)
    if encoded is first and encoded.dtype.kind != "f":
        return lambda raw: raw

    def encode(*flat):
        found = encoder.encode(tf.nest.pack_sequence_as(first, flat))
        return [check_finite(values, what) for _, values in leaves(found)]

    def encode_tensors(raw):
        wanted = tf.nest.flatten(encoded)
        found = tf.numpy_function(encode, tf.nest.flatten(raw), [values.dtype for values in wanted])
        for tensor, values in zip(found, wanted, strict=True):
            tensor.set_shape((None, *values.shape[1:]))
        return tf.nest.pack_sequence_as(encoded, found)

    return encode_tensors


def shapes_of(nest):
    """Of one example, of a nest of arrays or tensors [N, ...]."""
    return mapped(lambda values: tuple(values.shape[1:]), nest)


def as_arrays(values):
    """A list of equal examples as an array; other lists, such as of sequences of different lengths, as they are."""
    if not isinstance(values, list):
        return np.asarray(values)
    try:
        array = np.asarray(values)
    except ValueError:
        return values
    return values if array.dtype == object else array

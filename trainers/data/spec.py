"""What data is made of. N examples of a split; a nest is an array, or a dict or tuple of nests."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from trainers.data.encoders import Encoder, LabelEncoder, NumberEncoder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What a model and a task need to know of data. Where x is a dict, input_shape and vocab_size are dicts by field; where y
    is one, all others, with None for a field that has no such thing.

    Attributes:
      input_shape: of one example's x.
      target_shape: of one example's y: () for a number or class, (T,) for T steps, (H, W) for a mask.
      examples: of each split.
      num_classes, class_names, class_counts: None where the target is a number; counts are the training split's.
      target_mean, target_std: of the training split, [D]; None where the target is a class.
      vocab_size: of tokens; None where x is no text.
    """

    input_shape: Any
    examples: dict[str, int]
    target_shape: Any = None
    num_classes: int | dict | None = None
    class_names: tuple[str, ...] | dict | None = None
    class_counts: tuple[int, ...] | dict | None = None
    target_mean: tuple[float, ...] | dict | None = None
    target_std: tuple[float, ...] | dict | None = None
    vocab_size: int | dict | None = None


@dataclasses.dataclass
class Split:
    """Examples in memory.

    Attributes:
      x, y: nests of arrays [N, ...]; those of a source also of lists, of what the encoders take. y is () where there is none.
      w: weights [N], or [N, T] of steps, or a dict of these; None for 1.
    """

    x: Any
    y: Any = ()
    w: Any = None

    def __len__(self) -> int:
        return len(leaves(self.x)[0][1])

    def take(self, indices: np.ndarray) -> "Split":
        """These examples."""

        def taken(values):
            return [values[i] for i in indices] if isinstance(values, list) else values[indices]

        return Split(mapped(taken, self.x), mapped(taken, self.y), None if self.w is None else mapped(taken, self.w))


@dataclasses.dataclass
class Indexed:
    """Examples that are read when they are needed, in any order, so that memory does not grow with them.

    Attributes:
      rows: what is in memory of each example: x is what `read_x` takes, such as paths, or numbers of examples; y and w as ever.
      read_x, read_y: from one example's x or y to the raw one; traced into tf.data, many at a time. None where `rows` has y.
      encode: set when the data is loaded: from a batch {"x", "y"} to what the encoders give.
    """

    rows: Split
    read_x: Callable
    read_y: Callable | None = None
    encode: Callable | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, example: dict) -> dict:
        """One raw example {"x", "y"} and, where there is one, "w"; of the tensors of its row."""
        y = self.read_y(example["y"]) if self.read_y else example["y"]
        return {**example, "x": self.read_x(example["x"]), "y": y}


@dataclasses.dataclass
class Stream:
    """Examples that are read anew each epoch, in a fixed order. Shuffled in windows of so many, which are held in memory.

    Attributes:
      dataset: of elements, one an example.
      read: from an element to the raw example {"x", "y"} and, where there is one, "w"; traced into tf.data. What costs time
        belongs here: it is done after shuffling, and not for examples that are skipped. None for elements that are examples.
      encode: as in Indexed.
    """

    dataset: tf.data.Dataset
    size: int
    window: int = 10_000
    read: Callable | None = None
    encode: Callable | None = None

    def __len__(self) -> int:
        return self.size


@dataclasses.dataclass
class Batches:
    """Batches {"x", "y", "w"} that somebody else made, one epoch of them, in whatever order they come."""

    dataset: tf.data.Dataset
    batch_size: int
    steps: int
    size: int

    def from_step(self, dataset: tf.data.Dataset, step: int, steps: int) -> tf.data.Dataset:
        """Training batches from `step` on, without end. steps: of the dataset."""
        return dataset.skip(step % steps).concatenate(dataset.repeat())

    def __len__(self) -> int:
        return self.size


@dataclasses.dataclass
class Source:
    """What a source returns: raw splits ("train", "validation", "test") and how x and y are encoded.

        Source(splits, fields={"x": {"photo": ImageEncoder((64, 64, 3)), "age": ArrayEncoder()}, "y": LabelEncoder()})

    Attributes:
      splits: raw examples.
      encoder: of x, where it is one field.
      class_names: of y's class numbers, where it is one field.
      is_number: y is one field of numbers.
      fields: {"x", "y"}: an encoder each, or a dict of encoders by field. What is left out follows from the values.
    """

    splits: dict[str, "Split | Indexed | Stream"]
    encoder: Encoder | None = None
    class_names: tuple[str, ...] | None = None
    is_number: bool = False
    fields: dict | None = None

    def __post_init__(self) -> None:
        y = None
        if self.is_number:
            y = NumberEncoder()
        elif self.class_names is not None:
            y = LabelEncoder(self.class_names, len(self.class_names))
        self.fields = {"x": self.encoder, "y": y} | (self.fields or {})
        if self.fields.keys() != {"x", "y"}:
            raise ValueError(f"fields are those of x and of y. Received: {', '.join(self.fields)}")


def mapped(function: Callable, nest):
    """The nest of function(array or list)."""
    if isinstance(nest, dict):
        return {key: mapped(function, value) for key, value in nest.items()}
    return tuple(mapped(function, value) for value in nest) if isinstance(nest, tuple) else function(nest)


def leaves(nest, name: str = "") -> list[tuple[str, Any]]:
    """(name, array or list) of each; names are "x.image" where x is a dict."""
    if not isinstance(nest, dict | tuple):
        return [(name, nest)]
    items = nest.items() if isinstance(nest, dict) else enumerate(nest)
    return [leaf for key, value in items for leaf in leaves(value, f"{name}.{key}")]

"""What data is made of. N examples of a split."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from trainers.data.encoders import ArrayEncoder, Encoder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What a model and a task need to know of data.

    Attributes:
      input_shape: of one example's x; a dict of shapes where x is a dict.
      examples: of each split.
      num_classes, class_names, class_counts: None where the target is a number; counts are the training split's.
      target_mean, target_std: of the training split, [D]; None where the target is a class.
      vocab_size: of tokens; None where x is no text.
    """

    input_shape: Any
    examples: dict[str, int]
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    class_counts: tuple[int, ...] | None = None
    target_mean: tuple[float, ...] | None = None
    target_std: tuple[float, ...] | None = None
    vocab_size: int | None = None


@dataclasses.dataclass
class Split:
    """Examples in memory. x: what the source's encoder takes; y: [N] labels (text or class numbers), [N] or [N, D] numbers."""

    x: Any
    y: Any
    w: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: np.ndarray) -> "Split":
        """These examples."""
        x = [self.x[i] for i in indices] if isinstance(self.x, list) else self.x[indices]
        return Split(x, self.y[indices], None if self.w is None else self.w[indices])


@dataclasses.dataclass
class Stream:
    """Examples that are read anew each epoch: a dataset of {"x", "y"}, one example an element, in a fixed order. Shuffled in
    windows of so many examples, which are held in memory.
    """

    dataset: tf.data.Dataset
    size: int
    window: int = 10_000

    def __len__(self) -> int:
        return self.size


@dataclasses.dataclass
class Batches:
    """Batches {"x", "y", "w"} that somebody else made, one epoch of them, in whatever order they come."""

    dataset: tf.data.Dataset
    batch_size: int
    steps: int
    size: int

    def __len__(self) -> int:
        return self.size


@dataclasses.dataclass
class Source:
    """What a source returns: raw splits ("train", "validation", "test"), how x is encoded, and the names of y's class numbers.

    `class_names` is None where y is text, whose names are found in the training split, or where y is a number (`is_number`).
    """

    splits: dict[str, Split | Stream]
    encoder: Encoder = dataclasses.field(default_factory=ArrayEncoder)
    class_names: tuple[str, ...] | None = None
    is_number: bool = False

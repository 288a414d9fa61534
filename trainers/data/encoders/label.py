"""Classes to predict: one for each example, step or pixel; or several for an example. N examples, T steps, C classes."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from trainers.data.cells import is_number
from trainers.data.encoders.base import Encoder
from trainers.data.encoders.sequences import are_sequences, longest, padded

NO_CLASS, NO_CLASS_BYTE = -1, 255  # of padding, and of what is not labelled


class LabelEncoder(Encoder):
    """Labels -> class numbers, int32, whatever their shape: [N] of examples, [N, T] of steps, [N, H, W] of pixels.

    Lists of N sequences of different lengths become [N, T], padded with -1. Bytes of two axes and more, such as masks, stay
    bytes until the step, and 255 becomes -1.

    Args:
      class_names: of the classes, by number; None for the labels of the training split in order, numbers by size.
      num_classes: C, where labels are class numbers already, 0 to C - 1 (and -1 for no class, but for one label an example).
        None where they are names. Whole numbers [N, T], [N, H, W], ... are class numbers, and None is what the training split
        has.
      length: T of sequences; None for the longest of the training split. Longer ones lose their end.
    """

    name = "label"

    def __init__(
        self, class_names: Iterable[str] | None = None, num_classes: int | None = None, length: int | None = None
    ) -> None:
        self.class_names = None if class_names is None else list(map(str, class_names))
        self.num_classes, self.length = num_classes, length
        if None not in (class_names, num_classes) and len(self.class_names) != num_classes:
            raise ValueError(f"there must be a name for each of {num_classes} classes. Received: {len(self.class_names)}")

    def fit(self, raw) -> None:
        raw = raw if isinstance(raw, np.ndarray) else list(raw)
        of_steps = are_sequences(raw)
        if of_steps and self.length is None:
            self.length = longest(raw)
        if self.class_names is None and self.num_classes is None:
            labels = np.concatenate([np.asarray(row) for row in raw if len(row)]) if of_steps else np.asarray(raw)
            if (of_steps or labels.ndim > 1) and labels.dtype.kind in "iu":
                known = labels[labels != NO_CLASS_BYTE] if labels.dtype == np.uint8 else labels
                self.num_classes = int(known.max(initial=0)) + 1
            else:
                self.class_names = names_of(labels)

    def encode(self, raw) -> np.ndarray:
        if are_sequences(raw):
            rows = [self._numbers(np.asarray(row), i, several=True) for i, row in enumerate(raw)]
            return padded(rows, self.length, NO_CLASS)
        labels = np.asarray(raw)
        return self._numbers(labels, None, several=labels.ndim > 1)

    def _numbers(self, labels: np.ndarray, example: int | None, *, several: bool) -> np.ndarray:
        if self.num_classes is None:
            return _by_name(labels, self.class_names)
        odd = labels[labels % 1 != 0] if labels.dtype.kind in "iubf" else labels
        if odd.size:
            raise ValueError(f"labels must be class numbers. Received: {odd.ravel().tolist()[0]!r}")
        is_byte = labels.dtype == np.uint8 and several and self.num_classes <= NO_CLASS_BYTE
        no_class = NO_CLASS_BYTE if is_byte else NO_CLASS
        wrong = ((labels < 0) | (labels >= self.num_classes)) & ~(several & (labels == no_class))
        if wrong.any():
            where = np.argwhere(wrong)[0]
            raise ValueError(
                f"labels must be 0 to {self.num_classes - 1}. Received: {labels[tuple(where)]} in example "
                f"{where[0] if example is None else example}"
            )
        return labels if is_byte else labels.astype(np.int32)

    def decode(self, values):
        if values.dtype != np.uint8:
            return values
        values = tf.cast(values, tf.int32)
        return tf.where(values == NO_CLASS_BYTE, NO_CLASS, values)

    def facts(self, values) -> dict:
        size, counts = self.num_classes or len(self.class_names), None
        if isinstance(values, np.ndarray):
            known = values[(values >= 0) & (values < size)]
            counts = tuple(np.bincount(known, minlength=size).tolist())
        names = None if self.class_names is None else tuple(self.class_names)
        return {"num_classes": size, "class_names": names, "class_counts": counts}

    @property
    def state(self) -> dict:
        return {"class_names": self.class_names, "num_classes": self.num_classes, "length": self.length}


class ClassesEncoder(Encoder):
    """A number for each class -> [N, C]: 0 or 1 where an example has several classes (or one, as one-hot), kept as bytes that
    become int32 in the step; else probabilities, float32.

    Lists of the names of each example's classes become 0 and 1.

    Args:
      class_names: by number; None for the names in the training split in order, or the numbers of the classes.
    """

    name = "classes"

    def __init__(self, class_names: Iterable[str] | None = None) -> None:
        self.class_names = None if class_names is None else list(map(str, class_names))

    def fit(self, raw) -> None:
        if self.class_names is None:
            raw = raw if isinstance(raw, np.ndarray) else list(raw)
            if _are_names(raw):
                self.class_names = names_of(np.concatenate([np.asarray(row, object) for row in raw if len(row)]))
            else:
                self.class_names = [str(k) for k in range(np.shape(raw)[1])]

    def encode(self, raw) -> np.ndarray:
        if _are_names(raw):
            y = np.zeros((len(raw), len(self.class_names)), np.uint8)
            for row, labels in zip(y, raw, strict=True):
                row[_by_name(np.asarray(labels, object), self.class_names)] = 1
            return y
        y = np.asarray(raw)
        if y.ndim != 2 or y.shape[1] != len(self.class_names):
            raise ValueError(f"there must be a number for each of {len(self.class_names)} classes. Received: {y.shape}")
        return y.astype(np.uint8 if is_several(y) else np.float32)

    def decode(self, values):
        return tf.cast(values, tf.int32) if values.dtype == np.uint8 else values

    def facts(self, values) -> dict:
        counts = tuple(values.sum(0).tolist()) if isinstance(values, np.ndarray) else None
        return {"num_classes": len(self.class_names), "class_names": tuple(self.class_names), "class_counts": counts}

    @property
    def state(self) -> dict:
        return {"class_names": self.class_names}


def is_several(y: np.ndarray) -> bool:
    """Whether y [N, C] says of each class whether an example has it: 0 or 1; not probabilities, nor one-hot as floats."""
    is_binary = y.dtype == bool or bool(np.isin(y, (0, 1)).all())
    return is_binary and not (y.dtype.kind == "f" and np.all(y.sum(axis=1) == 1))


def names_of(labels: np.ndarray) -> list[str]:
    """Different labels in order, numbers by size."""
    names = set(map(_text, labels.ravel().tolist()))
    return sorted(names, key=lambda name: (not is_number(name), float(name) if is_number(name) else 0, name))


def _by_name(labels: np.ndarray, names: list[str]) -> np.ndarray:
    numbers, flat = {name: i for i, name in enumerate(names)}, list(map(_text, labels.ravel().tolist()))
    unknown = sorted(set(flat) - numbers.keys())
    if unknown:
        raise ValueError(f"the label {unknown[0]!r} is not in the training split. It has: {', '.join(names[:20])}")
    return np.asarray([numbers[label] for label in flat], np.int32).reshape(labels.shape)


def _text(label) -> str:
    return label.decode() if isinstance(label, bytes) else str(label)


def _are_names(raw) -> bool:
    if not are_sequences(raw):
        return False
    some = next((row for row in raw if len(row)), ("",))
    return isinstance(some[0], str | bytes)

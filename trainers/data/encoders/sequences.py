"""Sequences of different lengths, padded to one. N examples, T steps."""

import logging

import numpy as np

log = logging.getLogger("trainers")


def are_sequences(raw) -> bool:
    """Whether each raw example is a sequence, so that they may differ in length; an array of numbers is not asked."""
    is_list = isinstance(raw, list) or (isinstance(raw, np.ndarray) and raw.dtype == object)
    return is_list and len(raw) > 0 and all(isinstance(row, list | tuple) or np.shape(row) for row in raw)


def longest(raw) -> int:
    """The most steps of an example; 1 or more, so that there is a shape."""
    return max(1, max(len(row) for row in raw))


def padded(rows: list[np.ndarray], length: int, value) -> np.ndarray:
    """[N, length, ...]: rows of [t, ...] with `value` after their end; longer ones lose theirs, which is reported."""
    first = next((row for row in rows if len(row)), rows[0])
    found = np.full((len(rows), length, *first.shape[1:]), value, first.dtype)
    for i, row in enumerate(rows):
        if len(row) and row.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"the rows of an example must have the shape {first.shape[1:]}. Received: {row.shape[1:]} in example {i}"
            )
        found[i, : len(row)] = row[:length]
    cut = sum(len(row) > length for row in rows)
    if cut:
        log.warning("%d of %d sequences have more than %d steps and lose their end", cut, len(rows), length)
    return found

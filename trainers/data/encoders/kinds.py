"""The encoders of fields that none was given for, by what their values are. N examples, T steps, C classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from trainers.data.encoders.array import ArrayEncoder, NumberEncoder
from trainers.data.encoders.base import Encoder
from trainers.data.encoders.fields import Fields, make_encoder
from trainers.data.encoders.image import ImageEncoder, is_images
from trainers.data.encoders.label import ClassesEncoder, LabelEncoder, is_several
from trainers.data.encoders.sequences import are_sequences
from trainers.data.encoders.text import TextEncoder


def completed(given, values, kind_of: Callable[..., Encoder]) -> Encoder:
    """An encoder for a nest of values.

    Args:
      given: an encoder, a dict of encoders by field, or None; what is left out is `kind_of` the values.
      kind_of: input_kind or target_kind.
    """
    if isinstance(values, dict | tuple) and not isinstance(given, Encoder):
        keys = values if isinstance(values, dict) else range(len(values))
        given = {} if given is None else given if isinstance(given, dict) else dict(enumerate(given))
        unknown = [str(key) for key in given if key not in keys]
        if unknown:
            raise ValueError(f"no field {unknown[0]!r}. There are: {', '.join(map(str, keys))}")
        found = {key: completed(given.get(key), values[key], kind_of) for key in keys}
        return Fields(found if isinstance(values, dict) else tuple(found.values()))
    return kind_of(values) if given is None else make_encoder(given)


def input_kind(values) -> Encoder:
    """Bytes [N, H, W, C] are images, text is text, numbers are arrays."""
    if is_images(values):
        return ImageEncoder(values.shape[1:])
    if isinstance(values[0], Path):
        raise ValueError("files need an encoder that says their size, as in fields={'x': ImageEncoder((64, 64, 3))}")
    return TextEncoder() if isinstance(values[0], str | bytes) else ArrayEncoder()


def target_kind(values) -> Encoder:
    """Bytes [N, H, W, C] are images; text and whole numbers are labels, of examples, steps or pixels; 0 and 1 for each of C
    classes, or probabilities, are classes; other numbers [N] or [N, D] are numbers, and with more axes arrays.
    """
    if is_images(values):
        return ImageEncoder(values.shape[1:])
    if are_sequences(values):
        first = next((np.asarray(row) for row in values if len(row)), np.zeros(0))
        return ArrayEncoder() if first.ndim > 1 or first.dtype.kind == "f" else LabelEncoder()
    y = np.asarray(values)
    if y.ndim == 2 and y.dtype.kind in "biuf" and (is_several(y) or _are_probabilities(y)):
        return ClassesEncoder()
    if y.dtype.kind != "f":
        return LabelEncoder()
    return NumberEncoder() if y.ndim <= 2 else ArrayEncoder()


def _are_probabilities(y: np.ndarray) -> bool:
    return y.dtype.kind == "f" and y.shape[1] > 1 and bool(np.all(y >= 0) and np.allclose(y.sum(axis=1), 1, atol=1e-3))

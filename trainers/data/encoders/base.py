"""What every encoder has. N examples, B rows of a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


class Encoder:
    """raw -> values of a field, of x or of y. `raw` is a list or array of N examples, as `read` and the sources give them.

    Attributes:
      name: under which the state is kept.
      state: what was learnt and what was given, fit for JSON; None until fitted. `type(encoder)(**state)` is the same again.
    """

    name: str

    def fit(self, raw) -> None:
        """Learn from the training split. raw: as above, or, of a split that is not in memory, something to iterate over."""

    def encode(self, raw) -> Any:
        """Values [N, ...]. Raises ValueError on an example that does not fit."""
        raise NotImplementedError

    def decode(self, values) -> Any:
        """Compiled into the step: values [B, ...] as the model and the task take them. Here: as they are."""
        return values

    def facts(self, values) -> dict:
        """What a Spec says of this field, by the names of its attributes.

        Args:
          values: encoded, of the training split; of one that is not in memory the raw examples, to iterate over.
        """
        return {}

    def read(self, path: Path) -> list:
        """The raw examples in a file.

        Raises:
          ValueError: a file of another kind.
        """
        raise NotImplementedError

    @property
    def state(self) -> dict:
        raise NotImplementedError


def check_finite(values: np.ndarray, what: str) -> np.ndarray:
    """`values`, or ValueError naming the first that is NaN or infinite."""
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(f"{what} must be finite. Received: {values[where]} in example {where[0]}")
    return values


def bytes_as_float(x, scale: float):
    """Bytes as float32, divided by `scale`; all else as it is. Nested structures of tensors too."""
    return tf.nest.map_structure(lambda t: tf.cast(t, tf.float32) / scale if t.dtype == np.uint8 else t, x)

"""What every encoder has. N examples."""

from pathlib import Path
from typing import Any

import numpy as np


class Encoder:
    """raw -> x. `raw` is a list or array of N examples, as `read` and the sources give them.

    Attributes:
      name: under which the state is kept.
      state: what was learnt and what was given, fit for JSON; None until fitted. `type(encoder)(**state)` is the same again.
      vocab_size: of tokens; None where x is no text.
    """

    name: str
    vocab_size: int | None = None

    def fit(self, raw) -> None:
        """Learn from the training split."""

    def encode(self, raw) -> Any:
        """x [N, ...]. Raises ValueError on an example that does not fit."""
        raise NotImplementedError

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

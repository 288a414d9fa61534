"""What is lost where a matrix is no multiple of the tile that a TPU keeps it in."""

import dataclasses
import math

import keras

TILE = (8, 128)  # rows and columns: the sublanes and lanes of a vector register (docs.jax.dev, Pallas TPU, "tiling")


@dataclasses.dataclass(frozen=True)
class Padded:
    """A weight as the matrix of its product.

    Attributes:
      name: of the variable, layer first.
      rows, columns: numbers in, numbers out.
    """

    name: str
    rows: int
    columns: int

    @property
    def waste(self) -> float:
        """The share of the padded matrix that is padding."""
        return 1 - self.rows * self.columns / math.prod(
            _up(n, tile) for n, tile in zip((self.rows, self.columns), TILE, strict=True)
        )

    @property
    def padded_to(self) -> tuple[int, int]:
        return _up(self.rows, TILE[0]), _up(self.columns, TILE[1])


def padded_matrices(model: keras.Model) -> list[Padded]:
    """The trainable matrices that are no multiple of a tile, the most wasteful in numbers first."""
    found = []
    for variable in model.trainable_variables:
        if len(variable.shape) >= 2:
            matrix = Padded(variable.path, math.prod(variable.shape[:-1]), variable.shape[-1])
            if matrix.waste:
                found.append(matrix)
    return sorted(found, key=lambda m: m.rows * m.columns - math.prod(m.padded_to))


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple

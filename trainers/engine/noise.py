"""Random numbers by row: the same for an example however a batch is cut into replicas and pieces, in a graph and under XLA.

B rows, N numbers of a row.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from trainers.speed.threefry import threefry

_COLUMNS = 2**24  # numbers of one call, of which there may be 256


class Noise:
    """What an objective draws from: each call gives other numbers, a function of (seed, row, call) alone.

    Args:
      seed: [2], of the update, or of evaluation.
      rows: [B], indices of the rows in the global batch, or in the split in evaluation.
      compile: of a pure function; without XLA these many small operations take five times as long.
    """

    def __init__(self, seed: tf.Tensor, rows: tf.Tensor, compile: Callable = lambda function: function) -> None:
        self._key, self._rows, self._compile = tuple(tf.unstack(tf.cast(seed, tf.uint32))), tf.cast(rows, tf.uint32), compile
        self._calls = 0

    def uniform(self, *shape: int) -> tf.Tensor:
        """[B, *shape] in (0, 1), float32."""
        return self._drawn(_uniform, shape)

    def normal(self, *shape: int) -> tf.Tensor:
        """[B, *shape], float32, by Box and Muller (1958)."""
        return self._drawn(_normal, shape)

    def integers(self, below: int, *shape: int) -> tf.Tensor:
        """[B, *shape] from 0 to below - 1, int32."""
        return tf.minimum(tf.cast(self.uniform(*shape) * below, tf.int32), below - 1)

    def _drawn(self, function: Callable, shape: tuple[int, ...]) -> tf.Tensor:
        size, self._calls = math.prod(shape), self._calls + 1
        if size > _COLUMNS:
            raise ValueError(f"at most {_COLUMNS} random numbers may be drawn for a row at once. Received: the shape {shape}")
        call = self._calls
        found = self._compile(lambda key, rows: function(key, rows, size, call))(self._key, self._rows)
        return tf.reshape(found, (-1, *shape))


def _uniform(key, rows, size: int, call: int):
    return tf.concat(_numbers(key, rows, -(-size // 2), call), axis=1)[:, :size]


def _normal(key, rows, size: int, call: int):
    a, b = _numbers(key, rows, -(-size // 2), call)
    radius, angle = tf.sqrt(-2.0 * tf.math.log(a)), 2 * math.pi * b
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=1)[:, :size]


def _numbers(key, rows, count: int, call: int) -> list[tf.Tensor]:
    """Two tensors [B, count] of numbers in (0, 1)."""
    columns = tf.cast(tf.range(count), tf.uint32)[None] + tf.constant(call * _COLUMNS, tf.uint32)
    words = threefry(key, (rows[:, None] + tf.zeros_like(columns), columns + tf.zeros_like(rows[:, None])))
    return [(tf.cast(tf.bitwise.right_shift(word, 8), tf.float32) + 0.5) / 2.0**24 for word in words]

"""What tells a Transformer where a token stands. B batch, T steps, D features."""

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable("modelzoo")
class SinusoidalPositions(layers.Layer):
    """x + sines and cosines of the position: [B, T, D] -> [B, T, D].

    Source: Vaswani et al. 2017, Attention is all you need, 3.5 (even features sine, odd ones cosine).
    """

    def call(self, x):
        steps, features = x.shape[1:]
        position = np.arange(steps)[:, None]
        feature = np.arange(features)[None, :]
        angles = position / 10_000 ** (feature // 2 * 2 / features)  # [T, D]
        table = np.where(feature % 2 == 0, np.sin(angles), np.cos(angles))
        return x + ops.cast(table, x.dtype)


@keras.saving.register_keras_serializable("modelzoo")
class LearnedPositions(layers.Layer):
    """x + one learned vector for each position: [B, T, D] -> [B, T, D].

    Source: Gehring et al. 2017, Convolutional sequence to sequence learning, 3.1.

    Args:
      grid: (rows, columns) of the image's patches, which are the last rows x columns steps; published weights of another
        grid are interpolated to it. None for what is no image.
    """

    def __init__(self, grid: tuple[int, int] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.grid = grid

    def build(self, input_shape):
        initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.positions = self.add_weight(shape=input_shape[1:], initializer=initializer, name="positions")

    def call(self, x):
        return x + self.positions

    def get_config(self):
        return {**super().get_config(), "grid": self.grid}


@keras.saving.register_keras_serializable("modelzoo")
class ClassToken(layers.Layer):
    """One learned vector before the sequence: [B, T, D] -> [B, 1 + T, D].

    Source: Devlin et al. 2019, BERT, 3 ("[CLS]").
    """

    def build(self, input_shape):
        initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.token = self.add_weight(shape=(1, 1, input_shape[-1]), initializer=initializer, name="token")

    def call(self, x):
        token = ops.broadcast_to(ops.cast(self.token, x.dtype), (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)

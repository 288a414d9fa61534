"""Pooling over time. B batch, T steps, D features, U units."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("modelzoo")
class AttentionPooling(layers.Layer):
    """Additive attention over time: score = v . tanh(W x + b), softmax over the steps that are not masked.

    Call: [B, T, D] -> (pooled [B, D], weights [B, T]); the weights of a row add up to 1. To read them out of a model:
    `keras.Model(model.inputs, model.get_layer("attention_pooling").output[1])`.

    Source: Bahdanau, Cho & Bengio 2015, Neural machine translation by jointly learning to align and translate, A.1.2.

    Args:
      units: U, the width of the hidden layer; None for D.
    """

    def __init__(self, units: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.supports_masking = True

    def build(self, input_shape):
        units = self.units or input_shape[-1]
        self.kernel = self.add_weight(shape=(input_shape[-1], units), name="kernel")
        self.bias = self.add_weight(shape=(units,), initializer="zeros", name="bias")
        self.query = self.add_weight(shape=(units,), initializer="random_uniform", name="query")

    def call(self, x, mask=None):
        scores = ops.sum(self.query * ops.tanh(ops.matmul(x, self.kernel) + self.bias), axis=-1)  # [B, T]
        if mask is not None:
            scores = ops.where(mask, scores, ops.cast(-1e4, scores.dtype))  # -1e9 overflows in float16
        weights = ops.softmax(scores, axis=-1)
        return ops.sum(x * weights[..., None], axis=1), weights

    def compute_mask(self, inputs, mask=None):
        return None, None  # of the two outputs

    def multiply_adds(self, input_shape: tuple) -> int:
        """Of one example: the hidden layer, the scores and the weighted sum."""
        steps, features = input_shape[1:]
        units = self.units or features
        return steps * (features * units + units + features)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

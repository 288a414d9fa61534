"""Learned scales. F features."""

import keras
from keras import layers


@keras.saving.register_keras_serializable("modelzoo")
class LayerScale(layers.Layer):
    """x times one learned number for each feature: [..., F] -> [..., F].

    Source: Touvron et al. 2021, Going deeper with image Transformers, 3.

    Args:
      initial: value of each number.
    """

    def __init__(self, initial: float = 1e-6, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        initializer = keras.initializers.Constant(self.initial)
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer=initializer, name="scale")

    def call(self, x):
        return x * self.scale

    def get_config(self):
        return {**super().get_config(), "initial": self.initial}

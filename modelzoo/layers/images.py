"""The two ends of every net for images, and its convolutions, padded and normalised as published weights need them.

B batch, H height, W width, F features, C classes.
"""

import keras
import numpy as np
from keras import layers, ops


def image_input(input_shape: tuple[int, int, int], *, smallest: int = 1, divisor: int = 1, mean_std=None):
    """Inputs of a net for images, and the images, normalised.

    Args:
      input_shape: (H, W, channels).
      smallest: the smallest H and W that leave something of every feature map.
      divisor: of H and W, such as the side of a patch.
      mean_std: (mean of each channel, standard deviation of each), by which images of 0..1 are normalised; None leaves them.

    Returns:
      (inputs, x), each [B, H, W, channels]

    Raises:
      ValueError: no image; one that is too small or no multiple of `divisor`; `mean_std` of another number of channels.
    """
    if len(input_shape) != 3:
        raise ValueError(f"images have the input_shape (height, width, channels). Received: {input_shape}")
    if min(input_shape[:2]) < smallest:
        raise ValueError(f"images must be {smallest} x {smallest} or larger for this net's strides. Received: {input_shape}")
    if any(side % divisor for side in input_shape[:2]):
        raise ValueError(f"height and width must be multiples of {divisor} for this net. Received: {tuple(input_shape)}")
    inputs = x = keras.Input(input_shape)
    if mean_std is not None:
        mean, std = mean_std
        if not len(mean) == len(std) == input_shape[-1]:
            raise ValueError(f"mean_std needs {input_shape[-1]} numbers each, one a channel. Received: {mean_std}")
        scale, offset = [1.0 / s for s in std], [-m / s for m, s in zip(mean, std, strict=True)]
        x = layers.Rescaling(scale, offset, name="normalize")(x)
    return inputs, x


def image_output(
    inputs, x, maps: dict[int, keras.KerasTensor], *, num_classes: int, pooling: str | None, features: bool, name: str,
    dropout: float = 0.0,
) -> keras.Model:  # fmt: skip
    """The model of what was computed: feature maps, features or logits.

    Args:
      inputs: of the model.
      x: the last feature map [B, H, W, F], or features [B, F].
      maps: {stride: feature map}.
      num_classes: C; 0 for features.
      pooling: of x, "average" or "max"; None leaves it.
      features: whether the model's outputs are the feature maps, {"stride_4": [B, H / 4, W / 4, F], ...}.
      name: of the model.
      dropout: rate before the logits.

    Raises:
      ValueError: unknown pooling, or none before logits.
    """
    if features:
        return keras.Model(inputs, {f"stride_{stride}": x for stride, x in maps.items()}, name=name)
    if len(x.shape) == 4:
        x = pool_image(x, pooling)
    if num_classes:
        if len(x.shape) != 2:
            raise ValueError("logits need features that are pooled: pooling=None goes with num_classes=0")
        if dropout:
            x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)  # [B, C]
    return keras.Model(inputs, x, name=name)


def pool_image(x, pooling: str | None):
    """[B, H, W, F] -> [B, F], by "average" or "max"; None leaves it."""
    if pooling is None:
        return x
    if pooling not in ("average", "max"):
        raise ValueError(f"unknown pooling {pooling!r}. Accepted: average, max, None")
    return (layers.GlobalAveragePooling2D if pooling == "average" else layers.GlobalMaxPooling2D)(name="pool")(x)


def conv(x, filters: int, kernel_size: int = 1, *, strides: int = 1, use_bias: bool = False, name: str):
    """Convolution padded by kernel_size // 2 on each side, as in PyTorch; "same" pads otherwise where it strides."""
    x, padding = _padded(x, kernel_size, strides, name)
    options = dict(strides=strides, padding=padding, use_bias=use_bias, kernel_initializer="he_normal", name=name)
    return layers.Conv2D(filters, kernel_size, **options)(x)


def depthwise_conv(x, kernel_size: int, *, strides: int = 1, use_bias: bool = False, name: str):
    """One filter for each channel, padded as `conv` is."""
    x, padding = _padded(x, kernel_size, strides, name)
    options = dict(strides=strides, padding=padding, use_bias=use_bias, depthwise_initializer="he_normal", name=name)
    return layers.DepthwiseConv2D(kernel_size, **options)(x)


def _padded(x, kernel_size: int, strides: int, name: str):
    if strides == 1 or kernel_size == 1:
        return x, "same"
    return layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x), "valid"


def batch_norm(x, activation: str | None = None, *, epsilon: float = 1e-5, name: str):
    """Batch normalisation with PyTorch's constants, then an activation."""
    x = layers.BatchNormalization(momentum=0.9, epsilon=epsilon, name=name)(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def max_pool(x, size: int = 3, *, strides: int = 2, name: str):
    """Of what is not negative (after ReLU), padded by size // 2 on each side."""
    if size % 2:
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    return layers.MaxPooling2D(size, strides, name=name)(x)


def drop_path(x, rate: float, *, name: str):
    """Leave out a residual branch for some examples (stochastic depth).

    Source: Huang et al. 2016, Deep networks with stochastic depth.
    """
    return layers.Dropout(rate, noise_shape=(None,) + (1,) * (len(x.shape) - 1), name=name)(x) if rate else x


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """From 0 in the first block to `rate` in the last, linearly (Huang et al. 2016, 3)."""
    return [rate * i / max(1, depth - 1) for i in range(depth)]


@keras.saving.register_keras_serializable("modelzoo")
class AdaptiveAveragePooling(layers.Layer):
    """Averages to a grid of a given size: [B, H, W, F] -> [B, size, size, F]. Cells overlap where `size` does not divide H
    and W, and pixels repeat where these are smaller.

    Source: PyTorch's AdaptiveAvgPool2d: a cell goes from floor(i H / size) to ceil((i + 1) H / size).

    Args:
      size: side of the grid.
    """

    def __init__(self, size: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, x):
        if x.shape[1:3] == (self.size, self.size):
            return x
        rows, columns = (ops.cast(self._averages(side), x.dtype) for side in x.shape[1:3])
        x = ops.einsum("bhwf,ih->biwf", x, rows)
        return ops.einsum("biwf,jw->bijf", x, columns)

    def _averages(self, side: int) -> np.ndarray:
        """[size, side]; each row adds up to 1."""
        cell, pixel = np.arange(self.size)[:, None], np.arange(side)[None, :]
        inside = (pixel >= cell * side // self.size) & (pixel < -(-(cell + 1) * side // self.size))
        return inside / inside.sum(axis=1, keepdims=True)

    def get_config(self):
        return {**super().get_config(), "size": self.size}

"""AlexNet: the net that won ImageNet in 2012.

B batch, H height, W width, D units of the dense layers, C classes.
"""

import keras
from keras import layers

from modelzoo.layers import AdaptiveAveragePooling, image_input, image_output
from modelzoo.registry import register_model
from modelzoo.weights import Names

NAMES = Names(
    rules=(
        (r"^features_", "features."),
        (r"^fc1", "classifier.1"),
        (r"^fc2", "classifier.4"),
        (r"^logits", "classifier.6"),
    ),
    stored={r"^classifier\.[14]\.weight": lambda shape: (shape[0], shape[1] * shape[2] * shape[3])},
)


@register_model(
    tiny=dict(input_shape=(64, 64, 3), num_classes=3, widths=(8, 8, 8, 8, 8), units=16, grid=1, dropout=0.0),
    paper="Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks",
    params=61_100_840,
    names={"torchvision": NAMES},
)
def alexnet(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    widths: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256),
    units: int = 4096,
    grid: int = 6,
    dropout: float = 0.5,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """AlexNet on one device: five convolutions and three dense layers, without local response normalisation.

    Args:
      input_shape: (H, W, channels), 63 x 63 or larger.
      num_classes: C, the number of logits; 0 for the last dense layer's features.
      widths: filters of the five convolutions.
      units: D of the two hidden dense layers.
      grid: side of the feature map that the dense layers see; images of other sizes are averaged to it.
      dropout: rate before each hidden dense layer.
      features: give the feature maps before each pooling, {"stride_4": ...}, in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: images that are too small.
    """
    inputs, x = image_input(input_shape, smallest=63, mean_std=mean_std)
    x = layers.ZeroPadding2D(2, name="pad")(x)
    x = _conv(x, widths[0], 11, 0, strides=4, padding="valid")  # [B, H / 4, W / 4, 64]
    maps = {4: x}
    x = _conv(layers.MaxPooling2D(3, 2, name="features_2")(x), widths[1], 5, 3)  # [B, H / 8, W / 8, 192]
    maps[8] = x
    x = layers.MaxPooling2D(3, 2, name="features_5")(x)  # [B, H / 16, W / 16, 192]
    for index, filters in ((6, widths[2]), (8, widths[3]), (10, widths[4])):
        x = _conv(x, filters, 3, index)  # [B, H / 16, W / 16, 256]
    maps[16] = x
    x = layers.MaxPooling2D(3, 2, name="features_12")(x)  # [B, H / 32, W / 32, 256]
    if not features:
        x = AdaptiveAveragePooling(grid, name="grid")(x)  # [B, grid, grid, 256]
        for i, size in ((1, grid), (2, 1)):
            x = layers.Dropout(dropout, name=f"dropout_{i}")(x) if dropout else x
            x = layers.Conv2D(units, size, activation="relu", kernel_initializer="he_normal", name=f"fc{i}")(x)  # [B, 1, 1, D]
        x = layers.Flatten(name="flatten")(x)  # [B, D]
    return image_output(inputs, x, maps, num_classes=num_classes, pooling="average", features=features, name="alexnet")


def _conv(x, filters: int, size: int, index: int, *, strides: int = 1, padding: str = "same"):
    """A convolution and ReLU, under its published index."""
    options = dict(strides=strides, padding=padding, activation="relu", kernel_initializer="he_normal")
    return layers.Conv2D(filters, size, **options, name=f"features_{index}")(x)

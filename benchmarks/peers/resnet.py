"""ResNet-18 for images of 32x32: He et al. 2016, Deep residual learning, with the 3x3 stem of its CIFAR-10 nets.

B batch, H height, W width, K filters, C classes.
"""

import keras
from keras import layers

WIDTHS, BLOCKS = (64, 128, 256, 512), 2


def _conv_norm(x, filters: int, kernel_size: int, strides: int = 1):
    if kernel_size == 3 and strides == 2:  # "same" would pad only one side; the paper and PyTorch pad both
        x = layers.ZeroPadding2D(1)(x)
    padding = "valid" if strides == 2 else "same"
    x = layers.Conv2D(filters, kernel_size, strides, padding, use_bias=False)(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _block(x, filters: int, strides: int):
    """[B, H, W, K] -> [B, H / strides, W / strides, filters]."""
    shortcut = x if x.shape[-1] == filters else _conv_norm(x, filters, 1, strides)
    x = layers.ReLU()(_conv_norm(x, filters, 3, strides))
    return layers.ReLU()(layers.Add()([_conv_norm(x, filters, 3), shortcut]))


def resnet18(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Four stages of two blocks each; the first block of a later stage halves the image.

    Args:
      input_shape: (H, W, channels).
      num_classes: C, the number of logits.
    """
    inputs = keras.Input(input_shape)
    x = layers.ReLU()(_conv_norm(inputs, WIDTHS[0], 3))
    for stage, width in enumerate(WIDTHS):
        for i in range(BLOCKS):
            x = _block(x, width, 2 if stage and not i else 1)
    x = layers.GlobalAveragePooling2D()(x)  # [B, K]
    return keras.Model(inputs, layers.Dense(num_classes, dtype="float32")(x), name="resnet18")

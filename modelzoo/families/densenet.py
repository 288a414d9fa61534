"""Densely connected convolutional nets.

B batch, H height, W width, G growth, F features, C classes. A layer adds G features to all that were before it; a transition
keeps half of them and halves H and W.
"""

import keras
from keras import layers

from modelzoo.layers import batch_norm, conv, image_input, image_output, max_pool
from modelzoo.registry import register_model, variant
from modelzoo.weights import Names, Published

NAMES = Names(
    rules=(
        (r"^(denseblock\d+|transition\d+)_(denselayer\d+_)?", r"features.\1.\2"),
        (r"(denselayer\d+)_", r"\1."),
        (r"^(conv0|norm0|norm5)\b", r"features.\1"),
        (r"^logits", "classifier"),
    )
)


def dense_layer(x, growth: int, bottleneck: int, dropout: float, name: str):
    """[B, H, W, F] -> [B, H, W, F + G]."""
    y = x
    if bottleneck:
        y = conv(batch_norm(y, "relu", name=f"{name}_norm1"), bottleneck * growth, name=f"{name}_conv1")
        y = conv(batch_norm(y, "relu", name=f"{name}_norm2"), growth, 3, name=f"{name}_conv2")
    else:
        y = conv(batch_norm(y, "relu", name=f"{name}_norm1"), growth, 3, name=f"{name}_conv1")
    if dropout:
        y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    return layers.Concatenate(name=f"{name}_concat")([x, y])


@register_model(
    tiny=dict(
        input_shape=(32, 32, 3), num_classes=3, depths=(2, 1), growth=4, initial_filters=8, bottleneck=2, compression=0.5,
        stem="imagenet",
    ),
    paper="Huang, Liu, van der Maaten & Weinberger 2017, Densely connected convolutional networks",
    names={"timm and torchvision": NAMES},
)  # fmt: skip
def densenet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depths: tuple[int, ...] = (6, 12, 24, 16),
    growth: int = 32,
    initial_filters: int = 64,
    bottleneck: int = 4,
    compression: float = 0.5,
    dropout: float = 0.0,
    stem: str = "imagenet",
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Dense blocks with transitions between them.

    Args:
      input_shape: (H, W, channels).
      num_classes: C, the number of logits; 0 for features.
      depths: layers of each dense block.
      growth: G, the features that each layer adds.
      initial_filters: of the stem.
      bottleneck: a convolution of 1x1 to this many times G stands before each of 3x3 (DenseNet-B); 0 for none.
      compression: the part of the features that a transition keeps (DenseNet-C).
      dropout: rate after each layer's last convolution.
      stem: "imagenet" (7x7, stride 2, then max pooling) or "cifar" (3x3, stride 1).
      pooling: of the last feature map, "average" or "max"; None, with num_classes=0, leaves it.
      features: give the feature maps of the blocks, {"stride_4": ...}, in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: unknown stem or pooling; images smaller than the strides.
    """
    if stem not in ("imagenet", "cifar"):
        raise ValueError(f"unknown stem {stem!r}. Accepted: imagenet, cifar")
    stride = 4 if stem == "imagenet" else 1
    inputs, x = image_input(input_shape, smallest=stride * 2 ** (len(depths) - 1), mean_std=mean_std)
    if stem == "imagenet":
        x = batch_norm(conv(x, initial_filters, 7, strides=2, name="conv0"), "relu", name="norm0")  # [B, H / 2, W / 2, F]
        x = max_pool(x, name="pool0")  # [B, H / 4, W / 4, F]
    else:
        x = conv(x, initial_filters, 3, name="conv0")  # [B, H, W, F]
    maps = {}
    for block, depth in enumerate(depths, start=1):
        if block > 1:
            name = f"transition{block - 1}"
            x = conv(batch_norm(x, "relu", name=f"{name}_norm"), int(x.shape[-1] * compression), name=f"{name}_conv")
            x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)  # [B, H / 2, W / 2, F]
            stride *= 2
        for i in range(1, depth + 1):
            x = dense_layer(x, growth, bottleneck, dropout, f"denseblock{block}_denselayer{i}")
        maps[stride] = x
    maps[stride] = x = batch_norm(x, "relu", name="norm5")
    return image_output(inputs, x, maps, num_classes=num_classes, pooling=pooling, features=features, name="densenet")


IMAGENET = dict(input_shape=(224, 224, 3), num_classes=1000)
CIFAR = dict(input_shape=(32, 32, 3), num_classes=10, growth=12, stem="cifar")
APACHE = dict(license="apache-2.0")

densenet121 = variant(
    "densenet121", densenet, depths=(6, 12, 24, 16), **IMAGENET, params=7_978_856,
    weights={"tv_in1k": Published("timm/densenet121.tv_in1k", **APACHE)}, doc="DenseNet-121, growth 32.",
)  # fmt: skip
densenet169 = variant(
    "densenet169", densenet, depths=(6, 12, 32, 32), **IMAGENET, params=14_149_480,
    weights={"tv_in1k": Published("timm/densenet169.tv_in1k", **APACHE)}, doc="DenseNet-169, growth 32.",
)  # fmt: skip
densenet201 = variant(
    "densenet201", densenet, depths=(6, 12, 48, 32), **IMAGENET, params=20_013_928,
    weights={"tv_in1k": Published("timm/densenet201.tv_in1k", **APACHE)}, doc="DenseNet-201, growth 32.",
)  # fmt: skip
densenet40 = variant(
    "densenet40", densenet, depths=(12, 12, 12), **CIFAR, initial_filters=16, bottleneck=0, compression=1.0, params=1_019_722,
    doc="The CIFAR DenseNet of 40 layers, growth 12, without bottlenecks.",
)  # fmt: skip
densenet100 = variant(
    "densenet100", densenet, depths=(16, 16, 16), **CIFAR, initial_filters=24, params=769_162,
    doc="The CIFAR DenseNet-BC of 100 layers, growth 12.",
)  # fmt: skip

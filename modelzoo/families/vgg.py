"""VGG nets: stages of convolutions of 3x3, each stage halved by max pooling, then three dense layers.

B batch, H height, W width, K filters, D units of the dense layers, C classes.
"""

import keras
from keras import layers

from modelzoo.layers import AdaptiveAveragePooling, image_input, image_output, max_pool
from modelzoo.registry import register_model, variant
from modelzoo.weights import Names, Published

NAMES = {
    "timm": Names(rules=((r"^features_", "features."), (r"^fc(\d)", r"pre_logits.fc\1"), (r"^logits", "head.fc"))),
    "torchvision": Names(
        rules=(
            (r"^features_", "features."),
            (r"^fc1", "classifier.0"),
            (r"^fc2", "classifier.3"),
            (r"^logits", "classifier.6"),
        ),
        stored={r"^classifier\.[03]\.weight": lambda shape: (shape[0], shape[1] * shape[2] * shape[3])},
    ),
}


@register_model(
    tiny=dict(input_shape=(8, 8, 3), num_classes=3, depths=(1, 2), widths=(8, 16), units=16, grid=2, dropout=0.0),
    paper="Simonyan & Zisserman 2015, Very deep convolutional networks for large-scale image recognition",
    names=NAMES,
)
def vgg(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depths: tuple[int, ...] = (2, 2, 3, 3, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    units: int = 4096,
    grid: int = 7,
    dropout: float = 0.5,
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """VGG net. Its dense layers are convolutions over the whole grid, as the paper evaluates them (3.2).

    Args:
      input_shape: (H, W, channels).
      num_classes: C, the number of logits; 0 for the last dense layer's features.
      depths: convolutions of each stage.
      widths: K of each stage.
      units: D of the two hidden dense layers; 0 for none: the last feature map is pooled.
      grid: side of the feature map that the dense layers see; images of other sizes are averaged to it.
      dropout: rate after each hidden dense layer.
      pooling: of the last feature map where `units` is 0: "average" or "max"; None, with num_classes=0, leaves it.
      features: give the feature maps of the stages before their pooling, {"stride_1": ...}, in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: images smaller than the strides; unknown pooling.
    """
    inputs, x = image_input(input_shape, smallest=2 ** len(depths), mean_std=mean_std)
    maps, index = {}, 0  # the index counts convolutions, activations and pooling, as the published names do
    for stage, (depth, filters) in enumerate(zip(depths, widths, strict=True)):
        for _ in range(depth):
            options = dict(padding="same", activation="relu", kernel_initializer="he_normal")
            x = layers.Conv2D(filters, 3, **options, name=f"features_{index}")(x)  # [B, H, W, K]
            index += 2
        maps[2**stage] = x
        x = max_pool(x, 2, name=f"features_{index}")  # [B, H / 2, W / 2, K]
        index += 1
    if units and not features:
        x = AdaptiveAveragePooling(grid, name="grid")(x)  # [B, grid, grid, K]
        for i, size in ((1, grid), (2, 1)):
            x = layers.Conv2D(units, size, activation="relu", kernel_initializer="he_normal", name=f"fc{i}")(x)  # [B, 1, 1, D]
            x = layers.Dropout(dropout, name=f"dropout_{i}")(x) if dropout else x
        x = layers.Flatten(name="flatten")(x)  # [B, D]
    return image_output(inputs, x, maps, num_classes=num_classes, pooling=pooling, features=features, name="vgg")


IMAGENET = dict(input_shape=(224, 224, 3), num_classes=1000)
BSD = dict(license="bsd-3-clause", interpolation="bilinear")

vgg11 = variant(
    "vgg11", vgg, depths=(1, 1, 2, 2, 2), **IMAGENET, params=132_863_336,
    weights={"tv_in1k": Published("timm/vgg11.tv_in1k", **BSD)}, doc="VGG-11: configuration A.",
)  # fmt: skip
vgg13 = variant(
    "vgg13", vgg, depths=(2, 2, 2, 2, 2), **IMAGENET, params=133_047_848,
    weights={"tv_in1k": Published("timm/vgg13.tv_in1k", **BSD)}, doc="VGG-13: configuration B.",
)  # fmt: skip
vgg16 = variant(
    "vgg16", vgg, depths=(2, 2, 3, 3, 3), **IMAGENET, params=138_357_544,
    weights={"tv_in1k": Published("timm/vgg16.tv_in1k", **BSD)}, doc="VGG-16: configuration D.",
)  # fmt: skip
vgg19 = variant(
    "vgg19", vgg, depths=(2, 2, 4, 4, 4), **IMAGENET, params=143_667_240,
    weights={"tv_in1k": Published("timm/vgg19.tv_in1k", **BSD)}, doc="VGG-19: configuration E.",
)  # fmt: skip

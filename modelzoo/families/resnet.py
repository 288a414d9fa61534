"""Residual nets for images.

B batch, H height, W width, K filters of a block's 3x3 convolution, F features, C classes. A stage's first block halves H and W.
"""

import keras
from keras import layers

from modelzoo.layers import batch_norm, conv, drop_path, drop_path_rates, image_input, image_output, max_pool
from modelzoo.registry import register_model, variant
from modelzoo.weights import Names, Published

NAMES = Names(
    rules=(
        (r"^layer(\d+)_(\d+)_", r"layer\1.\2."),
        (r"downsample_(\d)", r"downsample.\1"),
        (r"^logits", "fc"),
    )
)


def basic_block(x, filters: int, strides: int, name: str):
    """Two convolutions of 3x3: [B, H, W, F] -> [B, H, W, K]."""
    x = batch_norm(conv(x, filters, 3, strides=strides, name=f"{name}_conv1"), "relu", name=f"{name}_bn1")
    return batch_norm(conv(x, filters, 3, name=f"{name}_conv2"), name=f"{name}_bn2")


def bottleneck_block(x, filters: int, strides: int, name: str):
    """1x1 to fewer filters, 3x3 (which strides: v1.5), 1x1 to more: [B, H, W, F] -> [B, H, W, 4 K]."""
    x = batch_norm(conv(x, filters, name=f"{name}_conv1"), "relu", name=f"{name}_bn1")
    x = batch_norm(conv(x, filters, 3, strides=strides, name=f"{name}_conv2"), "relu", name=f"{name}_bn2")
    return batch_norm(conv(x, 4 * filters, name=f"{name}_conv3"), name=f"{name}_bn3")


def projection(x, filters: int, strides: int, name: str):
    """Shortcut B of the paper (3.3): a convolution where the shape changes."""
    if strides == 1 and x.shape[-1] == filters:
        return x
    return batch_norm(conv(x, filters, strides=strides, name=f"{name}_downsample_0"), name=f"{name}_downsample_1")


def subsample(x, filters: int, strides: int, name: str):
    """Shortcut A of the paper (3.3), without weights: every second pixel, and zeros for the new filters."""
    if strides > 1:
        x = layers.AveragePooling2D(1, strides, name=f"{name}_subsample")(x)
    more = filters - x.shape[-1]
    return keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [more // 2, more - more // 2]]) if more else x


BLOCKS = {"basic": basic_block, "bottleneck": bottleneck_block}
SHORTCUTS = {"projection": projection, "subsample": subsample}


@register_model(
    tiny=dict(
        input_shape=(32, 32, 3), num_classes=3, depths=(1, 2), widths=(8, 12), block="bottleneck", stem="imagenet",
        shortcut="projection", drop_path=0.0,
    ),
    paper="He, Zhang, Ren & Sun 2016, Deep residual learning for image recognition",
    names={"timm and torchvision": NAMES},
)  # fmt: skip
def resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depths: tuple[int, ...] = (3, 4, 6, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    block: str = "bottleneck",
    stem: str = "imagenet",
    shortcut: str = "projection",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Residual net, v1.5: a bottleneck strides in its convolution of 3x3.

    Args:
      input_shape: (H, W, channels).
      num_classes: C, the number of logits; 0 for features.
      depths: blocks of each stage.
      widths: K of each stage.
      block: "basic" (two convolutions) or "bottleneck" (three).
      stem: "imagenet" (7x7, stride 2, then max pooling) or "cifar" (3x3, stride 1).
      shortcut: "projection" (a convolution where the shape changes) or "subsample" (no weights).
      pooling: of the last feature map, "average" or "max"; None, with num_classes=0, leaves it.
      drop_path: rate at which the last block's branch is left out; the others' rise to it linearly.
      features: give the feature maps of the stages, {"stride_4": ...}, in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: an argument outside what is listed here; images smaller than the strides.
    """
    accepted = {"block": BLOCKS, "stem": ("imagenet", "cifar"), "shortcut": SHORTCUTS}
    for argument, value in dict(block=block, stem=stem, shortcut=shortcut).items():
        if value not in accepted[argument]:
            raise ValueError(f"unknown {argument} {value!r}. Accepted: {', '.join(accepted[argument])}")
    stride = 4 if stem == "imagenet" else 1
    inputs, x = image_input(input_shape, smallest=stride * 2 ** (len(depths) - 1), mean_std=mean_std)
    if stem == "imagenet":
        x = batch_norm(conv(x, widths[0], 7, strides=2, name="conv1"), "relu", name="bn1")  # [B, H / 2, W / 2, K]
        x = max_pool(x, name="maxpool")  # [B, H / 4, W / 4, K]
    else:
        x = batch_norm(conv(x, widths[0], 3, name="conv1"), "relu", name="bn1")  # [B, H, W, K]
    maps, rates = {}, iter(drop_path_rates(drop_path, sum(depths)))
    for stage, (depth, filters) in enumerate(zip(depths, widths, strict=True), start=1):
        for i in range(depth):
            strides = 2 if stage > 1 and i == 0 else 1
            x = _residual(x, BLOCKS[block], SHORTCUTS[shortcut], filters, strides, next(rates), f"layer{stage}_{i}")
        maps[stride * 2 ** (stage - 1)] = x
    return image_output(inputs, x, maps, num_classes=num_classes, pooling=pooling, features=features, name="resnet")


def _residual(x, block, shortcut, filters: int, strides: int, rate: float, name: str):
    branch = block(x, filters, strides, name)
    branch = drop_path(branch, rate, name=f"{name}_drop_path")
    x = layers.Add(name=f"{name}_add")([branch, shortcut(x, branch.shape[-1], strides, name)])
    return layers.Activation("relu", name=f"{name}_relu")(x)


IMAGENET = dict(input_shape=(224, 224, 3), num_classes=1000)
CIFAR = dict(
    input_shape=(32, 32, 3), num_classes=10, widths=(16, 32, 64), block="basic", stem="cifar", shortcut="subsample",
)  # fmt: skip
A1, TV = dict(license="apache-2.0", crop=0.95), dict(license="bsd-3-clause", interpolation="bilinear")

resnet18 = variant(
    "resnet18", resnet, depths=(2, 2, 2, 2), block="basic", **IMAGENET, params=11_689_512,
    weights={"a1_in1k": Published("timm/resnet18.a1_in1k", **A1), "tv_in1k": Published("timm/resnet18.tv_in1k", **TV)},
    doc="ResNet-18: basic blocks.",
)  # fmt: skip
resnet34 = variant(
    "resnet34", resnet, depths=(3, 4, 6, 3), block="basic", **IMAGENET, params=21_797_672,
    weights={"a1_in1k": Published("timm/resnet34.a1_in1k", **A1)},
    doc="ResNet-34: basic blocks.",
)  # fmt: skip
resnet50 = variant(
    "resnet50", resnet, depths=(3, 4, 6, 3), **IMAGENET, params=25_557_032,
    weights={"a1_in1k": Published("timm/resnet50.a1_in1k", **A1), "tv_in1k": Published("timm/resnet50.tv_in1k", **TV)},
    doc="ResNet-50: bottleneck blocks, v1.5.",
)  # fmt: skip
resnet101 = variant(
    "resnet101", resnet, depths=(3, 4, 23, 3), **IMAGENET, params=44_549_160,
    weights={"a1_in1k": Published("timm/resnet101.a1_in1k", **A1)},
    doc="ResNet-101: bottleneck blocks, v1.5.",
)  # fmt: skip
resnet152 = variant(
    "resnet152", resnet, depths=(3, 8, 36, 3), **IMAGENET, params=60_192_808,
    weights={"a1_in1k": Published("timm/resnet152.a1_in1k", **A1)},
    doc="ResNet-152: bottleneck blocks, v1.5.",
)  # fmt: skip
resnet20 = variant("resnet20", resnet, depths=(3, 3, 3), **CIFAR, params=269_722, doc="The CIFAR ResNet-20 (4.2).")
resnet32 = variant("resnet32", resnet, depths=(5, 5, 5), **CIFAR, params=464_154, doc="The CIFAR ResNet-32 (4.2).")
resnet44 = variant("resnet44", resnet, depths=(7, 7, 7), **CIFAR, params=658_586, doc="The CIFAR ResNet-44 (4.2).")
resnet56 = variant("resnet56", resnet, depths=(9, 9, 9), **CIFAR, params=853_018, doc="The CIFAR ResNet-56 (4.2).")
resnet110 = variant("resnet110", resnet, depths=(18, 18, 18), **CIFAR, params=1_727_962, doc="The CIFAR ResNet-110 (4.2).")

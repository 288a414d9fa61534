"""ConvNeXt: a convolutional net with the proportions of a Transformer.

B batch, H height, W width, D features of a stage, C classes.
"""

import keras
from keras import layers

from modelzoo.layers import LayerScale, depthwise_conv, drop_path, drop_path_rates, image_input, image_output, pool_image
from modelzoo.registry import register_model, variant
from modelzoo.weights import Names, Published

NAMES = Names(
    rules=(
        (r"^stem_(\d)", r"stem.\1"),
        (r"^stages_(\d+)_", r"stages.\1."),
        (r"downsample_(\d)", r"downsample.\1"),
        (r"blocks_(\d+)_", r"blocks.\1."),
        (r"mlp_", "mlp."),
        (r"scale\.scale", "gamma"),
        (r"^head_norm", "head.norm"),
        (r"^logits", "head.fc"),
    )
)


def block(x, rate: float, name: str):
    """Depthwise 7x7, then a dense net over each pixel, with a residual connection: [B, H, W, D] -> [B, H, W, D]."""
    dim = x.shape[-1]
    y = depthwise_conv(x, 7, use_bias=True, name=f"{name}_conv_dw")
    y = _norm(y, f"{name}_norm")
    y = layers.Dense(4 * dim, activation="gelu", name=f"{name}_mlp_fc1")(y)
    y = layers.Dense(dim, name=f"{name}_mlp_fc2")(y)
    y = LayerScale(name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, drop_path(y, rate, name=f"{name}_drop_path")])


def _norm(x, name: str):
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


@register_model(
    tiny=dict(input_shape=(16, 16, 3), num_classes=3, depths=(1, 1), widths=(8, 16)),
    paper="Liu, Mao, Wu, Feichtenhofer, Darrell & Xie 2022, A ConvNet for the 2020s",
    names={"timm": NAMES},
)
def convnext(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depths: tuple[int, ...] = (3, 3, 9, 3),
    widths: tuple[int, ...] = (96, 192, 384, 768),
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ConvNeXt.

    Args:
      input_shape: (H, W, channels).
      num_classes: C, the number of logits; 0 for features.
      depths: blocks of each stage.
      widths: D of each stage.
      pooling: of the last feature map, "average" or "max"; None, with num_classes=0, leaves it.
      drop_path: rate at which the last block's branch is left out; the others' rise to it linearly.
      features: give the feature maps of the stages, {"stride_4": ...}, in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: images smaller than the strides; unknown pooling.
    """
    inputs, x = image_input(input_shape, smallest=4 * 2 ** (len(depths) - 1), mean_std=mean_std)
    x = _norm(layers.Conv2D(widths[0], 4, 4, name="stem_0")(x), "stem_1")  # [B, H / 4, W / 4, D]
    maps, rates = {}, iter(drop_path_rates(drop_path, sum(depths)))
    for stage, (depth, dim) in enumerate(zip(depths, widths, strict=True)):
        name = f"stages_{stage}"
        if stage:
            x = _norm(x, f"{name}_downsample_0")
            x = layers.Conv2D(dim, 2, 2, name=f"{name}_downsample_1")(x)  # [B, H / 2, W / 2, D]
        for i in range(depth):
            x = block(x, next(rates), f"{name}_blocks_{i}")
        maps[4 * 2**stage] = x
    if not features:
        x = _norm(pool_image(x, pooling), "head_norm")
    return image_output(inputs, x, maps, num_classes=num_classes, pooling=None, features=features, name="convnext")


IMAGENET = dict(input_shape=(224, 224, 3), num_classes=1000)
FB = dict(license="apache-2.0")

convnext_tiny = variant(
    "convnext_tiny", convnext, depths=(3, 3, 9, 3), widths=(96, 192, 384, 768), **IMAGENET, params=28_589_128,
    weights={
        "fb_in1k": Published("timm/convnext_tiny.fb_in1k", **FB),
        "fb_in22k_ft_in1k": Published("timm/convnext_tiny.fb_in22k_ft_in1k", **FB),
    },
    doc="ConvNeXt-T.",
)  # fmt: skip
convnext_small = variant(
    "convnext_small", convnext, depths=(3, 3, 27, 3), widths=(96, 192, 384, 768), **IMAGENET, params=50_223_688,
    weights={
        "fb_in1k": Published("timm/convnext_small.fb_in1k", **FB),
        "fb_in22k_ft_in1k": Published("timm/convnext_small.fb_in22k_ft_in1k", **FB),
    },
    doc="ConvNeXt-S.",
)  # fmt: skip
convnext_base = variant(
    "convnext_base", convnext, depths=(3, 3, 27, 3), widths=(128, 256, 512, 1024), **IMAGENET, params=88_591_464,
    weights={
        "fb_in1k": Published("timm/convnext_base.fb_in1k", **FB),
        "fb_in22k_ft_in1k": Published("timm/convnext_base.fb_in22k_ft_in1k", **FB),
    },
    doc="ConvNeXt-B.",
)  # fmt: skip

"""EfficientNet: inverted residuals with squeeze and excitation, scaled in width, depth and image size together.

B batch, H height, W width, F features, C classes.
"""

import math

import keras

from modelzoo.layers import (
    batch_norm,
    conv,
    drop_path_rates,
    image_input,
    image_output,
    inverted_residual,
    round_filters,
)
from modelzoo.registry import register_model, variant
from modelzoo.weights import Names, Published

NAMES = Names(
    rules=(
        (r"^blocks_(\d+)_(\d+)_", r"blocks.\1.\2."),
        (r"\bse_", "se."),
        (r"^logits", "classifier"),
    )
)
STAGES = (  # Table 1: (expansion, kernel size, stride, filters, blocks)
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


@register_model(
    tiny=dict(
        input_shape=(16, 16, 3), num_classes=3, stages=((1, 3, 1, 8, 1), (2, 3, 2, 8, 2)), width=1.0, depth=1.0, dropout=0.0,
    ),
    paper="Tan & Le 2019, EfficientNet: Rethinking model scaling for convolutional neural networks",
    names={"timm": NAMES},
)  # fmt: skip
def efficientnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    stages: tuple[tuple[int, int, int, int, int], ...] = STAGES,
    width: float = 1.0,
    depth: float = 1.0,
    pooling: str | None = "average",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """EfficientNet.

    Args:
      input_shape: (H, W, channels).
      num_classes: C, the number of logits; 0 for features.
      stages: (expansion, kernel size, stride, filters, blocks) of each.
      width: factor on all filters.
      depth: factor on all numbers of blocks.
      pooling: of the last feature map, "average" or "max"; None, with num_classes=0, leaves it.
      dropout: rate before the logits.
      drop_path: rate at which the last block's branch is left out; the others' rise to it linearly.
      features: give the last feature map of each stride, {"stride_2": ...}, in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: images smaller than the strides; unknown pooling.
    """
    smallest = 2 * math.prod(stage[2] for stage in stages)
    inputs, x = image_input(input_shape, smallest=smallest, mean_std=mean_std)
    x = batch_norm(
        conv(x, round_filters(32 * width), 3, strides=2, name="conv_stem"), "silu", name="bn1"
    )  # [B, H / 2, W / 2, F]
    counts = [math.ceil(stage[4] * depth) for stage in stages]
    maps, stride, rates = {}, 2, iter(drop_path_rates(drop_path, sum(counts)))
    for number, ((expansion, kernel_size, strides, filters, _), count) in enumerate(zip(stages, counts, strict=True)):
        for i in range(count):
            before = x.shape[-1]
            x = inverted_residual(
                x, round_filters(filters * width), kernel_size, expanded=expansion * before, strides=strides if i == 0 else 1,
                activation="silu", squeezed=max(1, before // 4), squeeze_activations=("silu", "sigmoid"), drop_rate=next(rates),
                name=f"blocks_{number}_{i}",
            )  # fmt: skip
        stride *= strides
        maps[stride] = x
    if not features:
        x = batch_norm(conv(x, round_filters(1280 * width), name="conv_head"), "silu", name="bn2")
    return image_output(
        inputs, x, maps, num_classes=num_classes, pooling=pooling, features=features, dropout=dropout, name="efficientnet"
    )


efficientnet_b0 = variant(
    "efficientnet_b0", efficientnet, input_shape=(224, 224, 3), num_classes=1000, params=5_288_548,
    weights={"ra_in1k": Published("timm/efficientnet_b0.ra_in1k", "apache-2.0")}, doc="EfficientNet-B0.",
)  # fmt: skip
efficientnet_b1 = variant(
    "efficientnet_b1", efficientnet, input_shape=(240, 240, 3), num_classes=1000, width=1.0, depth=1.1, params=7_794_184,
    doc="EfficientNet-B1.",
)  # fmt: skip
efficientnet_b2 = variant(
    "efficientnet_b2", efficientnet, input_shape=(260, 260, 3), num_classes=1000, width=1.1, depth=1.2, dropout=0.3,
    params=9_109_994, doc="EfficientNet-B2.",
)  # fmt: skip
efficientnet_b3 = variant(
    "efficientnet_b3", efficientnet, input_shape=(300, 300, 3), num_classes=1000, width=1.2, depth=1.4, dropout=0.3,
    params=12_233_232, doc="EfficientNet-B3.",
)  # fmt: skip
efficientnet_b4 = variant(
    "efficientnet_b4", efficientnet, input_shape=(380, 380, 3), num_classes=1000, width=1.4, depth=1.8, dropout=0.4,
    params=19_341_616, doc="EfficientNet-B4.",
)  # fmt: skip

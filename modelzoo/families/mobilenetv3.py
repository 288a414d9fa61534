"""MobileNetV3: inverted residuals found by a search for phones.

B batch, H height, W width, E expanded filters, F features, C classes.
"""

import keras
from keras import layers

from modelzoo.layers import (
    batch_norm,
    conv,
    drop_path_rates,
    image_input,
    image_output,
    inverted_residual,
    pool_image,
    round_filters,
)
from modelzoo.registry import register_model, variant
from modelzoo.weights import Names, Published

RELU, SWISH = "relu", "hard_silu"
LARGE = (  # Table 1, by stage: (kernel size, E, F, squeeze and excitation, activation, stride)
    ((3, 16, 16, False, RELU, 1),),
    ((3, 64, 24, False, RELU, 2), (3, 72, 24, False, RELU, 1)),
    ((5, 72, 40, True, RELU, 2), (5, 120, 40, True, RELU, 1), (5, 120, 40, True, RELU, 1)),
    (
        (3, 240, 80, False, SWISH, 2),
        (3, 200, 80, False, SWISH, 1),
        (3, 184, 80, False, SWISH, 1),
        (3, 184, 80, False, SWISH, 1),
    ),
    ((3, 480, 112, True, SWISH, 1), (3, 672, 112, True, SWISH, 1)),
    ((5, 672, 160, True, SWISH, 2), (5, 960, 160, True, SWISH, 1), (5, 960, 160, True, SWISH, 1)),
)
SMALL = (  # Table 2
    ((3, 16, 16, True, RELU, 2),),
    ((3, 72, 24, False, RELU, 2), (3, 88, 24, False, RELU, 1)),
    ((5, 96, 40, True, SWISH, 2), (5, 240, 40, True, SWISH, 1), (5, 240, 40, True, SWISH, 1)),
    ((5, 120, 48, True, SWISH, 1), (5, 144, 48, True, SWISH, 1)),
    ((5, 288, 96, True, SWISH, 2), (5, 576, 96, True, SWISH, 1), (5, 576, 96, True, SWISH, 1)),
)
NAMES = Names(
    rules=(
        (r"^blocks_(\d+)_(\d+)_", r"blocks.\1.\2."),
        (r"\bse_", "se."),
        (r"^logits", "classifier"),
    )
)


@register_model(
    tiny=dict(
        input_shape=(16, 16, 3), num_classes=3, last_filters=16, head_filters=16, dropout=0.0,
        stages=(((3, 16, 16, True, RELU, 2),), ((3, 24, 8, False, SWISH, 2), (3, 24, 8, True, SWISH, 1))),
    ),
    paper="Howard et al. 2019, Searching for MobileNetV3",
    names={"timm": NAMES},
)  # fmt: skip
def mobilenetv3(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    stages: tuple = LARGE,
    last_filters: int = 960,
    head_filters: int = 1280,
    pooling: str | None = "average",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """MobileNetV3.

    Args:
      input_shape: (H, W, channels).
      num_classes: C, the number of logits; 0 for features.
      stages: of blocks: (kernel size, E, F, whether squeeze and excitation, activation, stride).
      last_filters: of the last convolution before pooling.
      head_filters: of the dense layer after it.
      pooling: of the last feature map, "average" or "max"; None, with num_classes=0, gives that feature map.
      dropout: rate before the logits.
      drop_path: rate at which the last block's branch is left out; the others' rise to it linearly.
      features: give the last feature map of each stride, {"stride_2": ...}, in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: images smaller than the strides; unknown pooling.
    """
    strides = [block[-1] for stage in stages for block in stage]
    inputs, x = image_input(input_shape, smallest=2 ** (1 + strides.count(2)), mean_std=mean_std)
    x = batch_norm(conv(x, 16, 3, strides=2, name="conv_stem"), SWISH, name="bn1")  # [B, H / 2, W / 2, F]
    maps, stride, rates = {}, 2, iter(drop_path_rates(drop_path, len(strides)))
    for number, stage in enumerate(stages):
        for i, (kernel_size, expanded, filters, squeeze, activation, step) in enumerate(stage):
            squeezed = round_filters(expanded / 4) if squeeze else 0
            x = inverted_residual(
                x, filters, kernel_size, expanded=expanded, strides=step, activation=activation, squeezed=squeezed,
                drop_rate=next(rates), name=f"blocks_{number}_{i}",
            )  # fmt: skip
            stride *= step
        maps[stride] = x
    if not features:
        name = f"blocks_{len(stages)}_0"
        x = batch_norm(conv(x, last_filters, name=f"{name}_conv"), SWISH, name=f"{name}_bn1")
        x = pool_image(x, pooling)
        if pooling:
            x = layers.Reshape((1, 1, last_filters), name="pixel")(x)
            x = layers.Conv2D(head_filters, 1, activation=SWISH, name="conv_head")(x)  # after the pooling: 5.1
            x = layers.Flatten(name="flatten")(x)
    return image_output(
        inputs, x, maps, num_classes=num_classes, pooling=None, features=features, dropout=dropout, name="mobilenetv3"
    )


IMAGENET = dict(input_shape=(224, 224, 3), num_classes=1000)

mobilenetv3_large = variant(
    "mobilenetv3_large", mobilenetv3, stages=LARGE, last_filters=960, head_filters=1280, **IMAGENET, params=5_483_032,
    weights={"ra_in1k": Published("timm/mobilenetv3_large_100.ra_in1k", "apache-2.0")}, doc="MobileNetV3-Large.",
)  # fmt: skip
mobilenetv3_small = variant(
    "mobilenetv3_small", mobilenetv3, stages=SMALL, last_filters=576, head_filters=1024, **IMAGENET, params=2_542_856,
    weights={"lamb_in1k": Published("timm/mobilenetv3_small_100.lamb_in1k", "apache-2.0")}, doc="MobileNetV3-Small.",
)  # fmt: skip

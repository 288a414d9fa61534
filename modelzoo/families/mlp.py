"""Dense nets (multi-layer perceptrons).

B batch, F features, W a layer's width, C classes.
"""

import math

import keras
from keras import layers

from modelzoo.registry import register_model, variant


@register_model(
    tiny=dict(input_shape=(6,), num_classes=3, widths=(16,)),
    paper="Rumelhart, Hinton & Williams 1986, Learning representations by back-propagating errors",
)
def mlp(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    widths: tuple[int, ...] = (128,),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """Dense layers over flattened inputs.

    Args:
      input_shape: of one example; flattened to F features.
      num_classes: C, the number of logits; 1 for a binary answer or a regression.
      widths: units of each hidden layer; () gives (multinomial) logistic regression.
      activation: of the hidden layers, by its Keras name.
      dropout: rate after each hidden layer.
      batch_norm: normalise before each activation.
      l1, l2: penalties on every kernel.
    """
    regularizer = keras.regularizers.L1L2(l1, l2) if l1 or l2 else None
    inputs = x = keras.Input(input_shape)
    if len(input_shape) > 1:
        x = layers.Reshape((math.prod(input_shape),), name="flatten")(x)  # [B, F]
    for i, width in enumerate(widths, start=1):
        x = layers.Dense(width, use_bias=not batch_norm, kernel_regularizer=regularizer, name=f"hidden_{i}")(x)  # [B, W]
        if batch_norm:
            x = layers.BatchNormalization(name=f"norm_{i}")(x)
        x = layers.Activation(activation, name=f"{activation}_{i}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout_{i}")(x)
    logits = layers.Dense(num_classes, kernel_regularizer=regularizer, dtype="float32", name="logits")(x)  # [B, C]
    return keras.Model(inputs, logits, name="mlp")


mlp_784_128_10 = variant(
    "mlp_784_128_10", mlp, input_shape=(28, 28, 1), num_classes=10, widths=(128,), params=101_770,
    doc="The first net of most tutorials: 28x28 images, 128 hidden units, 10 classes.",
)  # fmt: skip
mlp_784_100_10 = variant(
    "mlp_784_100_10", mlp, input_shape=(28, 28, 1), num_classes=10, widths=(100,), params=79_510,
    doc="28x28 images, 100 hidden units, 10 classes.",
)  # fmt: skip
mlp_100_50_10 = variant(
    "mlp_100_50_10", mlp, input_shape=(100,), num_classes=10, widths=(50,), params=5_560,
    doc="100 features, 50 hidden units, 10 classes.",
)  # fmt: skip
mlp_8_10_1 = variant(
    "mlp_8_10_1", mlp, input_shape=(8,), num_classes=1, widths=(10,), params=101,
    doc="8 features, 10 hidden units, one logit: a binary answer.",
)  # fmt: skip

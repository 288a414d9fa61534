"""Plain convolutional nets: convolutions and pooling, then dense layers.

B batch, H height, W width, K filters, F features, C classes.
"""

import keras
from keras import layers

from modelzoo.registry import register_model, variant

POOLING = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}


@register_model(
    tiny=dict(input_shape=(8, 8, 1), num_classes=3, filters=(4, 8), pools=(1, 2), widths=(16,)),
    paper="LeCun, Bottou, Bengio & Haffner 1998, Gradient-based learning applied to document recognition",
)
def cnn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: tuple[int, ...] = (32, 64, 128),
    kernel_size: int = 3,
    pools: tuple[int, ...] = (2, 2, 2),
    pooling: str = "max",
    widths: tuple[int, ...] = (128,),
    activation: str = "relu",
    padding: str = "valid",
    batch_norm: bool = False,
    dropout: float = 0.0,
    dropout_dense: float = 0.0,
) -> keras.Model:
    """Convolutions, each followed by pooling where `pools` says so, then dense layers.

    Args:
      input_shape: (H, W, channels).
      num_classes: C, the number of logits; 1 for a binary answer or a regression.
      filters: of each convolution.
      kernel_size: side of every convolution's square kernel.
      pools: side of the pooling window after each convolution; 1 for none. As long as `filters`.
      pooling: "max" or "average".
      widths: units of each dense layer before the logits.
      activation: of every hidden layer, by its Keras name.
      padding: "valid" or "same".
      batch_norm: normalise after each convolution, before its activation.
      dropout: rate before the first dense layer.
      dropout_dense: rate after each dense layer.

    Raises:
      ValueError: no image, or one smaller than the convolutions need; `pools` is not as long as `filters`; unknown `pooling`.
    """
    if len(input_shape) != 3:
        raise ValueError(f"images have the input_shape (height, width, channels). Received: {input_shape}")
    if len(pools) != len(filters):
        raise ValueError(f"pools must have one number for each of the filters {tuple(filters)}. Received: {tuple(pools)}")
    if pooling not in POOLING:
        raise ValueError(f"unknown pooling {pooling!r}. Accepted: {', '.join(POOLING)}")
    inputs = x = keras.Input(input_shape)
    for i, (filter_count, pool) in enumerate(zip(filters, pools, strict=True), start=1):
        if padding == "valid" and min(x.shape[1:3]) < kernel_size + pool - 1:
            raise ValueError(f"an image of {input_shape} is too small for convolution {i}, whose input is {x.shape[1:]}")
        x = layers.Conv2D(filter_count, kernel_size, padding=padding, use_bias=not batch_norm, name=f"conv_{i}")(
            x
        )  # [B, H, W, K]
        if batch_norm:
            x = layers.BatchNormalization(name=f"norm_{i}")(x)
        x = layers.Activation(activation, name=f"{activation}_{i}")(x)
        if pool > 1:
            x = POOLING[pooling](pool, name=f"pool_{i}")(x)  # [B, H / pool, W / pool, K]
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Flatten(name="flatten")(x)  # [B, F]
    for i, width in enumerate(widths, start=1):
        x = layers.Dense(width, activation=activation, name=f"hidden_{i}")(x)
        if dropout_dense:
            x = layers.Dropout(dropout_dense, name=f"dropout_{i}")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)  # [B, C]
    return keras.Model(inputs, logits, name="cnn")


lenet5 = variant(
    "lenet5", cnn, input_shape=(32, 32, 1), num_classes=10, params=61_706,
    filters=(6, 16), kernel_size=5, pools=(2, 2), pooling="average", widths=(120, 84), activation="tanh",
    tiny=dict(input_shape=(16, 16, 1), num_classes=3),
    doc="LeNet-5 with full connections in its second convolution and logits in place of radial basis functions.",
)  # fmt: skip
mnist_cnn = variant(
    "mnist_cnn", cnn, input_shape=(28, 28, 1), num_classes=10, params=1_199_882,
    filters=(32, 64), pools=(1, 2), widths=(128,), dropout=0.25, dropout_dense=0.5,
    doc="The MNIST net of the PyTorch examples: two convolutions, one pooling, dropout.",
)  # fmt: skip
cifar10_cnn = variant(
    "cifar10_cnn", cnn, input_shape=(32, 32, 3), num_classes=10, params=160_202,
    doc="The CIFAR-10 net of the Keras tutorials: three convolutions of 32, 64 and 128 filters, each pooled.",
)  # fmt: skip

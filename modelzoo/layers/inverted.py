"""The block that MobileNets and EfficientNets are made of.

B batch, H height, W width, E expanded filters, F features.
"""

from keras import layers

from modelzoo.layers.images import batch_norm, conv, depthwise_conv, drop_path


def inverted_residual(
    x, filters: int, kernel_size: int, *, expanded: int, strides: int = 1, activation: str, squeezed: int = 0,
    squeeze_activations: tuple[str, str] = ("relu", "hard_sigmoid"), drop_rate: float = 0.0, name: str,
):  # fmt: skip
    """1x1 to E filters, depthwise convolution, squeeze and excitation, 1x1 to F: [B, H, W, .] -> [B, H, W, F]; added to x where
    the shapes are the same. Without the first convolution where E is what x has.

    Args:
      x: feature map.
      filters: F.
      kernel_size: of the depthwise convolution.
      expanded: E.
      strides: of the depthwise convolution.
      activation: after each convolution but the last.
      squeezed: filters of the squeeze; 0 for no squeeze and excitation.
      squeeze_activations: of the squeeze, and of the gate.
      drop_rate: at which the branch is left out.
      name: of the block.

    Source: Sandler et al. 2018, MobileNetV2: Inverted residuals and linear bottlenecks, 3.3; Hu et al. 2018,
    Squeeze-and-excitation networks.
    """
    y, norms = x, iter(f"{name}_bn{i}" for i in (1, 2, 3))
    expands = expanded != x.shape[-1]
    if expands:
        y = batch_norm(conv(y, expanded, name=f"{name}_conv_pw"), activation, name=next(norms))  # [B, H, W, E]
    y = depthwise_conv(y, kernel_size, strides=strides, name=f"{name}_conv_dw")
    y = batch_norm(y, activation, name=next(norms))  # [B, H, W, E]
    if squeezed:
        y = squeeze_and_excitation(y, squeezed, *squeeze_activations, name=f"{name}_se")
    y = batch_norm(
        conv(y, filters, name=f"{name}_conv_pwl" if expands else f"{name}_conv_pw"), name=next(norms)
    )  # [B, H, W, F]
    if x.shape != y.shape:
        return y
    return layers.Add(name=f"{name}_add")([x, drop_path(y, drop_rate, name=f"{name}_drop_path")])


def squeeze_and_excitation(x, squeezed: int, activation: str, gate: str, *, name: str):
    """x times a gate for each of its features, made of their means: [B, H, W, E] -> [B, H, W, E]."""
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)  # [B, 1, 1, E]
    y = layers.Conv2D(squeezed, 1, activation=activation, name=f"{name}_conv_reduce")(y)
    y = layers.Conv2D(x.shape[-1], 1, activation=gate, name=f"{name}_conv_expand")(y)
    return layers.Multiply(name=f"{name}_scale")([x, y])


def round_filters(filters: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor` that is not below nine tenths of `filters`."""
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded

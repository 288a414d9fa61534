"""Swin Transformer: attention within windows, which shift from block to block.

B batch, H height, W width, D features of a stage, N windows, T tokens of a window, A heads, C classes.
"""

import keras
import numpy as np
from keras import layers, ops

from modelzoo.layers import drop_path, drop_path_rates, image_input, image_output, pool_image
from modelzoo.registry import register_model, variant
from modelzoo.weights import Names, Published

NAMES = Names(
    rules=(
        (r"^patches_norm", "patch_embed.norm"),
        (r"^patches", "patch_embed.proj"),
        (r"^layers_(\d+)_", r"layers.\1."),
        (r"downsample_", "downsample."),
        (r"blocks_(\d+)_", r"blocks.\1."),
        (r"mlp_", "mlp."),
        (r"^logits", "head.fc"),
    ),
    ignored=r"relative_position_index$|attn_mask$",
)


@keras.saving.register_keras_serializable("modelzoo")
class WindowAttention(layers.Layer):
    """Self-attention within windows of a feature map: [B, H, W, D] -> [B, H, W, D].

    Source: Liu et al. 2021, Swin Transformer, 3.2.

    Args:
      num_heads: A.
      window: side of a window; H and W are multiples of it.
      shift: by which the windows are moved; tokens that come together from two ends of the map do not see each other.
    """

    def __init__(self, num_heads: int, window: int, shift: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.window, self.shift = num_heads, window, shift

    def build(self, input_shape):
        dim = input_shape[-1]
        self.qkv = layers.Dense(3 * dim, name="qkv", dtype=self.dtype_policy)
        self.proj = layers.Dense(dim, name="proj", dtype=self.dtype_policy)
        self.qkv.build((None, dim))
        self.proj.build((None, dim))
        shape, initializer = ((2 * self.window - 1) ** 2, self.num_heads), keras.initializers.TruncatedNormal(stddev=0.02)
        self.table = self.add_weight(shape=shape, initializer=initializer, name="relative_position_bias_table")

    def call(self, x):
        height, width, dim = x.shape[1:]
        window, heads = self.window, self.num_heads
        rows, columns, tokens = height // window, width // window, window**2
        if self.shift:
            x = ops.roll(x, (-self.shift, -self.shift), axis=(1, 2))
        x = ops.reshape(x, (-1, rows, window, columns, window, dim))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, rows * columns, tokens, dim))  # [B, N, T, D]
        qkv = ops.reshape(self.qkv(x), (-1, rows * columns, tokens, 3, heads, dim // heads))
        query, key, value = (qkv[:, :, :, i] for i in range(3))  # [B, N, T, A, D / A]
        scores = ops.einsum("bntad,bnsad->bnats", query * (dim // heads) ** -0.5, key) + self._bias(height, width)
        x = ops.einsum("bnats,bnsad->bntad", ops.softmax(scores, axis=-1), value)
        x = self.proj(ops.reshape(x, (-1, rows * columns, tokens, dim)))
        x = ops.reshape(x, (-1, rows, columns, window, window, dim))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, dim))
        return ops.roll(x, (self.shift, self.shift), axis=(1, 2)) if self.shift else x

    def _bias(self, height: int, width: int):
        """What is added to the scores: [1, 1 or N, A, T, T]."""
        place = np.stack(np.meshgrid(*[np.arange(self.window)] * 2, indexing="ij")).reshape(2, -1)
        distance = place[:, :, None] - place[:, None, :] + self.window - 1  # [2, T, T], each 0 to 2 windows - 2
        index = distance[0] * (2 * self.window - 1) + distance[1]
        bias = ops.transpose(ops.take(self.table, index, axis=0), (2, 0, 1))[None, None]
        if not self.shift:
            return ops.cast(bias, self.compute_dtype)
        ends = [np.digitize(np.arange(side), (side - self.window, side - self.shift)) for side in (height, width)]
        region = ends[0][:, None] * 3 + ends[1]  # [H, W]
        rows, columns = height // self.window, width // self.window
        region = region.reshape(rows, self.window, columns, self.window).transpose(0, 2, 1, 3).reshape(rows * columns, -1)
        apart = np.where(region[:, :, None] != region[:, None, :], -100.0, 0.0)[None, :, None]
        return ops.cast(bias, self.compute_dtype) + ops.cast(apart, self.compute_dtype)

    def multiply_adds(self, input_shape: tuple) -> int:
        """Of one example: the projections, the scores and the weighted sum."""
        height, width, dim = input_shape[1:]
        return height * width * (4 * dim * dim + 2 * self.window**2 * dim)

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads, "window": self.window, "shift": self.shift}


def block(x, num_heads: int, window: int, shift: int, rate: float, name: str):
    """Attention within windows, then a dense net over each pixel, both residual: [B, H, W, D] -> [B, H, W, D]."""
    y = WindowAttention(num_heads, window, shift, name=f"{name}_attn")(_norm(x, f"{name}_norm1"))
    x = layers.Add(name=f"{name}_add1")([x, drop_path(y, rate, name=f"{name}_drop_path1")])
    y = layers.Dense(4 * x.shape[-1], activation="gelu", name=f"{name}_mlp_fc1")(_norm(x, f"{name}_norm2"))
    y = layers.Dense(x.shape[-1], name=f"{name}_mlp_fc2")(y)
    return layers.Add(name=f"{name}_add2")([x, drop_path(y, rate, name=f"{name}_drop_path2")])


def merge_patches(x, name: str):
    """Four neighbours become one: [B, H, W, D] -> [B, H / 2, W / 2, 2 D]."""
    height, width, dim = x.shape[1:]
    x = layers.Reshape((height // 2, 2, width // 2, 2, dim), name=f"{name}_split")(x)
    x = layers.Permute((1, 3, 4, 2, 5), name=f"{name}_turn")(x)
    x = layers.Reshape((height // 2, width // 2, 4 * dim), name=f"{name}_join")(x)
    return layers.Dense(2 * dim, use_bias=False, name=f"{name}_reduction")(_norm(x, f"{name}_norm"))


def _norm(x, name: str):
    return layers.LayerNormalization(epsilon=1e-5, name=name)(x)


@register_model(
    tiny=dict(input_shape=(16, 16, 3), num_classes=3, depths=(2, 1), embed_dim=8, num_heads=(2, 2), window=2),
    paper="Liu et al. 2021, Swin Transformer: Hierarchical vision Transformer using shifted windows",
    names={"timm": NAMES},
)
def swin(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depths: tuple[int, ...] = (2, 2, 6, 2),
    embed_dim: int = 96,
    num_heads: tuple[int, ...] = (3, 6, 12, 24),
    window: int = 7,
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Swin Transformer over patches of 4 x 4.

    Args:
      input_shape: (H, W, channels), multiples of 4 x `window` x 2 for each stage but the first.
      num_classes: C, the number of logits; 0 for features.
      depths: blocks of each stage.
      embed_dim: D of the first stage; each further stage has twice as many.
      num_heads: A of each stage.
      window: side of a window.
      pooling: of the last feature map, "average" or "max"; None, with num_classes=0, leaves it.
      drop_path: rate at which the last block's branches are left out; the others' rise to it linearly.
      features: give the feature maps of the stages, {"stride_4": ...}, in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: an image that windows do not divide; unknown pooling.
    """
    divisor = 4 * window * 2 ** (len(depths) - 1)
    inputs, x = image_input(input_shape, divisor=divisor, mean_std=mean_std)
    x = _norm(layers.Conv2D(embed_dim, 4, 4, name="patches")(x), "patches_norm")  # [B, H / 4, W / 4, D]
    maps, rates = {}, iter(drop_path_rates(drop_path, sum(depths)))
    for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
        if stage:
            x = merge_patches(x, f"layers_{stage}_downsample")  # [B, H / 2, W / 2, 2 D]
        for i in range(depth):
            shift = window // 2 if i % 2 and min(x.shape[1:3]) > window else 0  # a single window has nothing to shift to
            x = block(x, heads, window, shift, next(rates), f"layers_{stage}_blocks_{i}")
        maps[4 * 2**stage] = x
    if not features:
        x = pool_image(_norm(x, "norm"), pooling)
    return image_output(inputs, x, maps, num_classes=num_classes, pooling=None, features=features, name="swin")


IMAGENET = dict(input_shape=(224, 224, 3), num_classes=1000)
MS = dict(license="mit", crop=0.9)
T, S = "timm/swin_tiny_patch4_window7_224", "timm/swin_small_patch4_window7_224"

swin_tiny = variant(
    "swin_tiny", swin, depths=(2, 2, 6, 2), embed_dim=96, num_heads=(3, 6, 12, 24), **IMAGENET, params=28_288_354,
    weights={
        "ms_in1k": Published(f"{T}.ms_in1k", **MS),
        "ms_in22k_ft_in1k": Published(f"{T}.ms_in22k_ft_in1k", **MS),
    },
    doc="Swin-T.",
)  # fmt: skip
swin_small = variant(
    "swin_small", swin, depths=(2, 2, 18, 2), embed_dim=96, num_heads=(3, 6, 12, 24), **IMAGENET, params=49_606_258,
    weights={
        "ms_in1k": Published(f"{S}.ms_in1k", **MS),
        "ms_in22k_ft_in1k": Published(f"{S}.ms_in22k_ft_in1k", **MS),
    },
    doc="Swin-S.",
)  # fmt: skip

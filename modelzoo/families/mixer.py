"""MLP-Mixer: dense nets over the patches of an image and over their features, in turn.

B batch, H height, W width, P patch size, T tokens, D embed_dim, C classes.
"""

import keras
from keras import layers

from modelzoo.layers import drop_path, drop_path_rates, image_input, image_output
from modelzoo.registry import register_model, variant
from modelzoo.weights import Names, Published

NAMES = Names(
    rules=(
        (r"^patches", "stem.proj"),
        (r"^blocks_(\d+)_", r"blocks.\1."),
        (r"mlp_(tokens|channels)_", r"mlp_\1."),
        (r"^logits", "head"),
    )
)


def mixer_block(x, tokens_dim: int, channels_dim: int, rate: float, name: str):
    """A dense net over tokens, then one over features, each with a residual connection: [B, T, D] -> [B, T, D]."""
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    y = layers.Permute((2, 1), name=f"{name}_turn1")(y)  # [B, D, T]
    y = _dense_net(y, tokens_dim, f"{name}_mlp_tokens")
    y = layers.Permute((2, 1), name=f"{name}_turn2")(y)  # [B, T, D]
    x = layers.Add(name=f"{name}_add1")([x, drop_path(y, rate, name=f"{name}_drop_path1")])
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    y = _dense_net(y, channels_dim, f"{name}_mlp_channels")
    return layers.Add(name=f"{name}_add2")([x, drop_path(y, rate, name=f"{name}_drop_path2")])


def _dense_net(x, hidden: int, name: str):
    return layers.Dense(x.shape[-1], name=f"{name}_fc2")(layers.Dense(hidden, activation="gelu", name=f"{name}_fc1")(x))


@register_model(
    tiny=dict(input_shape=(16, 16, 3), num_classes=3, patch_size=8, embed_dim=16, depth=1),
    paper="Tolstikhin et al. 2021, MLP-Mixer: An all-MLP architecture for vision",
    names={"timm": NAMES},
)
def mixer(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    patch_size: int = 16,
    embed_dim: int = 512,
    depth: int = 8,
    tokens_dim: int | None = None,
    channels_dim: int | None = None,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """MLP-Mixer. Its weights are for one image size alone.

    Args:
      input_shape: (H, W, channels), H and W multiples of `patch_size`.
      num_classes: C, the number of logits; 0 for features, the mean of the tokens.
      patch_size: P.
      embed_dim: D.
      depth: blocks.
      tokens_dim: width of the dense nets over tokens; None for D / 2.
      channels_dim: width of the dense nets over features; None for 4 D.
      drop_path: rate at which the last block's branches are left out; the others' rise to it linearly.
      features: give the feature map {"stride_P": [B, H / P, W / P, D]} in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: patches that do not divide the image.
    """
    inputs, x = image_input(input_shape, divisor=patch_size, mean_std=mean_std)
    x = layers.Conv2D(embed_dim, patch_size, patch_size, name="patches")(x)  # [B, H / P, W / P, D]
    grid = x.shape[1:3]
    x = layers.Reshape((grid[0] * grid[1], embed_dim), name="tokens")(x)  # [B, T, D]
    for i, rate in enumerate(drop_path_rates(drop_path, depth)):
        x = mixer_block(x, tokens_dim or embed_dim // 2, channels_dim or 4 * embed_dim, rate, f"blocks_{i}")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    maps = {patch_size: layers.Reshape((*grid, embed_dim), name="map")(x)} if features else {}
    if not features:
        x = layers.GlobalAveragePooling1D(name="pool")(x)  # [B, D]
    return image_output(inputs, x, maps, num_classes=num_classes, pooling=None, features=features, name="mixer")


IMAGENET = dict(input_shape=(224, 224, 3), num_classes=1000)
GOOGLE = dict(license="apache-2.0", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

mixer_s16 = variant("mixer_s16", mixer, embed_dim=512, depth=8, **IMAGENET, params=18_528_264, doc="Mixer-S/16.")
mixer_b16 = variant(
    "mixer_b16", mixer, embed_dim=768, depth=12, **IMAGENET, params=59_880_472,
    weights={"goog_in21k_ft_in1k": Published("timm/mixer_b16_224.goog_in21k_ft_in1k", **GOOGLE)}, doc="Mixer-B/16.",
)  # fmt: skip

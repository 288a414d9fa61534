"""Vision Transformer.

B batch, H height, W width, P patch size, T tokens, D embed_dim, C classes.
"""

import keras
from keras import layers

from modelzoo.layers import (
    ClassToken,
    LearnedPositions,
    drop_path,
    drop_path_rates,
    image_input,
    image_output,
)
from modelzoo.registry import register_model, variant
from modelzoo.weights import Names, Published

NAMES = Names(
    rules=(
        (r"^class_token\.token", "cls_token"),
        (r"^positions\.positions", "pos_embed"),
        (r"^patches", "patch_embed.proj"),
        (r"^blocks_(\d+)_", r"blocks.\1."),
        (r"attn\.(query|key|value)\.", "attn.qkv."),
        (r"attn\.attention_output\.", "attn.proj."),
        (r"mlp_", "mlp."),
        (r"^logits", "head"),
    ),
    stored={"^pos_embed": lambda shape: (1, *shape)},
)


def encoder_block(x, num_heads: int, mlp_dim: int, dropout: float, rate: float, name: str):
    """Attention and a dense net over each token, each with a residual connection: [B, T, D] -> [B, T, D]."""
    dim = x.shape[-1]
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(num_heads, dim // num_heads, name=f"{name}_attn")(y, y)
    x = layers.Add(name=f"{name}_add1")([x, _dropped(y, dropout, rate, f"{name}_attn")])
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    y = layers.Dense(mlp_dim, activation="gelu", name=f"{name}_mlp_fc1")(y)
    y = layers.Dense(dim, name=f"{name}_mlp_fc2")(y)
    return layers.Add(name=f"{name}_add2")([x, _dropped(y, dropout, rate, f"{name}_mlp")])


def _dropped(x, dropout: float, rate: float, name: str):
    if dropout:
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return drop_path(x, rate, name=f"{name}_drop_path")


@register_model(
    tiny=dict(
        input_shape=(16, 16, 3), num_classes=3, patch_size=8, embed_dim=16, depth=1, num_heads=2, pooling="cls",
    ),
    paper="Dosovitskiy et al. 2021, An image is worth 16x16 words: Transformers for image recognition at scale",
    names={"timm": NAMES},
)  # fmt: skip
def vit(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    patch_size: int = 16,
    embed_dim: int = 384,
    depth: int = 12,
    num_heads: int = 6,
    mlp_dim: int | None = None,
    pooling: str = "cls",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Transformer encoder over the patches of an image, pre-norm.

    Args:
      input_shape: (H, W, channels), H and W multiples of `patch_size`.
      num_classes: C, the number of logits; 0 for features.
      patch_size: P.
      embed_dim: D, a multiple of `num_heads`.
      depth: blocks.
      num_heads: of each attention.
      mlp_dim: width of each block's dense net; None for 4 D.
      pooling: "cls" (a learned token before the patches) or "mean" of the patches, without that token (Beyer et al. 2022,
        Better plain ViT baselines for ImageNet-1k).
      dropout: rate after each sub-layer and on the embeddings.
      drop_path: rate at which the last block's branches are left out; the others' rise to it linearly.
      features: give the feature map {"stride_P": [B, H / P, W / P, D]} in place of logits.
      mean_std: of each channel, to normalise images of 0..1; None leaves them.

    Raises:
      ValueError: patches that do not divide the image; heads that do not divide D; unknown pooling.
    """
    if pooling not in ("cls", "mean"):
        raise ValueError(f"unknown pooling {pooling!r}. Accepted: cls, mean")
    if embed_dim % num_heads:
        raise ValueError(f"embed_dim must be a multiple of num_heads. Received: {embed_dim} and {num_heads}")
    inputs, x = image_input(input_shape, divisor=patch_size, mean_std=mean_std)
    x = layers.Conv2D(embed_dim, patch_size, patch_size, name="patches")(x)  # [B, H / P, W / P, D]
    grid = x.shape[1:3]
    x = layers.Reshape((grid[0] * grid[1], embed_dim), name="tokens")(x)  # [B, T, D]
    if pooling == "cls":
        x = ClassToken(name="class_token")(x)  # [B, 1 + T, D]
    x = LearnedPositions(grid, name="positions")(x)
    if dropout:
        x = layers.Dropout(dropout, name="positions_dropout")(x)
    for i, rate in enumerate(drop_path_rates(drop_path, depth)):
        x = encoder_block(x, num_heads, mlp_dim or 4 * embed_dim, dropout, rate, f"blocks_{i}")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    if features:
        patches = x[:, 1:] if pooling == "cls" else x
        maps = {patch_size: layers.Reshape((*grid, embed_dim), name="map")(patches)}
    else:
        maps = {}
        x = x[:, 0] if pooling == "cls" else layers.GlobalAveragePooling1D(name="pool")(x)  # [B, D]
    return image_output(inputs, x, maps, num_classes=num_classes, pooling=None, features=features, name="vit")


IMAGENET = dict(input_shape=(224, 224, 3), num_classes=1000)
TINY, SMALL = dict(embed_dim=192, depth=12, num_heads=3), dict(embed_dim=384, depth=12, num_heads=6)
BASE, LARGE = dict(embed_dim=768, depth=12, num_heads=12), dict(embed_dim=1024, depth=24, num_heads=16)
AUGREG = dict(license="apache-2.0", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop=0.9)
TI16, S16, B16 = "timm/vit_tiny_patch16_224", "timm/vit_small_patch16_224", "timm/vit_base_patch16_224"
S32, B32, L16 = "timm/vit_small_patch32_224", "timm/vit_base_patch32_224", "timm/vit_large_patch16_224"

vit_ti16 = variant(
    "vit_ti16", vit, **TINY, patch_size=16, **IMAGENET, params=5_717_416,
    weights={"augreg_in21k_ft_in1k": Published(f"{TI16}.augreg_in21k_ft_in1k", **AUGREG)}, doc="ViT-Ti/16.",
)  # fmt: skip
vit_s16 = variant(
    "vit_s16", vit, **SMALL, patch_size=16, **IMAGENET, params=22_050_664,
    weights={
        "augreg_in21k_ft_in1k": Published(f"{S16}.augreg_in21k_ft_in1k", **AUGREG),
        "augreg_in1k": Published(f"{S16}.augreg_in1k", **AUGREG),
    },
    doc="ViT-S/16.",
)  # fmt: skip
vit_b16 = variant(
    "vit_b16", vit, **BASE, patch_size=16, **IMAGENET, params=86_567_656,
    weights={
        "augreg_in21k_ft_in1k": Published(f"{B16}.augreg_in21k_ft_in1k", **AUGREG),
        "augreg2_in21k_ft_in1k": Published(f"{B16}.augreg2_in21k_ft_in1k", **AUGREG),
        "augreg_in1k": Published(f"{B16}.augreg_in1k", **AUGREG),
    },
    doc="ViT-B/16.",
)  # fmt: skip
vit_l16 = variant(
    "vit_l16", vit, **LARGE, patch_size=16, **IMAGENET, params=304_326_632,
    weights={"augreg_in21k_ft_in1k": Published(f"{L16}.augreg_in21k_ft_in1k", **AUGREG)}, doc="ViT-L/16.",
)  # fmt: skip
vit_ti32 = variant("vit_ti32", vit, **TINY, patch_size=32, **IMAGENET, params=6_131_560, doc="ViT-Ti/32.")
vit_s32 = variant(
    "vit_s32", vit, **SMALL, patch_size=32, **IMAGENET, params=22_878_952,
    weights={"augreg_in21k_ft_in1k": Published(f"{S32}.augreg_in21k_ft_in1k", **AUGREG)}, doc="ViT-S/32.",
)  # fmt: skip
vit_b32 = variant(
    "vit_b32", vit, **BASE, patch_size=32, **IMAGENET, params=88_224_232,
    weights={"augreg_in21k_ft_in1k": Published(f"{B32}.augreg_in21k_ft_in1k", **AUGREG)}, doc="ViT-B/32.",
)  # fmt: skip
vit_l32 = variant("vit_l32", vit, **LARGE, patch_size=32, **IMAGENET, params=306_535_400, doc="ViT-L/32.")
vit_s16_mean = variant(
    "vit_s16_mean", vit, **SMALL, patch_size=16, pooling="mean", **IMAGENET, params=22_049_896,
    tiny=dict(
        input_shape=(16, 16, 3), num_classes=3, patch_size=8, embed_dim=16, depth=1, num_heads=2, pooling="mean",
    ),
    doc="ViT-S/16 with the mean of its patches in place of a class token.",
)  # fmt: skip

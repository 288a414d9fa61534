"""Transformer encoder.

B batch, T steps, D embed_dim, M mlp_dim, C classes.
"""

import math

import keras
from keras import layers, ops

from modelzoo.layers import ClassToken, LearnedPositions, SinusoidalPositions, as_sequence, pool_sequence
from modelzoo.registry import register_model

POSITIONS = {"sinusoidal": SinusoidalPositions, "learned": LearnedPositions}


def encoder_block(x, mask, *, num_heads: int, mlp_dim: int, dropout: float, norm: str, activation: str, name: str):
    """Self-attention, then a dense net over each step, each with a residual connection: [B, T, D] -> [B, T, D].

    `mask` is [B, 1, T], True for the steps to attend to, or None.
    """
    attention = layers.MultiHeadAttention(num_heads, x.shape[-1] // num_heads, dropout=dropout, name=f"{name}_attention")
    wide = layers.Dense(mlp_dim, activation=activation, name=f"{name}_mlp_1")
    narrow = layers.Dense(x.shape[-1], name=f"{name}_mlp_2")

    def residual(x, function, part):
        normalize = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_{part}")
        y = function(normalize(x) if norm == "pre" else x)
        if dropout:
            y = layers.Dropout(dropout, name=f"{name}_dropout_{part}")(y)
        y = layers.Add(name=f"{name}_add_{part}")([x, y])
        return y if norm == "pre" else normalize(y)

    x = residual(x, lambda y: attention(y, y, attention_mask=mask), 1)
    return residual(x, lambda y: narrow(wide(y)), 2)  # [B, T, M] between the two


@register_model(
    tiny=dict(input_shape=(5,), num_classes=3, vocab_size=12, embed_dim=16, depth=1, num_heads=2, dropout=0.0),
    paper="Vaswani et al. 2017, Attention is all you need",
)
def transformer(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    vocab_size: int | None = None,
    embed_dim: int = 128,
    depth: int = 2,
    num_heads: int = 4,
    mlp_dim: int | None = None,
    dropout: float = 0.1,
    norm: str = "pre",
    positions: str = "sinusoidal",
    pooling: str = "mean",
    activation: str = "gelu",
) -> keras.Model:
    """Transformer encoder over tokens or vectors, pooled over time.

    Args:
      input_shape: (T,) for tokens, (T, features) for vectors, (H, W, channels) for the rows of an image.
      num_classes: C, the number of logits; 1 for a binary answer or a regression.
      vocab_size: of tokens, with 0 for padding, which is masked; None for vectors.
      embed_dim: D, a multiple of `num_heads`.
      depth: blocks.
      num_heads: of each attention.
      mlp_dim: M, None for 4 D.
      dropout: rate on attention weights, after each sub-layer and on the embeddings.
      norm: "pre" (normalise before each sub-layer; Xiong et al. 2020) or "post" (after it, as in the paper).
      positions: "sinusoidal" or "learned".
      pooling: "mean" over the steps that are not masked, or "cls": a learned token before the sequence.
      activation: of the dense net in each block.

    Raises:
      ValueError: an argument outside what is listed here.
    """
    accepted = {"norm": ("pre", "post"), "positions": tuple(POSITIONS), "pooling": ("mean", "cls")}
    for argument, value in dict(norm=norm, positions=positions, pooling=pooling).items():
        if value not in accepted[argument]:
            raise ValueError(f"unknown {argument} {value!r}. Accepted: {', '.join(accepted[argument])}")
    if embed_dim % num_heads:
        raise ValueError(f"embed_dim must be a multiple of num_heads. Received: {embed_dim} and {num_heads}")
    inputs, x, mask = as_sequence(input_shape, vocab_size, embed_dim)
    if vocab_size is None:
        x = layers.Dense(embed_dim, name="embedding")(x)  # [B, T, D]
    else:
        x = layers.Rescaling(math.sqrt(embed_dim), name="scale")(x)  # as large as the positions (3.4)
    if pooling == "cls":
        x = ClassToken(name="class_token")(x)  # [B, 1 + T, D]
        mask = mask if mask is None else ops.pad(mask, [[0, 0], [1, 0]], constant_values=True)
    x = POSITIONS[positions](name="positions")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    attended = mask if mask is None else ops.expand_dims(mask, axis=1)  # [B, 1, T]
    block = dict(num_heads=num_heads, mlp_dim=mlp_dim or 4 * embed_dim, dropout=dropout, norm=norm, activation=activation)
    for i in range(1, depth + 1):
        x = encoder_block(x, attended, **block, name=f"block_{i}")
    if norm == "pre":
        x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = x[:, 0] if pooling == "cls" else pool_sequence(x, "mean", mask)  # [B, D]
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)  # [B, C]
    return keras.Model(inputs, logits, name="transformer")

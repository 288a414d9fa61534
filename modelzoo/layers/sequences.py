"""The two ends of every model over sequences. B batch, T steps, F features, V vocabulary, D embed_dim."""

import keras
from keras import layers, ops

from modelzoo.layers.pooling import AttentionPooling


def as_sequence(input_shape: tuple[int, ...], vocab_size: int | None, embed_dim: int):
    """Inputs of a model over sequences, the sequence, and its mask.

    Tokens are ids in [0, V) of shape (T,), where 0 is padding. Vectors have shape (T, F); an image (H, W, channels) is read as
    H rows of W x channels features.

    Masks are passed on by hand: what Keras does by itself forgets them after an attention without a norm before it.

    Returns:
      (inputs, x [B, T, D] of tokens or [B, T, F] of vectors, mask [B, T] with True for what is no padding, and everywhere
      where a row is nothing but padding, so that no mean is over nothing; None for vectors)

    Raises:
      ValueError: a shape that is none of these.
    """
    if vocab_size is not None:
        if len(input_shape) != 1:
            raise ValueError(f"tokens have the input_shape (steps,). Received: {input_shape} with vocab_size={vocab_size}")
        inputs = keras.Input(input_shape, dtype="int32")
        is_token = ops.not_equal(inputs, 0)
        mask = ops.logical_or(is_token, ops.logical_not(ops.any(is_token, axis=1, keepdims=True)))  # without a token: all
        return inputs, layers.Embedding(vocab_size, embed_dim, name="embedding")(inputs), mask
    if len(input_shape) not in (2, 3):
        raise ValueError(
            f"a sequence has the input_shape (steps, features), or (height, width, channels) to be read row by row; "
            f"tokens need vocab_size. Received: {input_shape}"
        )
    inputs = x = keras.Input(input_shape)
    if len(input_shape) == 3:
        height, width, channels = input_shape
        x = layers.Reshape((height, width * channels), name="rows")(x)
    return inputs, x, None


def pool_sequence(x, pooling: str, mask=None):
    """[B, T, D] -> [B, D]: "mean" over the steps that are not masked, or additive "attention"."""
    if pooling == "mean":
        return layers.GlobalAveragePooling1D(name="mean_pooling")(x, mask=mask)
    if pooling == "attention":
        return AttentionPooling(name="attention_pooling")(x, mask=mask)[0]
    raise ValueError(f"unknown pooling {pooling!r}. Accepted: last, mean, attention")

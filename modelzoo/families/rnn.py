"""Recurrent nets: LSTM, GRU and simple RNN, stacked, in one or both directions.

B batch, T steps, D features, U units, C classes.
"""

import functools

import keras
from keras import layers

from modelzoo.layers import as_sequence, pool_sequence
from modelzoo.registry import register_model, variant

# cuDNN's kernels stand neither under XLA nor on a TPU, and both directions of a checkpoint must load everywhere.
CELLS = {
    "lstm": functools.partial(layers.LSTM, use_cudnn=False),
    "gru": functools.partial(layers.GRU, use_cudnn=False),
    "simple_rnn": layers.SimpleRNN,
}


@register_model(
    tiny=dict(input_shape=(5,), num_classes=3, units=(8,), vocab_size=12, embed_dim=8),
    paper="Elman 1990, Finding structure in time",
)
def rnn(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    cell: str = "lstm",
    units: tuple[int, ...] = (128,),
    bidirectional: bool = False,
    pooling: str = "last",
    vocab_size: int | None = None,
    embed_dim: int = 128,
    dropout: float = 0.0,
) -> keras.Model:
    """Recurrent layers over tokens or vectors, pooled over time.

    Args:
      input_shape: (T,) for tokens, (T, features) for vectors, (H, W, channels) for the rows of an image.
      num_classes: C, the number of logits; 1 for a binary answer or a regression.
      cell: "lstm", "gru" or "simple_rnn".
      units: U of each layer.
      bidirectional: read in both directions; the features are 2 U.
      pooling: "last" state, "mean" over time, or additive "attention".
      vocab_size: of tokens, with 0 for padding; None for vectors.
      embed_dim: width of a token's embedding.
      dropout: rate before each recurrent layer and before the logits.
    """
    if cell not in CELLS:
        raise ValueError(f"unknown cell {cell!r}. Accepted: {', '.join(CELLS)}")
    inputs, x, mask = as_sequence(input_shape, vocab_size, embed_dim)  # [B, T, D]
    for i, width in enumerate(units, start=1):
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout_{i}")(x)
        whole_sequence = pooling != "last" or i < len(units)
        layer = CELLS[cell](width, return_sequences=whole_sequence, name=f"{cell}_{i}")
        layer = layers.Bidirectional(layer, name=f"bidirectional_{i}") if bidirectional else layer
        x = layer(x, mask=mask)  # [B, T, U] or [B, U]
    if pooling != "last":
        x = pool_sequence(x, pooling, mask)  # [B, U]
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)  # [B, C]
    return keras.Model(inputs, logits, name=cell)


lstm = variant(
    "lstm", rnn, cell="lstm",
    doc="Long short-term memory over tokens or vectors.",
    paper="Hochreiter & Schmidhuber 1997, Long short-term memory",
)  # fmt: skip
bilstm = variant(
    "bilstm", rnn, cell="lstm", bidirectional=True,
    doc="LSTM in both directions.",
    paper="Graves & Schmidhuber 2005, Framewise phoneme classification with bidirectional LSTM",
)  # fmt: skip
attention_lstm = variant(
    "attention_lstm", rnn, cell="lstm", bidirectional=True, pooling="attention",
    doc="LSTM in both directions, pooled by additive attention whose weights can be read out.",
    paper="Zhou et al. 2016, Attention-based bidirectional LSTM networks for relation classification",
)  # fmt: skip
gru = variant(
    "gru", rnn, cell="gru",
    doc="Gated recurrent units over tokens or vectors.",
    paper="Cho et al. 2014, Learning phrase representations using RNN encoder-decoder",
)  # fmt: skip
simple_rnn = variant("simple_rnn", rnn, cell="simple_rnn", doc="The plain recurrent net: h = tanh(W x + U h + b).")

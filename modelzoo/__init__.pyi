# Written by `python -m modelzoo stubs`; a test compares it with the builders.
import collections.abc
from typing import Any

import keras

from modelzoo.registry import ModelInfo as ModelInfo
from modelzoo.registry import create_model as create_model
from modelzoo.registry import list_models as list_models
from modelzoo.registry import model_info as model_info
from modelzoo.registry import register_model as register_model

__version__: str

def check_backend() -> None: ...
def attention_lstm(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    cell: str = "lstm",
    units: tuple[int, ...] = (128,),
    bidirectional: bool = True,
    pooling: str = "attention",
    vocab_size: int | None = None,
    embed_dim: int = 128,
    dropout: float = 0.0,
) -> keras.Model:
    """LSTM in both directions, pooled by additive attention whose weights can be read out."""

def bilstm(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    cell: str = "lstm",
    units: tuple[int, ...] = (128,),
    bidirectional: bool = True,
    pooling: str = "last",
    vocab_size: int | None = None,
    embed_dim: int = 128,
    dropout: float = 0.0,
) -> keras.Model:
    """LSTM in both directions."""

def cifar10_cnn(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
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
    """The CIFAR-10 net of the Keras tutorials: three convolutions of 32, 64 and 128 filters, each pooled."""

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
    """Convolutions, each followed by pooling where `pools` says so, then dense layers."""

def gru(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    cell: str = "gru",
    units: tuple[int, ...] = (128,),
    bidirectional: bool = False,
    pooling: str = "last",
    vocab_size: int | None = None,
    embed_dim: int = 128,
    dropout: float = 0.0,
) -> keras.Model:
    """Gated recurrent units over tokens or vectors."""

def lenet5(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 1),
    num_classes: int = 10,
    filters: tuple[int, ...] = (6, 16),
    kernel_size: int = 5,
    pools: tuple[int, ...] = (2, 2),
    pooling: str = "average",
    widths: tuple[int, ...] = (120, 84),
    activation: str = "tanh",
    padding: str = "valid",
    batch_norm: bool = False,
    dropout: float = 0.0,
    dropout_dense: float = 0.0,
) -> keras.Model:
    """LeNet-5 with full connections in its second convolution and logits in place of radial basis functions."""

def lstm(
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
    """Long short-term memory over tokens or vectors."""

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
    """Dense layers over flattened inputs."""

def mlp_100_50_10(
    *,
    input_shape: tuple[int, ...] = (100,),
    num_classes: int = 10,
    widths: tuple[int, ...] = (50,),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """100 features, 50 hidden units, 10 classes."""

def mlp_784_100_10(
    *,
    input_shape: tuple[int, ...] = (28, 28, 1),
    num_classes: int = 10,
    widths: tuple[int, ...] = (100,),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """28x28 images, 100 hidden units, 10 classes."""

def mlp_784_128_10(
    *,
    input_shape: tuple[int, ...] = (28, 28, 1),
    num_classes: int = 10,
    widths: tuple[int, ...] = (128,),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """The first net of most tutorials: 28x28 images, 128 hidden units, 10 classes."""

def mlp_8_10_1(
    *,
    input_shape: tuple[int, ...] = (8,),
    num_classes: int = 1,
    widths: tuple[int, ...] = (10,),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """8 features, 10 hidden units, one logit: a binary answer."""

def mnist_cnn(
    *,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    num_classes: int = 10,
    filters: tuple[int, ...] = (32, 64),
    kernel_size: int = 3,
    pools: tuple[int, ...] = (1, 2),
    pooling: str = "max",
    widths: tuple[int, ...] = (128,),
    activation: str = "relu",
    padding: str = "valid",
    batch_norm: bool = False,
    dropout: float = 0.25,
    dropout_dense: float = 0.5,
) -> keras.Model:
    """The MNIST net of the PyTorch examples: two convolutions, one pooling, dropout."""

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
    """Recurrent layers over tokens or vectors, pooled over time."""

def simple_rnn(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    cell: str = "simple_rnn",
    units: tuple[int, ...] = (128,),
    bidirectional: bool = False,
    pooling: str = "last",
    vocab_size: int | None = None,
    embed_dim: int = 128,
    dropout: float = 0.0,
) -> keras.Model:
    """The plain recurrent net: h = tanh(W x + U h + b)."""

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
    """Transformer encoder over tokens or vectors, pooled over time."""

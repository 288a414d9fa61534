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
def alexnet(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    *,
    widths: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256),
    units: int = 4096,
    grid: int = 6,
    dropout: float = 0.5,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """AlexNet on one device: five convolutions and three dense layers, without local response normalisation."""

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

def convnext(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depths: tuple[int, ...] = (3, 3, 9, 3),
    widths: tuple[int, ...] = (96, 192, 384, 768),
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ConvNeXt."""

def convnext_base(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (3, 3, 27, 3),
    widths: tuple[int, ...] = (128, 256, 512, 1024),
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ConvNeXt-B."""

def convnext_small(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (3, 3, 27, 3),
    widths: tuple[int, ...] = (96, 192, 384, 768),
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ConvNeXt-S."""

def convnext_tiny(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (3, 3, 9, 3),
    widths: tuple[int, ...] = (96, 192, 384, 768),
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ConvNeXt-T."""

def densenet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depths: tuple[int, ...] = (6, 12, 24, 16),
    growth: int = 32,
    initial_filters: int = 64,
    bottleneck: int = 4,
    compression: float = 0.5,
    dropout: float = 0.0,
    stem: str = "imagenet",
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Dense blocks with transitions between them."""

def densenet100(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    depths: tuple[int, ...] = (16, 16, 16),
    growth: int = 12,
    initial_filters: int = 24,
    bottleneck: int = 4,
    compression: float = 0.5,
    dropout: float = 0.0,
    stem: str = "cifar",
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """The CIFAR DenseNet-BC of 100 layers, growth 12."""

def densenet121(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (6, 12, 24, 16),
    growth: int = 32,
    initial_filters: int = 64,
    bottleneck: int = 4,
    compression: float = 0.5,
    dropout: float = 0.0,
    stem: str = "imagenet",
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """DenseNet-121, growth 32."""

def densenet169(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (6, 12, 32, 32),
    growth: int = 32,
    initial_filters: int = 64,
    bottleneck: int = 4,
    compression: float = 0.5,
    dropout: float = 0.0,
    stem: str = "imagenet",
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """DenseNet-169, growth 32."""

def densenet201(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (6, 12, 48, 32),
    growth: int = 32,
    initial_filters: int = 64,
    bottleneck: int = 4,
    compression: float = 0.5,
    dropout: float = 0.0,
    stem: str = "imagenet",
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """DenseNet-201, growth 32."""

def densenet40(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    depths: tuple[int, ...] = (12, 12, 12),
    growth: int = 12,
    initial_filters: int = 16,
    bottleneck: int = 0,
    compression: float = 1.0,
    dropout: float = 0.0,
    stem: str = "cifar",
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """The CIFAR DenseNet of 40 layers, growth 12, without bottlenecks."""

def efficientnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    stages: tuple[tuple[int, int, int, int, int], ...] = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
    width: float = 1.0,
    depth: float = 1.0,
    pooling: str | None = "average",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """EfficientNet."""

def efficientnet_b0(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    stages: tuple[tuple[int, int, int, int, int], ...] = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
    width: float = 1.0,
    depth: float = 1.0,
    pooling: str | None = "average",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """EfficientNet-B0."""

def efficientnet_b1(
    *,
    input_shape: tuple[int, int, int] = (240, 240, 3),
    num_classes: int = 1000,
    stages: tuple[tuple[int, int, int, int, int], ...] = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
    width: float = 1.0,
    depth: float = 1.1,
    pooling: str | None = "average",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """EfficientNet-B1."""

def efficientnet_b2(
    *,
    input_shape: tuple[int, int, int] = (260, 260, 3),
    num_classes: int = 1000,
    stages: tuple[tuple[int, int, int, int, int], ...] = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
    width: float = 1.1,
    depth: float = 1.2,
    pooling: str | None = "average",
    dropout: float = 0.3,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """EfficientNet-B2."""

def efficientnet_b3(
    *,
    input_shape: tuple[int, int, int] = (300, 300, 3),
    num_classes: int = 1000,
    stages: tuple[tuple[int, int, int, int, int], ...] = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
    width: float = 1.2,
    depth: float = 1.4,
    pooling: str | None = "average",
    dropout: float = 0.3,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """EfficientNet-B3."""

def efficientnet_b4(
    *,
    input_shape: tuple[int, int, int] = (380, 380, 3),
    num_classes: int = 1000,
    stages: tuple[tuple[int, int, int, int, int], ...] = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
    width: float = 1.4,
    depth: float = 1.8,
    pooling: str | None = "average",
    dropout: float = 0.4,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """EfficientNet-B4."""

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
    """MLP-Mixer. Its weights are for one image size alone."""

def mixer_b16(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 16,
    embed_dim: int = 768,
    depth: int = 12,
    tokens_dim: int | None = None,
    channels_dim: int | None = None,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Mixer-B/16."""

def mixer_s16(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 16,
    embed_dim: int = 512,
    depth: int = 8,
    tokens_dim: int | None = None,
    channels_dim: int | None = None,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Mixer-S/16."""

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

def mobilenetv3(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    stages: tuple = (((3, 16, 16, False, "relu", 1),), ((3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1)), ((5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1)), ((3, 240, 80, False, "hard_silu", 2), (3, 200, 80, False, "hard_silu", 1), (3, 184, 80, False, "hard_silu", 1), (3, 184, 80, False, "hard_silu", 1)), ((3, 480, 112, True, "hard_silu", 1), (3, 672, 112, True, "hard_silu", 1)), ((5, 672, 160, True, "hard_silu", 2), (5, 960, 160, True, "hard_silu", 1), (5, 960, 160, True, "hard_silu", 1))),
    last_filters: int = 960,
    head_filters: int = 1280,
    pooling: str | None = "average",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """MobileNetV3."""

def mobilenetv3_large(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    stages: tuple = (((3, 16, 16, False, "relu", 1),), ((3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1)), ((5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1)), ((3, 240, 80, False, "hard_silu", 2), (3, 200, 80, False, "hard_silu", 1), (3, 184, 80, False, "hard_silu", 1), (3, 184, 80, False, "hard_silu", 1)), ((3, 480, 112, True, "hard_silu", 1), (3, 672, 112, True, "hard_silu", 1)), ((5, 672, 160, True, "hard_silu", 2), (5, 960, 160, True, "hard_silu", 1), (5, 960, 160, True, "hard_silu", 1))),
    last_filters: int = 960,
    head_filters: int = 1280,
    pooling: str | None = "average",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """MobileNetV3-Large."""

def mobilenetv3_small(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    stages: tuple = (((3, 16, 16, True, "relu", 2),), ((3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1)), ((5, 96, 40, True, "hard_silu", 2), (5, 240, 40, True, "hard_silu", 1), (5, 240, 40, True, "hard_silu", 1)), ((5, 120, 48, True, "hard_silu", 1), (5, 144, 48, True, "hard_silu", 1)), ((5, 288, 96, True, "hard_silu", 2), (5, 576, 96, True, "hard_silu", 1), (5, 576, 96, True, "hard_silu", 1))),
    last_filters: int = 576,
    head_filters: int = 1024,
    pooling: str | None = "average",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """MobileNetV3-Small."""

def resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depths: tuple[int, ...] = (3, 4, 6, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    block: str = "bottleneck",
    stem: str = "imagenet",
    shortcut: str = "projection",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Residual net, v1.5: a bottleneck strides in its convolution of 3x3."""

def resnet101(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (3, 4, 23, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    block: str = "bottleneck",
    stem: str = "imagenet",
    shortcut: str = "projection",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ResNet-101: bottleneck blocks, v1.5."""

def resnet110(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    depths: tuple[int, ...] = (18, 18, 18),
    widths: tuple[int, ...] = (16, 32, 64),
    block: str = "basic",
    stem: str = "cifar",
    shortcut: str = "subsample",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """The CIFAR ResNet-110 (4.2)."""

def resnet152(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (3, 8, 36, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    block: str = "bottleneck",
    stem: str = "imagenet",
    shortcut: str = "projection",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ResNet-152: bottleneck blocks, v1.5."""

def resnet18(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (2, 2, 2, 2),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    block: str = "basic",
    stem: str = "imagenet",
    shortcut: str = "projection",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ResNet-18: basic blocks."""

def resnet20(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    depths: tuple[int, ...] = (3, 3, 3),
    widths: tuple[int, ...] = (16, 32, 64),
    block: str = "basic",
    stem: str = "cifar",
    shortcut: str = "subsample",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """The CIFAR ResNet-20 (4.2)."""

def resnet32(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    depths: tuple[int, ...] = (5, 5, 5),
    widths: tuple[int, ...] = (16, 32, 64),
    block: str = "basic",
    stem: str = "cifar",
    shortcut: str = "subsample",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """The CIFAR ResNet-32 (4.2)."""

def resnet34(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (3, 4, 6, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    block: str = "basic",
    stem: str = "imagenet",
    shortcut: str = "projection",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ResNet-34: basic blocks."""

def resnet44(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    depths: tuple[int, ...] = (7, 7, 7),
    widths: tuple[int, ...] = (16, 32, 64),
    block: str = "basic",
    stem: str = "cifar",
    shortcut: str = "subsample",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """The CIFAR ResNet-44 (4.2)."""

def resnet50(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (3, 4, 6, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    block: str = "bottleneck",
    stem: str = "imagenet",
    shortcut: str = "projection",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ResNet-50: bottleneck blocks, v1.5."""

def resnet56(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    depths: tuple[int, ...] = (9, 9, 9),
    widths: tuple[int, ...] = (16, 32, 64),
    block: str = "basic",
    stem: str = "cifar",
    shortcut: str = "subsample",
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """The CIFAR ResNet-56 (4.2)."""

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
    """Swin Transformer over patches of 4 x 4."""

def swin_small(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (2, 2, 18, 2),
    embed_dim: int = 96,
    num_heads: tuple[int, ...] = (3, 6, 12, 24),
    window: int = 7,
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Swin-S."""

def swin_tiny(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (2, 2, 6, 2),
    embed_dim: int = 96,
    num_heads: tuple[int, ...] = (3, 6, 12, 24),
    window: int = 7,
    pooling: str | None = "average",
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """Swin-T."""

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

def vgg(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depths: tuple[int, ...] = (2, 2, 3, 3, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    units: int = 4096,
    grid: int = 7,
    dropout: float = 0.5,
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """VGG net. Its dense layers are convolutions over the whole grid, as the paper evaluates them (3.2)."""

def vgg11(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (1, 1, 2, 2, 2),
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    units: int = 4096,
    grid: int = 7,
    dropout: float = 0.5,
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """VGG-11: configuration A."""

def vgg13(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (2, 2, 2, 2, 2),
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    units: int = 4096,
    grid: int = 7,
    dropout: float = 0.5,
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """VGG-13: configuration B."""

def vgg16(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (2, 2, 3, 3, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    units: int = 4096,
    grid: int = 7,
    dropout: float = 0.5,
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """VGG-16: configuration D."""

def vgg19(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    depths: tuple[int, ...] = (2, 2, 4, 4, 4),
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    units: int = 4096,
    grid: int = 7,
    dropout: float = 0.5,
    pooling: str | None = "average",
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """VGG-19: configuration E."""

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
    """Transformer encoder over the patches of an image, pre-norm."""

def vit_b16(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 16,
    embed_dim: int = 768,
    depth: int = 12,
    num_heads: int = 12,
    mlp_dim: int | None = None,
    pooling: str = "cls",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ViT-B/16."""

def vit_b32(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 32,
    embed_dim: int = 768,
    depth: int = 12,
    num_heads: int = 12,
    mlp_dim: int | None = None,
    pooling: str = "cls",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ViT-B/32."""

def vit_l16(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 16,
    embed_dim: int = 1024,
    depth: int = 24,
    num_heads: int = 16,
    mlp_dim: int | None = None,
    pooling: str = "cls",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ViT-L/16."""

def vit_l32(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 32,
    embed_dim: int = 1024,
    depth: int = 24,
    num_heads: int = 16,
    mlp_dim: int | None = None,
    pooling: str = "cls",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ViT-L/32."""

def vit_s16(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
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
    """ViT-S/16."""

def vit_s16_mean(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 16,
    embed_dim: int = 384,
    depth: int = 12,
    num_heads: int = 6,
    mlp_dim: int | None = None,
    pooling: str = "mean",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ViT-S/16 with the mean of its patches in place of a class token."""

def vit_s32(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 32,
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
    """ViT-S/32."""

def vit_ti16(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 16,
    embed_dim: int = 192,
    depth: int = 12,
    num_heads: int = 3,
    mlp_dim: int | None = None,
    pooling: str = "cls",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ViT-Ti/16."""

def vit_ti32(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    patch_size: int = 32,
    embed_dim: int = 192,
    depth: int = 12,
    num_heads: int = 3,
    mlp_dim: int | None = None,
    pooling: str = "cls",
    dropout: float = 0.0,
    drop_path: float = 0.0,
    features: bool = False,
    mean_std: tuple | None = None,
) -> keras.Model:
    """ViT-Ti/32."""

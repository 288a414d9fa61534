"""Layers that two families share. Importing this package registers all of them for `keras.saving.load_model`."""

from modelzoo.layers.images import (
    AdaptiveAveragePooling,
    batch_norm,
    conv,
    depthwise_conv,
    drop_path,
    drop_path_rates,
    image_input,
    image_output,
    max_pool,
    pool_image,
)
from modelzoo.layers.inverted import inverted_residual, round_filters
from modelzoo.layers.networks import Networks
from modelzoo.layers.pooling import AttentionPooling
from modelzoo.layers.positions import ClassToken, LearnedPositions, SinusoidalPositions
from modelzoo.layers.scale import LayerScale
from modelzoo.layers.sequences import as_sequence, pool_sequence

__all__ = [
    "AdaptiveAveragePooling",
    "AttentionPooling",
    "ClassToken",
    "LayerScale",
    "LearnedPositions",
    "Networks",
    "SinusoidalPositions",
    "as_sequence",
    "batch_norm",
    "conv",
    "depthwise_conv",
    "drop_path",
    "drop_path_rates",
    "image_input",
    "image_output",
    "inverted_residual",
    "max_pool",
    "pool_image",
    "pool_sequence",
    "round_filters",
]

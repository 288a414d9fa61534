"""Layers that two families share. Importing this package registers all of them for `keras.saving.load_model`."""

from modelzoo.layers.networks import Networks
from modelzoo.layers.pooling import AttentionPooling
from modelzoo.layers.positions import ClassToken, LearnedPositions, SinusoidalPositions
from modelzoo.layers.sequences import as_sequence, pool_sequence

__all__ = [
    "AttentionPooling",
    "ClassToken",
    "LearnedPositions",
    "Networks",
    "SinusoidalPositions",
    "as_sequence",
    "pool_sequence",
]

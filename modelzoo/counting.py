"""Counting a model without allocating it, and its multiply-adds of one example, as papers count them: products of weights and
of attention; no additions of biases, no normalisation, no activation, no pooling.
"""

import contextlib
import math
from collections.abc import Iterator

import keras
from keras import layers
from keras.src.backend.common import global_state  # a list without a public name; a test counts what it leaves


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Models that are built here have variables with shapes but no values: nothing is drawn, nothing large allocated."""
    waiting = list(global_state.get_global_attribute("uninitialized_variables") or [])
    with keras.StatelessScope(initialize_variables=False):
        try:
            yield
        finally:  # or the end of the next such scope would give these variables values
            global_state.set_global_attribute("uninitialized_variables", waiting)


def layer_multiply_adds(layer: layers.Layer) -> int:
    """Of a layer in a functional model, for one example.

    A layer outside Keras says it itself: `layer.multiply_adds(input_shape) -> int`.
    """
    if not layer.weights:
        return 0
    input_shape = keras.tree.flatten(layer.input)[0].shape
    if hasattr(layer, "multiply_adds"):
        return layer.multiply_adds(input_shape)
    if isinstance(layer, keras.Model):
        return sum(layer_multiply_adds(inner) for inner in layer.layers)
    if isinstance(layer, layers.MultiHeadAttention):
        return _attention(layer)
    if isinstance(layer, layers.Bidirectional):
        return input_shape[1] * (_products(layer.forward_layer.cell) + _products(layer.backward_layer.cell))
    if isinstance(layer, layers.RNN):
        return input_shape[1] * _products(layer.cell)
    if hasattr(layer, "kernel"):  # dense and convolution: every output position is one product with the kernel
        return _products(layer) * math.prod(layer.output.shape[1:]) // _output_features(layer)
    return 0


def _products(layer: layers.Layer) -> int:
    """Numbers in the matrices of a layer: those with two or more axes, so no bias."""
    return sum(math.prod(w.shape) for w in layer.weights if len(w.shape) > 1 and "bias" not in w.path)


def _output_features(layer: layers.Layer) -> int:
    first_axis = 1 if layer.__dict__.get("data_format") == "channels_first" else -1
    return layer.output.shape[first_axis]


def _attention(layer: layers.MultiHeadAttention) -> int:
    steps, width = layer.output.shape[1:]
    inner = layer.num_heads * layer.key_dim
    projections = 4 * steps * width * inner  # query, key, value, output
    return projections + 2 * steps * steps * inner  # scores and weighted sum

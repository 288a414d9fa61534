"""Keras' layers in a form that XLA makes faster code of for a CPU: the same weights, and the same numbers but for rounding."""

import contextlib
import math
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf
from keras import layers

from trainers.speed import lstm
from trainers.speed.keras_inside import TIME_LOOP, all_layers
from trainers.speed.threefry import random_16_bits


@contextlib.contextmanager
def faster_layers(model: keras.Model) -> Iterator[None]:
    """While it is open, these layers of the model compute in another way: LSTM as in lstm.py; Dense and EinsumDense as a
    product of two matrices, where TensorFlow makes the gradient of the weights example by example; Dropout with a cheaper mask.
    """
    ways = {}
    for layer in all_layers(model):
        if lstm.fits(layer):
            ways[layer] = TIME_LOOP, lstm.time_loop(layer)
        elif _contracted_axes(layer):
            ways[layer] = "call", _dense_call(layer)
        elif is_plain_dropout(layer):
            ways[layer] = "call", _dropout_call(layer)
    for layer, (name, way) in ways.items():
        object.__setattr__(layer, name, _for_usual_inputs(layer, way, getattr(layer, name)))
    try:
        yield
    finally:
        for layer, (name, _) in ways.items():
            object.__delattr__(layer, name)


def _for_usual_inputs(layer: keras.Layer, way: Callable, own: Callable) -> Callable:
    """`way` for inputs of the layer's dtype and of a known shape, `own` for others."""

    def choose(*args, **kwargs):
        inputs = next(iter((*args, *kwargs.values())))
        usual = inputs.dtype == layer.compute_dtype and inputs.shape.is_fully_defined()
        return (way if usual else own)(*args, **kwargs)

    return choose


def _contracted_axes(layer: keras.Layer) -> int:
    """Of a dense layer: last axes of its inputs, which are the first of its kernel. 0 of a layer that is computed as it is."""
    if type(layer) not in (layers.Dense, layers.EinsumDense) or "call" in vars(layer):  # as remat.py leaves them
        return 0
    if not layer.built or layer.quantization_mode or layer.lora_enabled:
        return 0
    if type(layer) is layers.Dense:
        return 1
    given, kernel, result = layer.equation.replace("->", ",").split(",")
    count = next((n for n in range(1, len(kernel)) if given.endswith(kernel[:n]) and result == given[:-n] + kernel[n:]), 0)
    return count if layer.bias is None or layer.bias.shape == layer.kernel.shape[count:] else 0


def _dense_call(layer: keras.Layer) -> Callable:
    """What stands in for `layer.call`."""
    count = _contracted_axes(layer)

    def call(inputs, training=None):
        kernel = tf.convert_to_tensor(layer.kernel)
        rows, size, free = inputs.shape[:-count], math.prod(kernel.shape[:count]), kernel.shape[count:]
        x = tf.matmul(tf.reshape(inputs, (-1, size)), tf.reshape(kernel, (size, -1)))
        if layer.bias is not None:
            x += tf.reshape(layer.bias, [-1])
        x = tf.reshape(x, (*rows, *free))
        return x if layer.activation is None else layer.activation(x)

    return call


def is_plain_dropout(layer: keras.Layer) -> bool:
    """Whether a layer drops numbers one by one."""
    return type(layer) is layers.Dropout and 0 < layer.rate < 1 and layer.noise_shape is None and "call" not in vars(layer)


def _dropout_call(layer: layers.Dropout) -> Callable:
    """What stands in for `layer.call`. A rate is rounded to a multiple of 2**-16."""
    dropped = min(max(round(layer.rate * 2**16), 1), 2**16 - 1)

    def call(inputs, training=False):
        if not training:
            return inputs
        random = random_16_bits(layer.seed_generator.next(), math.prod(inputs.shape))
        scale = tf.cast(2**16 / (2**16 - dropped), inputs.dtype)
        return tf.where(tf.reshape(random, inputs.shape) >= dropped, inputs * scale, tf.zeros_like(inputs))

    return call

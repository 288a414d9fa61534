"""Less memory for more time: layers that keep only what goes in, and compute the rest again in the backward pass.

Chen et al. 2016, Training deep nets with sublinear memory cost. `keras.RematScope` is of no use here: on TensorFlow its modes
for layers refuse keyword arguments (`training=`) within a tf.function, and find no gradient of weights in a StatelessScope.
"""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from trainers.speed.keras_inside import autocast, autocast_dtype, is_seed


def rematerialize(model: keras.Model) -> None:
    """Let each layer of the model keep its inputs alone: the same numbers but for rounding, to be called in a step.

    Layers that have statistics (batch norm) stay as they are.
    """
    for layer in model.layers:
        if all(is_seed(v) for v in layer.non_trainable_variables) and not isinstance(layer, keras.layers.InputLayer):
            layer.call = _rematerialized(layer, layer.call)


def _rematerialized(layer: keras.Layer, call: Callable) -> Callable:
    """`call` as a pure function of what has a gradient: its float tensors and the layer's weights."""

    @functools.wraps(call)
    def rematerialized(*args, **kwargs):
        given = tf.nest.flatten((args, kwargs))
        places = [i for i, value in enumerate(given) if tf.is_tensor(value) and value.dtype.is_floating]
        dtype = autocast_dtype()  # of mixed precision; there is none any more in the backward pass
        seeds = [(v, tf.convert_to_tensor(v)) for v in layer.non_trainable_variables]  # so dropout draws the same again
        advanced = []

        @tf.recompute_grad
        def pure(*tensors):
            inputs, weights = list(given), tensors[len(places) :]
            for place, tensor in zip(places, tensors, strict=False):
                inputs[place] = tensor
            args_again, kwargs_again = tf.nest.pack_sequence_as((args, kwargs), inputs)
            known = [*zip(layer.trainable_variables, weights, strict=True), *seeds]
            with autocast(dtype), keras.StatelessScope(known) as inner:
                outputs = call(*args_again, **kwargs_again)
            advanced[:] = [inner.get_current_value(v) for v, _ in seeds]
            return outputs

        outputs = pure(*[given[i] for i in places], *[tf.convert_to_tensor(v) for v in layer.trainable_variables])
        for (variable, _), value in zip(seeds, advanced, strict=True):  # the next call of the layer draws others
            variable.assign(value)
        return outputs

    return rematerialized

"""The derivative of a function, for losses that hold one: keras.ops has none. No other file of a task needs a tape."""

from collections.abc import Callable

import tensorflow as tf


def derivative(function: Callable, x):
    """Of the sum of function(x) by x, a tensor like x; may be differentiated again (WGAN-GP, R1 penalty).

    Where the activations are piecewise linear the second derivative is 0: penalties are tested with smooth ones.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        found = function(x)
    return tape.gradient(found, x)

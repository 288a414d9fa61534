"""Nests of tensors or arrays with one first axis: x, y and w of a batch. B rows, T steps."""

import tensorflow as tf


def length(nest) -> int:
    """Rows of a nest of arrays, of which the first speaks for all."""
    return len(tf.nest.flatten(nest)[0])


def weighted(rows, w):
    """Weights of rows [..., B] times the weights within them: w is [..., B], [..., B, T], a dict of these, or None for none."""
    if w is None:
        return rows

    def times(t):
        return tf.reshape(rows, tf.concat([tf.shape(rows), [1] * (len(t.shape) - len(rows.shape))], axis=0)) * t

    return tf.nest.map_structure(times, w)

"""Keras' LSTM in fewer, larger operations: the same weights, and the same numbers but for rounding.

A step is one product of [input, state]. The forward loop keeps the derivatives of the gates, so the backward loop makes no gate
again, and the gradient of the weights is one product after it (Appleyard et al. 2016, Optimizing performance of recurrent
neural networks on GPUs). GRU stays Keras' own: its candidate takes the input's and the state's product apart.

B batch, T steps, D features, U units.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

Tensors = tuple[tf.Tensor, ...]


def fits(layer: keras.Layer) -> bool:
    """Whether a layer is an LSTM as Keras makes it by default: tanh and sigmoid, no dropout of its own."""
    if type(layer) is not keras.layers.LSTM or layer.use_cudnn is True:
        return False
    usual = (layer.activation, layer.recurrent_activation) == (keras.activations.tanh, keras.activations.sigmoid)
    return usual and not (layer.dropout or layer.recurrent_dropout or layer.unroll)


def time_loop(layer: keras.layers.LSTM) -> Callable:
    """What stands in for the layer's own loop over time (keras_inside.TIME_LOOP)."""

    def call(sequences, initial_state, mask, training=False):
        mask = mask[0] if isinstance(mask, list | tuple) else mask
        x = tf.transpose(sequences, (1, 0, 2))  # [T, B, D]
        keep = None if mask is None else tf.transpose(tf.cast(mask, tf.bool))[:, :, None]  # [T, B, 1]
        if layer.go_backwards:
            x, keep = x[::-1], None if keep is None else keep[::-1]
        weights = tf.concat([tf.cast(w, x.dtype) for w in (layer.cell.kernel, layer.cell.recurrent_kernel)], axis=0)
        bias = tf.cast(layer.cell.bias, x.dtype) if layer.use_bias else tf.zeros(weights.shape[1], x.dtype)
        outputs, h, c = _lstm(x, weights, bias, *initial_state, keep, layer.return_sequences)
        last = h
        if keep is not None:  # h stands still at a masked step; Keras gives it out, but not before the first step
            shown = keep if layer.zero_output_for_mask else tf.cumsum(tf.cast(keep, tf.int32)) > 0
            last = tf.where(shown[-1], h, 0)
            outputs = tf.where(shown, outputs, 0) if layer.return_sequences else None
        outputs = last[:, None] if outputs is None else tf.transpose(outputs, (1, 0, 2))  # [B, 1, U] or [B, T, U]
        return last, outputs, [h, c]

    return call


def _lstm(x: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor, h: tf.Tensor, c: tf.Tensor, keep: tf.Tensor | None, every: bool):
    """(h after each step [T, B, U], or None without `every`; the last h and c [B, U]).

    Args:
      x: [T, B, D].
      weights: [D + U, 4 U], of the input above those of the state; gates in the order i, f, g, o.
      bias: [4 U].
      h, c: [B, U], before the first step.
      keep: [T, B, 1], false where h and c stay as they are.
      every: whether h is asked for after each step.
    """
    (steps, rows, features), (size, gates) = x.shape, weights.shape
    units = size - features

    def loop(body, *state):
        return tf.while_loop(lambda t, *_: t < steps, lambda t, *now: (t + 1, *body(t, *now)), (0, *state))

    def stacks(*sizes):
        return [tf.TensorArray(x.dtype, steps, element_shape=(rows, n), clear_after_read=False) for n in sizes]

    def where_kept(t, new, old):
        return new if keep is None else tf.where(keep[t], new, old)

    @tf.custom_gradient
    def compute(x, weights, bias, h, c):
        def forward(t, h, c, stacks):
            inputs = tf.concat([x[t], h], 1)
            i, f, g, o = tf.split(tf.matmul(inputs, weights) + bias, 4, axis=1)
            i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
            new_c = f * c + i * g
            tanh_c = tf.tanh(new_c)
            slopes = tf.concat([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o)], 1)
            # of z by c and h, of c by h, of c by the c before; where nothing is kept, such that d_c passes as it is
            slopes, c_by_h, c_by_c = where_kept(t, slopes, 0), where_kept(t, o * (1 - tanh_c * tanh_c), 0), where_kept(t, f, 1)
            h, c = where_kept(t, o * tanh_c, h), where_kept(t, new_c, c)
            written = (slopes, c_by_h, c_by_c, inputs, h)  # h where there is a stack for it
            return h, c, [s.write(t, value) for s, value in zip(stacks, written, strict=False)]

        _, h, c, (slopes, *kept) = loop(forward, h, c, stacks(gates, units, units, size, *[units] * every))
        c_by_h, c_by_c, inputs, *outputs = (s.stack() for s in kept)

        def gradient(d_h, d_c, *d_outputs):
            transposed = tf.transpose(weights[features:])

            def backward(i, d_h, d_c, d_z_stack, d_bias):
                t = steps - 1 - i
                d_h = d_h + d_outputs[0][t] if every else d_h
                d_c = d_c + d_h * c_by_h[t]
                d_z = d_z_stack.read(t) * tf.concat([d_c, d_c, d_c, d_h], 1)
                d_h = tf.matmul(d_z, transposed) + where_kept(t, tf.zeros_like(d_h), d_h)
                return d_h, d_c * c_by_c[t], d_z_stack.write(t, d_z), d_bias + d_z

            # d_z is written over the slopes: less memory to walk through
            _, d_h, d_c, d_z, d_bias = loop(backward, d_h, d_c, slopes, tf.zeros((rows, gates), x.dtype))
            d_z = tf.reshape(d_z.stack(), (steps * rows, gates))
            d_weights = tf.matmul(tf.reshape(inputs, (steps * rows, size)), d_z, transpose_a=True)
            d_x = tf.reshape(tf.matmul(d_z, weights[:features], transpose_b=True), x.shape)
            return d_x, d_weights, tf.reduce_sum(d_bias, 0), d_h, d_c

        return (h, c, *outputs), gradient

    h, c, *outputs = compute(x, weights, bias, h, c)
    return outputs[0] if every else None, h, c

"""Our LSTM beside Keras': the same weights, outputs, states and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from trainers.engine.lstm import faster_lstm

T, D, U, ROWS = 6, 3, 4, 5
LAYERS = {
    "last": lambda: layers.LSTM(U),
    "sequence": lambda: layers.LSTM(U, return_sequences=True),
    "backwards": lambda: layers.LSTM(U, go_backwards=True, return_sequences=True),
    "no_bias": lambda: layers.LSTM(U, use_bias=False),
    "bidirectional": lambda: layers.Bidirectional(layers.LSTM(U, return_sequences=True)),
}
UNUSUAL = {"activation": "relu", "dropout": 0.1, "recurrent_dropout": 0.1, "unroll": True}


def compute(model, x, mask, compiled):
    """Outputs and the gradients by x and by the weights of a sum in which each output has a weight of its own."""
    values = [tf.convert_to_tensor(v) for v in model.trainable_variables]

    @tf.function(jit_compile=compiled, autograph=False)
    def run(x, values):
        with tf.GradientTape() as tape:
            tape.watch([x, values])
            with keras.StatelessScope(list(zip(model.trainable_variables, values, strict=True))):
                outputs = tf.nest.flatten(model([x, mask]))
            loss = tf.add_n([tf.reduce_sum(y * tf.reshape(tf.range(tf.size(y), dtype=y.dtype), y.shape)) for y in outputs])
        return outputs, tape.gradient(loss, [x, values])

    return tf.nest.map_structure(np.asarray, tf.nest.flatten(run(x, values)))


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("kind", LAYERS)
def test_it_computes_what_keras_computes(kind, masked):
    layer, rng = LAYERS[kind](), np.random.default_rng(0)
    inputs, mask = keras.Input((T, D)), keras.Input((T,), dtype="bool")
    model = keras.Model([inputs, mask], layer(inputs, mask=mask if masked else None))
    x = tf.constant(rng.normal(size=(ROWS, T, D)), tf.float32)
    keep = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], bool)
    expected = compute(model, x, tf.constant(keep), compiled=False)
    with faster_lstm(model):
        found = compute(model, x, tf.constant(keep), compiled=True)
    for ours, keras_own in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5, atol=1e-5)


def test_states_go_in_and_come_out():
    inputs, h, c = keras.Input((T, D)), keras.Input((U,)), keras.Input((U,))
    model = keras.Model([inputs, [h, c]], layers.LSTM(U, return_state=True)(inputs, initial_state=[h, c]))
    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(size=(ROWS, T, D)), tf.float32)
    states = list(tf.constant(rng.normal(size=(2, ROWS, U)), tf.float32))
    expected = compute(model, x, states, compiled=False)
    with faster_lstm(model):
        found = compute(model, x, states, compiled=True)
    for ours, keras_own in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5, atol=1e-5)


def test_it_stands_in_only_while_open_and_only_for_what_it_computes():
    usual, others = layers.LSTM(U), [layers.LSTM(U, **{name: value}) for name, value in UNUSUAL.items()]
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, [layer(inputs) for layer in [usual, *others]])
    with faster_lstm(model):
        assert "inner_loop" in vars(usual)
        assert not any("inner_loop" in vars(layer) for layer in others)
    assert "inner_loop" not in vars(usual)


def test_a_subclass_keeps_its_own_loop():
    class Mine(layers.LSTM):
        pass

    inputs, layer = keras.Input((T, D)), Mine(U)
    with faster_lstm(keras.Model(inputs, layer(inputs))):
        assert "inner_loop" not in vars(layer)

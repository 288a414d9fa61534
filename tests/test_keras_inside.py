"""One test for each private name of Keras that trainers uses."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from trainers.speed import keras_inside


def net() -> keras.Model:
    """A dense layer, and one in a model within it."""
    inputs = keras.Input((3,))
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="inside")], name="inner")
    return keras.Model(inputs, inner(layers.Dense(4, name="first")(inputs)))


def test_all_layers_are_found_also_within_layers():
    model = net()
    found = keras_inside.all_layers(model)
    assert found[0] is model
    assert {"first", "inner", "inside"} <= {layer.name for layer in found}
    assert len(found) == len(set(map(id, found)))


def test_a_frozen_layer_has_its_own_variables():
    layer = net().get_layer("first")
    layer.trainable = False
    assert [v.name for v in keras_inside.own_trainable(layer)] == ["kernel", "bias"]
    assert keras_inside.own_trainable(keras.Sequential([layer])) == []


def test_averages_are_those_of_the_variables_in_order():
    variables = [keras.Variable(np.full(2, float(i))) for i in range(3)]
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.75)
    optimizer.build(variables)
    for _ in range(2):  # an average begins with the variable after its first step
        optimizer.apply([tf.ones(2)] * 3)
    found = keras_inside.averages(optimizer)
    np.testing.assert_allclose([v.numpy() for v in found], [[0.75 * (i - 1) + 0.25 * (i - 2)] * 2 for i in range(3)])
    assert all(any(average is variable for variable in optimizer.variables) for average in found)


def test_a_tensor_says_what_made_it():
    model = net()
    assert keras_inside.made_by(model.outputs[0]) is model.get_layer("inner")
    assert keras_inside.made_by(keras.ops.relu(model.outputs[0])).name.startswith("relu")


def test_seeds_are_told_from_other_variables():
    dropout, norm = layers.Dropout(0.5), layers.BatchNormalization()
    norm.build((None, 3))
    assert [keras_inside.is_seed(v) for v in dropout.variables] == [True]
    assert not any(keras_inside.is_seed(v) for v in norm.variables)


def test_autocasting_is_seen_and_set():
    seen = []

    class Look(layers.Layer):
        def build(self, shape):
            self.weight = self.add_weight(shape=(1,))

        def call(self, inputs):
            seen.append((keras_inside.autocast_dtype(), tf.convert_to_tensor(self.weight).dtype))
            return inputs

    look = Look(dtype="mixed_bfloat16")
    look(tf.ones((1, 1)))
    assert seen == [("bfloat16", tf.bfloat16)]
    assert keras_inside.autocast_dtype() is None
    with keras_inside.autocast("bfloat16"):
        assert tf.convert_to_tensor(look.weight).dtype == tf.bfloat16
        with keras_inside.autocast(None):
            assert tf.convert_to_tensor(look.weight).dtype == tf.float32


def test_a_recurrent_layer_computes_by_its_time_loop():
    layer = layers.LSTM(4, return_sequences=True)
    x = tf.ones((2, 5, 3))
    expected, given = layer(x).numpy(), []
    own = getattr(layer, keras_inside.TIME_LOOP)

    def loop(sequences, initial_state, mask, training=False):
        given.append((sequences.shape, [s.shape for s in initial_state], mask))
        return own(sequences, initial_state, mask, training=training)

    object.__setattr__(layer, keras_inside.TIME_LOOP, loop)
    np.testing.assert_array_equal(layer(x), expected)
    assert given == [((2, 5, 3), [(2, 4), (2, 4)], None)]


def test_mask_of_outputs():
    x = np.array([[1, 2, 0]])
    masked = keras.Sequential([layers.Embedding(3, 2, mask_zero=True), layers.Dense(1)])
    np.testing.assert_array_equal(keras_inside.mask_of(masked(x)), [[True, True, False]])
    assert keras_inside.mask_of(layers.Dense(1)(np.ones((1, 2)))) is None


def test_what_compile_was_given():
    model, loss = keras.Sequential([layers.Dense(1)]), keras.losses.MeanSquaredError()
    model.compile("sgd", loss, metrics=["mae"], loss_weights=None)
    found = keras_inside.given_to_compile(model)
    assert found["loss"] is loss
    assert found["metrics"] == ["mae"]
    assert found["weighted_metrics"] is None

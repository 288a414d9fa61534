"""Our form of a layer beside Keras': the same weights, outputs, states and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from trainers.speed.faster_layers import faster_layers
from trainers.speed.threefry import threefry

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
            loss = tf.add_n([tf.reduce_sum(y * tf.reshape(tf.linspace(-1.0, 1.0, tf.size(y)), y.shape)) for y in outputs])
        return outputs, tape.gradient(loss, [x, values])

    return tf.nest.map_structure(np.asarray, tf.nest.flatten(run(x, values)))


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("kind", LAYERS)
def test_an_lstm_computes_what_keras_computes(kind, masked):
    layer, rng = LAYERS[kind](), np.random.default_rng(0)
    inputs, mask = keras.Input((T, D)), keras.Input((T,), dtype="bool")
    model = keras.Model([inputs, mask], layer(inputs, mask=mask if masked else None))
    x = tf.constant(rng.normal(size=(ROWS, T, D)), tf.float32)
    keep = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], bool)
    expected = compute(model, x, tf.constant(keep), compiled=False)
    with faster_layers(model):
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
    with faster_layers(model):
        found = compute(model, x, states, compiled=True)
    for ours, keras_own in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5, atol=1e-5)


def test_an_lstm_of_another_kind_stays_as_it_is():
    usual, others = layers.LSTM(U), [layers.LSTM(U, **{name: value}) for name, value in UNUSUAL.items()]
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, [layer(inputs) for layer in [usual, *others]])
    with faster_layers(model):
        assert "inner_loop" in vars(usual)
        assert not any("inner_loop" in vars(layer) for layer in others)
    assert "inner_loop" not in vars(usual)


def test_a_layer_that_was_never_built_stays_as_it_is():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.unused = layers.Dense(2), layers.EinsumDense("ab,bc->ac", 2)

        def call(self, inputs):
            return self.used(inputs)

    net = Net()
    net(tf.ones((ROWS, D)))
    with faster_layers(net):
        assert ("call" in vars(net.used), "call" in vars(net.unused)) == (True, False)


def test_a_subclass_stays_as_it_is():
    class Mine(layers.LSTM):
        pass

    inputs, layer = keras.Input((T, D)), Mine(U)
    with faster_layers(keras.Model(inputs, layer(inputs))):
        assert "inner_loop" not in vars(layer)


@pytest.mark.parametrize("kind", ["dense", "attention", "no_bias", "bias_of_one_axis"])
def test_a_dense_layer_computes_what_keras_computes(kind):
    make = {
        "dense": lambda x: layers.Dense(U, activation="gelu")(x),
        "attention": lambda x: layers.MultiHeadAttention(2, 4)(x, x),
        "no_bias": lambda x: layers.EinsumDense("abc,cde->abde", (T, 2, U))(x),
        "bias_of_one_axis": lambda x: layers.EinsumDense("abc,cde->abde", (T, 2, U), bias_axes="e")(x),
    }
    inputs, mask, rng = keras.Input((T, D)), keras.Input((T,), dtype="bool"), np.random.default_rng(2)
    model = keras.Model([inputs, mask], make[kind](inputs))
    for variable in model.trainable_variables:  # biases too
        variable.assign(rng.normal(0, 0.5, variable.shape))
    x, keep = tf.constant(rng.normal(size=(ROWS, T, D)), tf.float32), tf.ones((ROWS, T), tf.bool)
    expected = compute(model, x, keep, compiled=False)
    with faster_layers(model):
        swapped = ["call" in vars(layer) for layer in model._flatten_layers()]
        found = compute(model, x, keep, compiled=True)
    assert sum(swapped) == {"dense": 1, "attention": 4, "no_bias": 1, "bias_of_one_axis": 0}[kind]
    for ours, keras_own in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5, atol=1e-5)


def test_inputs_of_unknown_shape_or_another_dtype_are_computed_by_keras():
    inputs, numbers = keras.Input((None, D)), keras.Input((D,), dtype="int32")
    sequence = layers.Dense(D)(layers.LSTM(U, return_sequences=True)(layers.Dropout(0.5)(inputs)))
    model = keras.Model([inputs, numbers], [sequence, layers.Dense(2)(numbers)])
    given = [tf.random.normal((ROWS, T, D)), tf.ones((ROWS, D), tf.int32)]
    specs = [tf.TensorSpec((None, None, D)), tf.TensorSpec((None, D), tf.int32)]

    @tf.function(input_signature=[specs], autograph=False)
    def run(given):
        with faster_layers(model):
            return model(given, training=False)

    for ours, keras_own in zip(run(given), model(given, training=False), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_random_bits_are_the_published_ones(key, counter, words):
    """Known answers of Random123, the library of the paper's authors."""
    pairs = [[tf.constant([number], tf.uint32) for number in pair] for pair in (key, counter)]
    assert tuple(int(word[0]) for word in threefry(*pairs)) == words


def dropped(seed, rate=0.3, shape=(64, 1000)):
    layer = layers.Dropout(rate)
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, layer(inputs))

    @tf.function(jit_compile=True, autograph=False)
    def run(seed):
        with keras.StatelessScope([(layer.seed_generator.state, seed)]), faster_layers(model):
            return model(tf.ones(shape), training=True)

    return run(tf.constant(seed, tf.int64)).numpy()


def test_dropout_drops_its_share_independently():
    masks = np.stack([dropped((1, 2)), dropped((1, 3)), dropped((2, 2))])
    assert np.unique(masks) == pytest.approx([0, 1 / 0.7], rel=1e-4)
    kept = masks > 0
    count = kept[0].size
    for mask in kept:  # within 5 standard deviations, each part of a word too
        assert abs(mask.mean() - 0.7) < 5 * np.sqrt(0.21 / count)
        for quarter in np.split(mask.ravel(), 4):
            assert abs(quarter.mean() - 0.7) < 5 * np.sqrt(0.21 / len(quarter))
    flat = [*kept.reshape(3, -1), np.roll(kept[0].ravel(), 1), *(np.roll(kept[0].ravel(), count // 4 * i) for i in (1, 2, 3))]
    correlations = np.corrcoef(np.array(flat))[~np.eye(len(flat), dtype=bool)]
    assert np.abs(correlations).max() < 5 / np.sqrt(count)
    np.testing.assert_array_equal(dropped((1, 2)), masks[0])


def test_dropout_does_nothing_when_not_training():
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, layers.Dropout(0.5)(inputs))
    with faster_layers(model):
        assert (model(tf.ones((ROWS, T, D)), training=False).numpy() == 1).all()

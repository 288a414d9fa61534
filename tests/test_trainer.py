"""The loop for any Keras model, from any program."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn.datasets import load_digits

from trainers import Trainer

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
TRAIN, VALIDATION = (X[:600], Y[:600]), (X[600:800], Y[600:800])


def net() -> keras.Model:
    return keras.Sequential([keras.Input((64,)), layers.Dense(32, activation="relu"), layers.Dense(10)])


class Subclass(keras.Model):
    """One that says nothing of its inputs and outputs before it is called."""

    def __init__(self):
        super().__init__()
        self.hidden, self.logits = layers.Dense(32, activation="relu"), layers.Dense(10)

    def call(self, x):
        return self.logits(self.hidden(x))


GIVEN = {
    "(x, y)": TRAIN,
    "(x, y, w)": (*TRAIN, np.ones(600)),
    "dict": {"x": TRAIN[0], "y": TRAIN[1]},
    "dataset": tf.data.Dataset.from_tensor_slices(TRAIN).shuffle(600, seed=0).batch(32),
    "dataset of dicts": tf.data.Dataset.from_tensor_slices({"x": TRAIN[0], "y": TRAIN[1]}).batch(32),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_data_of_every_kind(given, one_replica):
    history = Trainer(net(), optimizer=dict(name="adam", learning_rate=0.01), strategy=one_replica).fit(
        given, validation_data=VALIDATION, epochs=4, verbose=False
    )
    assert len(history["loss"]) == len(history["val_accuracy"]) == 4
    assert history["val_accuracy"][-1] > 0.8


@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
@pytest.mark.parametrize("kind", ["model", "builder", "subclass"])
def test_models_of_every_kind(kind, replicas, request):
    """The given model ends with the trained weights, wherever they were trained."""
    strategy = request.getfixturevalue(replicas)
    model = {"model": net(), "builder": net, "subclass": Subclass if replicas == "two_replicas" else Subclass()}[kind]
    trainer = Trainer(model, optimizer=dict(name="adam", learning_rate=0.01), strategy=strategy)
    trainer.fit(TRAIN, epochs=4, verbose=False)
    found = trainer.evaluate(VALIDATION)
    assert found["accuracy"] > 0.8
    ours = model if isinstance(model, keras.Model) else trainer.model
    outputs = keras.ops.convert_to_numpy(ours(VALIDATION[0]))
    assert np.mean(outputs.argmax(1) == VALIDATION[1]) == pytest.approx(found["accuracy"])
    np.testing.assert_allclose(trainer.predict(VALIDATION[0]), outputs, rtol=0, atol=1e-5)


def test_it_follows_keras_fit(one_replica):
    """SGD over the same batches in the same order: the weights that `keras.Model.fit` gives."""
    ours, theirs = net(), net()
    theirs.set_weights(ours.get_weights())
    dataset = tf.data.Dataset.from_tensor_slices(TRAIN).batch(32)  # 600 examples: the last batch has 24
    theirs.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    wanted = theirs.fit(dataset, epochs=2, verbose=0, shuffle=False).history["loss"]
    found = Trainer(ours, optimizer=keras.optimizers.SGD(0.1), strategy=one_replica).fit(dataset, epochs=2, verbose=False)
    np.testing.assert_allclose(found["loss"], wanted, rtol=0, atol=1e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_several_inputs_weights_and_regression(one_replica):
    """y = 2 a + b where the weight is 1; the rest is noise with weight 0."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(400, 2)), rng.normal(size=(400, 1))
    y, w = 2 * a[:, 0] + b[:, 0], (np.arange(400) % 2).astype(float)
    y[w == 0] = 100
    first, second = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    model = keras.Model({"a": first, "b": second}, layers.Dense(1)(layers.Concatenate()([first, second])))
    trainer = Trainer(model, task="regress", optimizer=dict(name="adam", learning_rate=0.05), strategy=one_replica)
    history = trainer.fit({"a": a, "b": b}, y, sample_weight=w, epochs=30, verbose=False)
    assert history["mse"][-1] < 1e-2
    np.testing.assert_allclose(trainer.predict({"a": a, "b": b})[w == 1, 0], y[w == 1], rtol=0, atol=0.3)
    assert trainer.evaluate({"a": a, "b": b}, y, sample_weight=w)["r2"] > 0.99


def test_binary_labels_of_any_shape(one_replica):
    model = keras.Sequential([keras.Input((64,)), layers.Dense(1)])
    y = (Y[:600] > 4).astype(np.float64)
    for labels in (y, y[:, None], y.astype(bool)):
        history = Trainer(keras.models.clone_model(model), strategy=one_replica).fit((X[:600], labels), epochs=1, verbose=False)
        assert 0.4 < history["accuracy"][0] < 1


def test_fit_goes_on_and_keeps_the_best(one_replica):
    trainer = Trainer(net(), optimizer=dict(name="adam", learning_rate=0.01), strategy=one_replica)
    first = trainer.fit(TRAIN, validation_data=VALIDATION, epochs=2, verbose=False)
    second = trainer.fit(TRAIN, validation_data=VALIDATION, epochs=10, restore_best=True, verbose=False)
    assert second["loss"][0] < first["loss"][-1]
    found = trainer.evaluate(VALIDATION)["loss"]
    assert found == pytest.approx(min(first["val_loss"] + second["val_loss"]), abs=1e-6)


def test_steps_hooks_and_the_console(one_replica, capsys):
    events = []
    Trainer(net(), strategy=one_replica).fit(
        TRAIN,
        validation_data=VALIDATION,
        steps=25,
        epochs=99,
        hooks=[lambda event, learner: events.append(learner.progress.step)],
    )
    assert events[-1] == 25
    assert "epoch 1/2  train: loss" in capsys.readouterr().out


def test_a_keras_application(one_replica):
    """MobileNetV3 with its preprocessing, batch norm and dropout, on 32x32 images."""
    model = keras.applications.MobileNetV3Small(
        input_shape=(32, 32, 3), weights=None, classes=2, classifier_activation=None, alpha=0.35, minimalistic=True
    )
    x = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3)).astype(np.float32)
    history = Trainer(model, optimizer="adam", strategy=one_replica).fit(
        x, np.arange(16) % 2, epochs=2, batch_size=8, verbose=False
    )
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda s: Trainer(keras.Sequential([keras.Input((64,)), layers.Dense(10), layers.Softmax()]), strategy=s),
            "ends in softmax",
        ),
        (lambda s: Trainer(keras.Sequential([keras.Input((64,)), layers.Dense(1, "sigmoid")]), strategy=s), "ends in sigmoid"),
        (
            lambda s: Trainer(keras.Sequential([keras.Input((64,)), layers.Dense(10, activation="softmax")]), strategy=s),
            "classifier_activation=None",
        ),
        (lambda s: Trainer(keras.Sequential([keras.Input((7,)), layers.Dense(10)]), strategy=s), r"takes x of shape \(7,\)"),
        (
            lambda s: Trainer(keras.Sequential([keras.Input((64,)), layers.Dense(3)]), strategy=s),
            "labels must be 0 to 2. Received",
        ),
        (lambda s: Trainer(net(), task="clasify", strategy=s), "unknown task 'clasify'"),
        (lambda s: Trainer(net(), task=dict(smoothing=0.1), strategy=s), r"It is classify\("),
        (lambda s: Trainer(net(), optimizer="adm", strategy=s), "unknown optimizer 'adm'"),
        (lambda s: Trainer(net(), strategy=s, plan="fast"), "unknown plan 'fast'"),
    ],
)
def test_what_is_wrong_is_told(make, message, one_replica):
    with pytest.raises(ValueError, match=message):
        make(one_replica).fit(TRAIN, verbose=False)


def test_probabilities_are_accepted_when_said(one_replica):
    model = keras.Sequential([keras.Input((64,)), layers.Dense(10, activation="softmax")])
    history = Trainer(
        model, task=dict(from_logits=False), optimizer=dict(name="adam", learning_rate=0.01), strategy=one_replica
    ).fit(TRAIN, epochs=5, verbose=False)
    assert history["accuracy"][-1] > 0.8


def test_a_schedule_spans_each_fit():
    """Not what was evaluated before, and not the fit before; the moments stay."""
    given = dict(name="adam", learning_rate=0.01, schedule="linear")
    trainer = Trainer(net(), optimizer=given, strategy="cpu")
    trainer.evaluate((X, Y))
    rates = []

    def keep(event, learner):
        if event == "metrics":
            rates.append(learner.learning_rate)

    for _ in range(2):
        trainer.fit((X, Y), epochs=2, hooks=[keep], verbose=False)
    assert rates == pytest.approx([0.005, 0.0] * 2, abs=1e-8)
    assert int(trainer._learner.state.optimizers[0].iterations.numpy()) == trainer._learner.progress.step


def test_epochs_of_a_second_fit_are_whole():
    trainer = Trainer(net(), strategy="cpu")
    trainer.fit((X, Y), steps=3, verbose=False)
    history = trainer.fit((X, Y), validation_data=(X, Y), epochs=2, verbose=False)
    assert [len(values) for values in history.values()] == [2] * len(history)
    with pytest.raises(ValueError, match="patience and restore_best need validation_data"):
        trainer.fit((X, Y), patience=2)


def test_bytes_are_taken_as_keras_takes_them():
    model, x = net(), np.random.default_rng(0).integers(0, 256, (10, X.shape[1])).astype(np.uint8)
    np.testing.assert_allclose(Trainer(model, strategy="cpu").predict(x), model(x.astype(np.float32)), rtol=1e-5, atol=1e-4)


def test_batches_that_grow_lose_no_row():
    parts = [tf.data.Dataset.from_tensor_slices((X[a:b], Y[a:b])).batch(b - a) for a, b in ((0, 4), (4, 16), (16, 20))]
    trainer = Trainer(net(), strategy="cpu")
    found = trainer.evaluate(parts[0].concatenate(parts[1]).concatenate(parts[2]))
    assert found == pytest.approx(trainer.evaluate((X[:20], Y[:20])), abs=1e-6)


def test_one_hot_integers_are_labels_too():
    trainer = Trainer(net(), strategy="cpu")
    classes = trainer.model.output_shape[-1]
    found = trainer.evaluate((X, np.eye(classes, dtype=int)[Y]))
    assert found["loss"] == pytest.approx(trainer.evaluate((X, Y))["loss"], abs=1e-6)


def test_optimizers_that_would_go_wrong_are_refused():
    adam = keras.optimizers.Adam
    for optimizer, message in (
        (adam(loss_scale_factor=1024.0), "optimizer argument loss_scale_factor is not accepted"),
        (adam(gradient_accumulation_steps=2), "optimizer argument gradient_accumulation_steps is not accepted"),
        (keras.optimizers.LossScaleOptimizer(adam()), "optimizer LossScaleOptimizer is not accepted"),
    ):
        with pytest.raises(ValueError, match=message):
            Trainer(net(), optimizer=optimizer, strategy="cpu").fit((X, Y), verbose=False)


def test_what_is_spared_weight_decay_stays_spared():
    from trainers.engine.optimizers import make_pure

    given, model = keras.optimizers.AdamW(1e-2, weight_decay=0.5), net()
    given.exclude_from_weight_decay(var_names=["bias"])
    pure = make_pure(given)
    pure.build(model.trainable_variables)
    spared = [not pure._use_weight_decay(v) for v in model.trainable_variables]
    assert spared == ["bias" in v.path for v in model.trainable_variables]


def test_bfloat16_outputs_come_from_two_replicas(two_replicas):
    """Collectives on CPUs know no bfloat16."""
    with two_replicas.scope():
        model = keras.Sequential([keras.Input((64,)), layers.Dense(10, dtype="bfloat16")])
    found = Trainer(model, strategy=two_replicas).predict(X[:10], batch_size=8)
    assert found.dtype.name == "bfloat16"
    np.testing.assert_array_equal(found.astype(np.float32), keras.ops.cast(model(X[:10]), "float32"))


def test_a_frozen_pattern_and_a_schedule_in_two_fits(one_replica):
    """The schedule makes a new optimizer for each fit; what was frozen stays so."""
    model = net()
    frozen = model.layers[0].get_weights()
    rules = [(model.layers[0].name, None), ("", dict(name="sgd", learning_rate=0.1, schedule="cosine"))]
    trainer = Trainer(model, optimizer=rules, strategy=one_replica)
    for _ in range(2):
        trainer.fit(TRAIN, steps=2, verbose=False)
    for a, b in zip(model.layers[0].get_weights(), frozen, strict=True):
        np.testing.assert_array_equal(a, b)

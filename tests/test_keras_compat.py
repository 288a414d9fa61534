"""Trainer for those who know `keras.Model.fit`: losses, metrics, callbacks, compiled models, a folder to go on in."""

import logging
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from small_tasks import TASKS

from trainers import Trainer
from trainers.tasks.base import Task

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype(np.float32)
W, CLASSES = RNG.random(50), RNG.integers(0, 3, 50)


def two_heads() -> keras.Model:
    x = keras.Input((6,))
    hidden = layers.Dense(8, activation="relu")(x)
    return keras.Model(x, {"age": layers.Dense(1)(hidden), "kind": layers.Dense(3, activation="softmax")(hidden)})


def dense(*shape: int, activation=None) -> keras.Model:
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(int(np.prod(shape)), activation=activation), layers.Reshape(shape)]
    )


def steps_of(y, p):
    return ops.mean(ops.square(y - p), axis=-1)


# name: (model, y, loss, metrics, loss_weights)
CASES = {
    "two outputs": (
        two_heads, {"age": X[:, :1], "kind": CLASSES}, {"age": "mse", "kind": "sparse_categorical_crossentropy"},
        {"age": ["mae"], "kind": ["accuracy"]}, {"age": 0.3, "kind": 2.0},
    ),
    "pictures": (lambda: dense(2, 2, 1), RNG.random((50, 2, 2, 1)), "mae", ["mse", keras.metrics.RootMeanSquaredError()], None),
    "steps": (
        lambda: dense(4, 3, activation="sigmoid"), np.eye(3)[RNG.integers(0, 3, (50, 4))],
        keras.losses.BinaryCrossentropy(), [keras.metrics.AUC(name="auc"), "binary_accuracy"], None,
    ),
    "a function": (lambda: dense(1), X[:, 0], steps_of, ["r2_score"], None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_losses_and_metrics_follow_keras_fit(case, one_replica):
    """SGD over the same batches, the last of 2 examples."""
    build, y, loss, metrics, loss_weights = case
    ours, theirs = build(), build()
    theirs.set_weights(ours.get_weights())
    dataset = tf.data.Dataset.from_tensor_slices((X, y)).batch(16)
    theirs.compile(keras.optimizers.SGD(0.1), loss, metrics=metrics, loss_weights=loss_weights)
    wanted = theirs.fit(dataset, epochs=2, verbose=0, shuffle=False).history
    trainer = Trainer(
        ours, loss=loss, metrics=metrics, loss_weights=loss_weights, optimizer=keras.optimizers.SGD(0.1), strategy=one_replica
    )
    found = trainer.fit(dataset, epochs=2, verbose=False).history
    same = [name for name in wanted if not name.endswith("_loss")]  # Keras counts the last batch of each output's loss as whole
    assert set(found) == set(wanted)
    for name in same:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=2e-5, err_msg=name)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    answers = trainer.predict(tf.data.Dataset.from_tensor_slices(X).batch(16))
    for a, b in zip(tf.nest.flatten(answers), tf.nest.flatten(ours(X)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [False, True])
def test_replicas_and_weights_are_exact(steps, one_replica, two_replicas):
    """The weighted mean of the whole batch, by hand; of examples [N, 1] or of steps [N, T]."""
    y, w = RNG.normal(size=(50, 4, 3)), RNG.random((50, 4)) if steps else W[:, None]
    found, weights = [], []
    for strategy in (one_replica, two_replicas):
        keras.utils.set_random_seed(3)
        trainer = Trainer(lambda: dense(4, 3), loss="mse", metrics=["mae"], optimizer="sgd", strategy=strategy)
        before = trainer.model.predict(X, verbose=0)
        found.append(trainer.evaluate((X, y, w), batch_size=8))
        trainer.fit((X, y, w), batch_size=8, epochs=1, verbose=False)
        weights.append(trainer.model.get_weights())
    rows = np.broadcast_to(w, (50, 4))
    assert found[0]["loss"] == pytest.approx((((before - y) ** 2).mean(-1) * rows).sum() / rows.sum(), abs=1e-5)
    assert found[0]["mae"] == pytest.approx((np.abs(before - y).mean(-1) * rows).sum() / rows.sum(), abs=1e-5)
    assert found[1] == pytest.approx(found[0], abs=1e-5)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


class Only(Task):
    """A task that has nothing but losses, of x alone."""

    def losses(self, batch, outputs):
        return ops.mean(ops.square(outputs - batch["x"]), axis=-1)


def test_a_task_of_losses_alone(one_replica):
    trainer = Trainer(dense(6), task=Only(), optimizer="sgd", strategy=one_replica)
    history = trainer.fit(X, epochs=2, validation_data=X, verbose=False)
    assert set(history) == {"loss", "val_loss"}
    assert history.epoch == [0, 1]
    assert trainer.predict(X).shape == (50, 6)


@pytest.mark.parametrize(
    "name", ["Gan", "Segmentation", *(pytest.param(n, marks=pytest.mark.slow) for n in ("Clip", "NextToken"))]
)
def test_tasks_of_other_kinds(name, one_replica, tmp_path):
    """Several networks, nests of inputs, dense targets; saved and restored."""
    task, model = TASKS[name](), TASKS[name].build()
    batch = task.example_batch(model, np.random.default_rng(0), 16)
    history = Trainer(model, task=task, strategy=one_replica).fit(batch, batch_size=8, workdir=tmp_path, verbose=False)
    again = Trainer(TASKS[name].build(), task=TASKS[name](), strategy=one_replica)
    assert again.fit(batch, batch_size=8, workdir=tmp_path, verbose=False) == history
    assert np.isfinite(list(history.values())).all()
    for a, b in zip(again.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_compile_was_given_is_used(one_replica, caplog):
    model = dense(1)
    model.compile(keras.optimizers.SGD(0.5), "mse", metrics=["mae"])
    trainer = Trainer(model, strategy=one_replica)
    assert set(trainer.fit(X, X[:, 0], verbose=False)) == {"loss", "mae"}
    assert trainer._learner.learning_rate == pytest.approx(0.5)
    with caplog.at_level(logging.WARNING, "trainers"):
        Trainer(model, loss="mae", strategy=one_replica)
    assert "compile(loss=...) is not used: loss was given" in caplog.text


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = layers.Dense(1)

    def call(self, x):
        return self.layer(x)

    def train_step(self, data):
        return {"loss": 0.0}


def test_a_train_step_of_its_own_is_never_ignored_in_silence(one_replica, caplog):
    with pytest.raises(ValueError, match="OwnStep.train_step is not called"):
        Trainer(OwnStep(), strategy=one_replica)
    with caplog.at_level(logging.WARNING, "trainers"):
        Trainer(OwnStep(), loss="mse", strategy=one_replica)
    assert "OwnStep.train_step is not called" in caplog.text


@pytest.mark.parametrize(
    ("layer", "x", "told"),
    [
        (lambda: layers.TextVectorization(vocabulary=["a", "b"], output_mode="multi_hot"), np.array(["a b", "b"] * 8), "text"),
        (lambda: layers.Hashing(4, output_mode="one_hot"), np.arange(16)[:, None], "XLA cannot compile this model"),
    ],
    ids=["text", "hashing"],
)
def test_what_xla_cannot_compile_is_a_graph(layer, x, told, one_replica, caplog):
    inputs = keras.Input(x.shape[1:], dtype="string" if x.dtype.kind == "U" else "int32")
    model = keras.Model(inputs, layers.Dense(1)(layer()(inputs)))
    with caplog.at_level(logging.INFO, "trainers"):
        trainer = Trainer(model, loss="mse", strategy=one_replica)
        trainer.fit(tf.data.Dataset.from_tensor_slices((x, np.ones(16))).batch(4), verbose=False)
    assert trainer._learner.plan.name == "graph"
    assert f"plan graph: {'the batches have ' if told == 'text' else ''}{told}" in caplog.text


def test_callbacks_of_epochs(one_replica, tmp_path):
    seen = []

    class Mine(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(epoch)

        def on_epoch_end(self, epoch, logs=None):
            seen.append(sorted(logs))
            self.model.stop_training = epoch == 1

    ends = keras.callbacks.LambdaCallback(on_train_end=lambda logs: seen.append("end"))
    history = Trainer(dense(1), loss="mse", strategy=one_replica).fit(
        (X, X[:, 0]), validation_data=(X, X[:, 0]), epochs=5, verbose=False,
        callbacks=[Mine(), ends, keras.callbacks.CSVLogger(tmp_path / "log.csv")],
    )  # fmt: skip
    logs = ["loss", "val_loss"]
    assert seen == [0, logs, 1, logs, "end"]
    assert len(history["loss"]) == 2
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "epoch,loss,val_loss"


def test_a_folder_to_go_on_in(one_replica, tmp_path):
    """Stopped after 3 steps and begun again: the weights, to the bit, and the history of an uninterrupted one. Then finished."""

    def trainer():
        keras.utils.set_random_seed(1)
        return Trainer(dense(1), loss="mse", optimizer="adam", strategy=one_replica, plan="graph")

    options = dict(validation_data=(X, X[:, 0]), epochs=3, batch_size=25, verbose=False)
    whole = trainer()
    wanted = whole.fit((X, X[:, 0]), **options)

    def stop(event, learner):
        if event == "loop" and learner.progress.step >= 3:
            raise KeyboardInterrupt

    first = trainer()
    with pytest.raises(KeyboardInterrupt):
        first.fit((X, X[:, 0]), workdir=tmp_path, hooks=[stop], **options)
    again = trainer()
    found = again.fit((X, X[:, 0]), workdir=tmp_path, **options)
    assert found == wanted
    for a, b in zip(again.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    files = sorted((f, f.stat().st_mtime_ns) for f in tmp_path.rglob("*") if f.is_file())
    finished = trainer()
    assert finished.fit((X, X[:, 0]), workdir=tmp_path, **options) == wanted
    assert sorted((f, f.stat().st_mtime_ns) for f in tmp_path.rglob("*") if f.is_file()) == files
    np.testing.assert_array_equal(finished.model.get_weights()[0], whole.model.get_weights()[0])
    with pytest.raises(ValueError, match=r"holds other training.*batch_size \(25 there, 10 now\)"):
        trainer().fit((X, X[:, 0]), workdir=tmp_path, **{**options, "batch_size": 10})


def test_text_labels_class_weights_and_multilabel(one_replica):
    labels = np.array(["cat", "dog", "eel"])[CLASSES]
    trainer = Trainer(dense(3), class_weights={"cat": 2.0, 1: 3.0}, strategy=one_replica)
    trainer.fit((X, labels), verbose=False)
    assert trainer.class_names == ("cat", "dog", "eel")
    np.testing.assert_array_equal(trainer._learner.task.class_weights, [2, 3, 1])
    balanced = Trainer(dense(3), class_weights="balanced", strategy=one_replica)
    balanced.evaluate((X, CLASSES))
    np.testing.assert_allclose(balanced._learner.task.class_weights, 50 / (3 * np.bincount(CLASSES)), rtol=1e-6)
    several = RNG.integers(0, 2, (50, 3))
    found = Trainer(dense(3), task="multilabel", strategy=one_replica).evaluate((X, several))
    assert 0 < found["f1_macro"] < 1


@pytest.mark.parametrize(
    ("make", "fit", "message"),
    [
        (dict(loss="msee"), {}, "msee"),
        (dict(loss="mse", task="regress"), {}, "give a task, or loss"),
        (dict(loss=lambda y, p: ops.mean(y - p)), {}, "take no mean over the batch"),
        (dict(loss="mse", metrics=["maee"]), {}, "maee"),
        (dict(loss={"other": "mse"}), {}, r"loss names \['other'\]"),
        (dict(loss="binary_crossentropy"), {}, "takes probabilities. Received: a model that gives .* from_logits=True"),
        (dict(loss="mse"), dict(y=np.ones((50, 2))), r"must have one shape. Received: \(.*, 2\) and \(.*, 1\)"),
        (dict(loss="mse", class_weights="balanced"), {}, "class_weights are of task 'classify'"),
        (dict(loss="mse"), dict(epochs=0), "epochs must be positive. Received: 0"),
        (dict(loss="mse"), dict(batch_size=0), "batch_size must be positive. Received: 0"),
        (dict(loss="mse"), dict(y=None), "the loss needs targets"),
        (dict(loss="mse"), dict(callbacks=[print]), "must be keras.callbacks.Callback"),
        (dict(loss="mse"), dict(callbacks=[keras.callbacks.ModelCheckpoint("m.keras", save_freq=2)]), "use workdir=..."),
        (dict(loss="mse"), dict(callbacks=[keras.callbacks.TensorBoard()]), "callbacks get epochs and their logs alone"),
        (dict(loss="mse", metrics=[keras.metrics.F1Score(average=None)]), {}, "must be one number"),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong(make, fit, message, one_replica):
    with pytest.raises(ValueError, match=message):
        Trainer(dense(1), strategy=one_replica, **make).fit(X, **{"y": X[:, 0], "verbose": False, **fit})


def test_probabilities_are_seen_in_the_numbers(one_replica):
    x = keras.Input((6,))
    hidden = keras.Model(x, ops.softmax(layers.Dense(3)(x)))
    with pytest.raises(ValueError, match="the model gives probabilities"):
        Trainer(hidden, strategy=one_replica).fit((X, CLASSES), verbose=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match="this loss takes logits"):
        Trainer(hidden, loss=loss, strategy=one_replica).fit((X, CLASSES), verbose=False)
    with pytest.raises(ValueError, match="task 'classify' needs one output"):
        Trainer(dense(4, 3), strategy=one_replica).fit((X, CLASSES), verbose=False)
    with pytest.raises(ValueError, match="class numbers must be 0 to 2. Received: 3"):
        Trainer(dense(3, activation="softmax"), loss="sparse_categorical_crossentropy", strategy=one_replica).evaluate(
            (X, CLASSES + 1)
        )


def test_stateful_layers_are_refused(one_replica):
    model = keras.Sequential([keras.Input((4, 2), batch_size=10), layers.LSTM(3, stateful=True)])
    with pytest.raises(ValueError, match="layer 'lstm.*' has stateful=True"):
        Trainer(model, loss="mse", strategy=one_replica)


def test_batches_of_varying_lengths_follow_keras_fit(one_replica):
    """Means over all steps of a batch, padding included, as the model has no mask: nothing may be padded further."""
    rows = [RNG.integers(1, 9, n) for n in (2, 7, 3, 5, 4)]
    kinds = (tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.int64))
    dataset = tf.data.Dataset.from_generator(lambda: zip(rows, [0, 1, 2, 1, 0], strict=True), output_signature=kinds)
    dataset = dataset.padded_batch(2, ([None], []))

    def build():
        return keras.Sequential(
            [keras.Input((None,)), layers.Embedding(9, 4), layers.GlobalAveragePooling1D(), layers.Dense(3)]
        )

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours, theirs = build(), build()
    theirs.set_weights(ours.get_weights())
    theirs.compile(keras.optimizers.SGD(0.5), loss)
    theirs.fit(dataset, epochs=1, verbose=0)
    trainer = Trainer(ours, optimizer=keras.optimizers.SGD(0.5), strategy=one_replica)
    trainer.fit(dataset, verbose=False)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    assert trainer.predict(dataset).shape == (5, 3)
    with pytest.raises(ValueError, match="accumulate=2 needs batches of one shape"):
        Trainer(build(), accumulate=2, strategy=one_replica).fit(dataset, verbose=False)


def test_a_copy_on_replicas_keeps_its_vocabulary(one_replica, two_replicas):
    text, y = np.array(["a b", "b c a"] * 8), np.arange(16) % 2
    lookup = layers.TextVectorization(output_mode="multi_hot")
    lookup.adapt(text)
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, layers.Dense(1)(lookup(inputs)))
    one, two = (Trainer(model, loss="mse", strategy=s).evaluate((text, y), batch_size=8) for s in (one_replica, two_replicas))
    assert one == pytest.approx(two, abs=1e-6)


def test_parts_of_a_model_have_their_own_optimizers(one_replica):
    x = keras.Input((6,))
    model = keras.Model(x, layers.Dense(1, name="head")(layers.Dense(4, name="stem")(x)))
    before = [w.copy() for w in model.get_weights()]
    rules = [("stem", None), ("", keras.optimizers.SGD)]
    Trainer(model, loss="mse", optimizer=rules, strategy=one_replica).fit(X, X[:, 0], verbose=False)
    same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert same == ["stem" in w.path for w in model.weights]


def test_wide_integers_are_learnt_as_they_are(one_replica):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="zeros")])
    found = Trainer(model, task="regress", strategy=one_replica).evaluate((np.ones((4, 1)), np.full(4, 3_000_000_000)))
    assert found["mae"] == pytest.approx(3e9)


def test_endless_batches_go_on_where_they_were():
    """Batches 0, 1, 2, ... of an endless dataset; a second fit has the ones after."""
    seen = []

    def keep(i):
        seen.append(int(i))
        return np.float32(0)

    def batch(i):
        x = tf.ensure_shape(tf.numpy_function(keep, [i], tf.float32), ())
        return tf.ones((2, 6)) * x, tf.ones((2,))

    dataset = tf.data.Dataset.counter().map(batch)
    trainer = Trainer(dense(1), loss="mse", strategy="cpu", plan="graph")
    assert len(trainer.fit(dataset, steps_per_epoch=2, epochs=2, verbose=False)["loss"]) == 2
    assert seen.count(0) >= 1
    assert {0, 1, 2, 3} <= set(seen)
    trainer.fit(dataset, steps=3, verbose=False)
    assert {4, 5, 6} <= set(seen)


def test_replicas_of_the_cpu_after_a_model_was_built():
    program = """
import keras
from trainers import Trainer
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
Trainer(model, loss="mse", strategy="cpu:2")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert "Give Trainer a function that builds it, or begin the program with strategy = trainers.make_str" in result.stderr

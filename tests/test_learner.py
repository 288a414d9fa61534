"""The host's loop: timetable, hooks, evaluation, early stopping, and sums that do not depend on how steps are grouped."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import array_data, make_learner, weights
from keras import layers
from sklearn.metrics import accuracy_score, log_loss

from trainers.data.encoders import ArrayEncoder
from trainers.data.pipeline import Data
from trainers.data.spec import Spec, Split
from trainers.engine.progress import Timetable

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32) + (X[:, 1] > 1)


def net() -> keras.Model:
    return keras.Sequential([keras.Input((6,)), layers.Dense(16, "relu"), layers.Dropout(0.3), layers.Dense(3)])


def split_data() -> Data:
    spec = Spec(input_shape=(6,), examples={"train": 37, "validation": 13}, num_classes=3)
    return Data(spec, {"train": Split(X[:37], Y[:37]), "validation": Split(X[37:], Y[37:])}, ArrayEncoder())


def run(learner, data, steps, hooks=(), **table):
    """The events of a training, as (event, step)."""
    events = []
    table = Timetable(total_steps=steps, steps_per_epoch=5, **table)
    learner.fit(
        data,
        batch_size=8,
        timetable=table,
        hooks=[lambda event, learner: events.append((event, learner.progress.step)), *hooks],
    )
    return events


def test_a_timetable_stops_where_something_is_due():
    table = Timetable(total_steps=20, steps_per_epoch=5, eval_every_steps=6, log_every_steps=4, stops=(5, 17))
    stops, step = [], 0
    while step < 20:
        step += table.steps_to_next_stop(step)
        stops.append(step)
    assert stops == [4, 5, 6, 8, 12, 16, 17, 18, 20]


def test_events_come_in_order(one_replica):
    events = run(make_learner(net, split_data(), one_replica), split_data(), 10, eval_every_steps=5)
    assert events[0] == ("start", 0)
    assert events[-1] == ("end", 10)
    reports = [e for e in events if e[0] in ("metrics", "evaluated")]
    assert reports == [(e, step) for step in (5, 10) for e in ("metrics", "metrics", "evaluated")]


def test_metrics_are_those_of_every_example(one_replica):
    """Each epoch's training metrics weigh 37 examples; the validation is scikit-learn's."""
    learner, data, found = make_learner(net, split_data(), one_replica), split_data(), {}

    def keep(event, learner):
        if event == "metrics":
            found[learner.split] = learner.metrics
        if event == "metrics" and learner.split == "train":
            found["weight"] = float(learner.progress.sums["weight"])

    run(learner, data, 5, [keep], eval_every_steps=5)
    assert found["weight"] == 37
    p = keras.ops.convert_to_numpy(keras.ops.softmax(learner.model(X[37:])))
    wanted = log_loss(Y[37:], p.astype(np.float64), labels=[0, 1, 2]), accuracy_score(Y[37:], p.argmax(1))
    assert (found["validation"]["loss"], found["validation"]["accuracy"]) == pytest.approx(wanted, abs=1e-6)


def test_predictions_are_those_of_keras_in_order(one_replica, two_replicas):
    for strategy in (one_replica, two_replicas):
        learner = make_learner(net, split_data(), strategy)
        found = learner.answers(split_data(), "validation", 8)
        np.testing.assert_allclose(found, learner.model(X[37:]), rtol=0, atol=1e-6)


def test_how_steps_are_grouped_changes_no_bit(one_replica):
    """One step a loop, or as many as go: weights and reported sums are the same."""
    found = []
    for options in (dict(stops=tuple(range(1, 20))), dict()):
        learner, sums = make_learner(net, split_data(), one_replica), []

        def keep(event, learner, sums=sums):
            if event == "metrics":
                sums.append(dict(learner.metrics))

        run(learner, split_data(), 20, [keep], eval_every_steps=10, **options)
        found.append((sums, weights(learner.model)))
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


@pytest.mark.parametrize(("monitor", "sign"), [("loss", 1), ("accuracy", -1)])
def test_the_best_weights_are_kept_and_patience_ends(monitor, sign, one_replica):
    learner = make_learner(net, split_data(), one_replica, optimizer=dict(name="adam", learning_rate=0.2))
    seen = []

    def keep(event, learner):
        if event == "evaluated":
            seen.append((learner.metrics[monitor], learner.is_best, weights(learner.model)))

    run(learner, split_data(), 200, [keep], eval_every_steps=5, monitor=monitor, patience=3)
    values = [sign * value for value, _, _ in seen]
    best = int(np.argmin(values))  # the first of equals
    assert len(values) == best + 1 + 3 < 40, "three evaluations without a better one"
    assert [is_best for _, is_best, _ in seen] == [value < min([np.inf, *values[:i]]) for i, value in enumerate(values)]
    assert (learner.progress.best_step, learner.progress.best) == (5 * (best + 1), sign * values[best])
    learner.set_weights(learner.progress.best_weights)
    assert all(np.array_equal(a, b) for a, b in zip(weights(learner.model), seen[best][2], strict=True))


def test_a_metric_that_is_not_there_is_told(one_replica):
    with pytest.raises(ValueError, match="unknown metric to monitor: 'acc'. Accepted: loss, accuracy"):
        run(make_learner(net, split_data(), one_replica), split_data(), 5, monitor="acc")


def test_a_hook_may_stop(one_replica):
    learner = make_learner(net, split_data(), one_replica)
    events = run(learner, split_data(), 1000, [lambda event, learner: learner.stop() if learner.progress.step >= 3 else None])
    assert events[-1][0] == "end"
    assert 3 <= learner.progress.step < 1000


def test_the_average_is_evaluated_and_the_weights_go_on(one_replica):
    optimizer = dict(name="sgd", learning_rate=0.5, use_ema=True, ema_momentum=0.9)
    learner, data = make_learner(net, split_data(), one_replica, optimizer=optimizer), split_data()
    average = None
    for step in range(1, 6):
        run(learner, data, step)
        now = weights(learner.model)
        average = now if average is None else [0.9 * a + 0.1 * b for a, b in zip(average, now, strict=True)]
    for found, wanted in zip(learner.weights(), average, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    raw, before = learner.evaluate(data, "validation", 8)["loss"], weights(learner.model)
    learner.set_weights(learner.weights())
    assert learner.evaluate(data, "validation", 8)["loss"] == pytest.approx(raw, abs=1e-6)
    assert not np.array_equal(weights(learner.model)[0], before[0])


def test_a_batch_must_split_evenly(two_replicas):
    learner = make_learner(net, split_data(), two_replicas, accumulate=2)
    with pytest.raises(ValueError, match=r"batch_size must be a multiple of 4 \(replicas x accumulate: 2 x 2\). Received: 6"):
        learner.fit(split_data(), batch_size=6, timetable=Timetable(total_steps=1, steps_per_epoch=1))


def test_each_function_is_traced_once(one_replica):
    learner, data = make_learner(net, split_data(), one_replica), split_data()
    run(learner, data, 20, eval_every_steps=5, log_every_steps=3)
    update = learner.train_step.objectives[0]
    compiled = [update.loss_and_gradients, update.updated]
    functions = [learner._loops[1]._loop, learner._eval_loop, *compiled]
    assert [f.experimental_get_tracing_count() for f in functions] == [1, 1, 1, 1]


def test_strategies(one_replica):
    from trainers import make_strategy

    assert isinstance(make_strategy("cpu"), tf.distribute.OneDeviceStrategy)
    assert isinstance(make_strategy("auto"), tf.distribute.OneDeviceStrategy)
    for name, message in {
        "cpuu": "unknown strategy 'cpuu'. Accepted: auto, cpu, cpu:N, gpu, mirrored, multiworker, tpu",
        "cpu:0": "unknown strategy 'cpu:0'",
        "gpu": "strategy 'gpu' needs a GPU that TensorFlow sees. Found: none",
        "mirrored": "needs a GPU",
        "cpu:99": "strategy 'cpu:99' needs 99 logical devices. Found: 4, set up earlier",
    }.items():
        with pytest.raises(ValueError, match=message):
            make_strategy(name)


def test_a_host_needs_no_validation(one_replica):
    data = array_data(X, Y, num_classes=3, shuffle=True)
    learner = make_learner(net, data, one_replica)
    assert [e for e, _ in run(learner, data, 5)].count("evaluated") == 0
    assert learner.progress.best_weights == []

"""One step: right numbers, on any number of replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import array_data, assert_close, make_learner, train, weights
from keras import layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 22).astype(np.int32)
W = RNG.random(22).astype(np.float32)


def dense_net(**options) -> keras.Model:
    regularizer = keras.regularizers.L1L2(1e-3, 1e-2)
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu", kernel_regularizer=regularizer), layers.Dense(3)])


def numpy_sgd(kernels, biases, steps: int, batch: int, rate: float, l1: float, l2: float):
    """The dense net above, its loss and its gradient written out by hand, in float64."""
    (a, c), (b, d), losses = [k.astype(np.float64) for k in kernels], [k.astype(np.float64) for k in biases], []
    for step in range(steps):
        first = step * batch % 22
        rows = slice(first, min(first + batch, 22))
        x, y, w = X[rows].astype(np.float64), Y[rows], W[rows].astype(np.float64)
        hidden = x @ a + b
        active = np.maximum(hidden, 0)
        logits = active @ c + d
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        losses.append((-np.log(p[range(len(y)), y]) * w).sum() / w.sum() + l1 * np.abs(a).sum() + l2 * (a**2).sum())
        dlogits = (p - np.eye(3)[y]) * w[:, None] / w.sum()
        dhidden = (dlogits @ c.T) * (hidden > 0)
        gradients = x.T @ dhidden + l1 * np.sign(a) + 2 * l2 * a, dhidden.sum(0), active.T @ dlogits, dlogits.sum(0)
        a, b, c, d = (value - rate * g for value, g in zip((a, b, c, d), gradients, strict=True))
    return losses, [a, b, c, d]


@pytest.mark.parametrize("plan", ["graph", "xla"])
@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
def test_equals_numpy_by_hand(plan, replicas, request):
    """22 examples in batches of 8: the third batch is ragged, and its padding must count for nothing."""
    strategy, data = request.getfixturevalue(replicas), array_data(X, Y, W, num_classes=3)
    learner = make_learner(dense_net, data, strategy, plan=plan)
    before = weights(learner.model)
    wanted_losses, wanted = numpy_sgd(before[::2], before[1::2], steps=3, batch=8, rate=0.1, l1=1e-3, l2=1e-2)
    assert_close(train(learner, data, 3, 8), wanted_losses, 1e-6)
    assert_close(weights(learner.model), wanted, 1e-6)


OPTIONS = {
    "plain": dict(),
    "clipped": dict(optimizer=dict(name="sgd", learning_rate=0.5, global_clipnorm=0.1)),
    "clipped by variable": dict(optimizer=dict(name="sgd", learning_rate=0.5, clipnorm=0.05)),
    "clipped by value": dict(optimizer=dict(name="sgd", learning_rate=0.5, clipvalue=0.01)),
    "adamw": dict(optimizer=dict(name="adamw", learning_rate=0.01, weight_decay=0.1)),
    "averaged": dict(optimizer=dict(name="adam", learning_rate=0.01, use_ema=True, ema_momentum=0.9)),
    "accumulated": dict(accumulate=4),
    "class weights": dict(task=dict(name="classify", class_weights=[1.0, 2.0, 0.5], label_smoothing=0.1)),
}


@pytest.mark.parametrize(("name", "plan"), [*((name, "graph") for name in OPTIONS), ("plain", "xla"), ("accumulated", "xla")])
def test_one_replica_equals_two(name, plan, one_replica, two_replicas):
    """Over two epochs with a ragged last batch and weighted examples: losses, weights, average and evaluation."""
    data = array_data(X, Y, W, num_classes=3)
    hosts = [make_learner(dense_net, data, s, plan=plan, **OPTIONS[name]) for s in (one_replica, two_replicas)]
    one, two = (train(learner, data, 6, 8) for learner in hosts)
    assert_close(one, two, 1e-5)
    assert_close(weights(hosts[0].model), weights(hosts[1].model), 1e-5)
    assert_close(hosts[0].weights(), hosts[1].weights(), 1e-5)
    metrics = [learner.evaluate(data, "train", 8) for learner in hosts]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-5)


def test_accumulating_changes_nothing(one_replica):
    data = array_data(X, Y, W, num_classes=3)
    hosts = [make_learner(dense_net, data, one_replica, accumulate=pieces) for pieces in (1, 4)]
    whole, pieces = (train(learner, data, 6, 8) for learner in hosts)
    assert_close(whole, pieces, 1e-6)
    assert_close(weights(hosts[0].model), weights(hosts[1].model), 1e-6)


def norm_net() -> keras.Model:
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8), layers.BatchNormalization(momentum=0.5), layers.ReLU(), layers.Dense(3)]
    )


def test_moving_statistics_are_the_mean_over_replicas(two_replicas):
    """Batch norm's rule: each replica normalises its own part, and what is kept is the mean of what they found."""
    x, y = X[:16], Y[:16]
    learner = make_learner(norm_net, array_data(x, y, num_classes=3), two_replicas)
    kernel, bias = weights(learner.model)[:2]
    train(learner, array_data(x, y, num_classes=3), 1, 16)
    hidden = [part @ kernel + bias for part in (x[:8], x[8:])]
    mean, variance = (np.mean([f(part, axis=0) for part in hidden], axis=0) for f in (np.mean, np.var))
    found = {v.path.split("/")[-1]: keras.ops.convert_to_numpy(v) for v in learner.model.non_trainable_variables}
    assert_close(found["moving_mean"], 0.5 * mean, 1e-6)
    assert_close(found["moving_variance"], 0.5 + 0.5 * variance, 1e-6)


def test_statistics_go_through_pieces_one_after_the_other(one_replica):
    x, y = X[:16], Y[:16]
    learner = make_learner(norm_net, array_data(x, y, num_classes=3), one_replica, accumulate=2)
    kernel, bias = weights(learner.model)[:2]
    train(learner, array_data(x, y, num_classes=3), 1, 16)
    first, second = (np.mean(part @ kernel + bias, axis=0) for part in (x[:8], x[8:]))
    found = next(keras.ops.convert_to_numpy(v) for v in learner.model.non_trainable_variables if "moving_mean" in v.path)
    assert_close(found, 0.25 * first + 0.5 * second, 1e-6)


def test_frozen_variables_are_left_alone(one_replica):
    def build():
        model = dense_net()
        model.layers[0].trainable = False
        return model

    data = array_data(X, Y, num_classes=3)
    learner = make_learner(build, data, one_replica)
    before = weights(learner.model)
    train(learner, data, 2, 8)
    after = weights(learner.model)
    assert all(np.array_equal(a, b) for a, b in zip(before[:2], after[:2], strict=True))
    assert not np.array_equal(before[2], after[2])


def dropout_net() -> keras.Model:
    return keras.Sequential([keras.Input((6,)), layers.Dropout(0.5), layers.Dense(64), layers.Dropout(0.5), layers.Dense(3)])


def test_dropout_is_a_function_of_seed_step_and_replica(one_replica, two_replicas):
    def losses(strategy, seed=0, start=0):
        data = array_data(np.tile(X[:1], (16, 1)), np.zeros(16, np.int32), num_classes=3)
        learner = make_learner(dropout_net, data, strategy, optimizer=dict(name="sgd", learning_rate=1e-9), seed=seed)
        learner.progress.step = start
        return train(learner, data, 3, 16)

    found = losses(one_replica)
    assert found == losses(one_replica)
    assert len(set(found)) == 3, "each step draws its own masks"
    assert losses(one_replica, start=1)[0] == pytest.approx(found[1], abs=1e-7), "a step draws the same wherever one starts"
    assert losses(one_replica, seed=1) != found
    assert losses(two_replicas) == losses(two_replicas)


def test_replicas_and_layers_draw_different_masks(two_replicas):
    """Equal rows on both replicas, two dropout layers of one shape, two steps: eight masks, all different."""

    def build():
        inputs = keras.Input((100,))
        outputs = layers.Concatenate()([layers.Dropout(0.5)(inputs), layers.Dropout(0.5)(inputs)])
        return keras.Model(inputs, layers.Dense(3)(outputs))

    data = array_data(np.ones((2, 100), np.float32), np.zeros(2, np.int32), num_classes=3)
    learner = make_learner(build, data, two_replicas)
    masks = []

    def dropped(values, batch, denominators, seeds, noise_seed):
        with learner.state.scope(values, seeds):
            dropouts = [layer for layer in learner.model.layers if isinstance(layer, layers.Dropout)]
            return {layer.name: layer(batch["x"], training=True) for layer in dropouts}, [], {}

    update = learner.train_step.objectives[0]
    update.loss_and_gradients = dropped  # gets the seeds that the step gives

    def masks_of(step, batch):
        return update._computed(learner.state.read(), batch, {}, step, tf.distribute.get_replica_context())[0]

    for step in (0, 1):
        batch = next(iter(two_replicas.experimental_distribute_dataset(data.batches("train", 2, training=False))))
        found = two_replicas.run(masks_of, args=(tf.constant(step, tf.int64), batch))
        masks += [
            tuple(part.numpy()[0] > 0) for output in found.values() for part in two_replicas.experimental_local_results(output)
        ]
    assert len(masks) == len(set(masks)) == 8


@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
def test_float16_scales_the_loss_and_skips_what_overflows(replicas, request):
    strategy, data = request.getfixturevalue(replicas), array_data(X, Y, num_classes=3)

    def build():
        return keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu", dtype="mixed_float16"), layers.Dense(3)])

    learner = make_learner(build, data, strategy)
    scale = learner.state.variables["loss_scale"][0]
    assert train(learner, data, 2, 8)[0] == pytest.approx(train(make_learner(build, data, strategy), data, 1, 8)[0])
    scale.assign(2.0**40)
    before = weights(learner.model)
    train(learner, data, 1, 8)
    assert_close(weights(learner.model), before, 0.0)
    assert float(keras.ops.convert_to_numpy(scale)) == 2.0**39


def test_float16_follows_float32(one_replica):
    data = array_data(X, Y, num_classes=3)

    def build(dtype):
        return lambda: keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu", dtype=dtype), layers.Dense(3)])

    half, full = (train(make_learner(build(dtype), data, one_replica), data, 6, 8) for dtype in ("mixed_float16", "float32"))
    assert_close(half, full, 5e-3)


def test_a_loss_that_is_not_finite_changes_nothing(one_replica, caplog):
    """Batch 2 holds an infinite x: skipped, counted, named; the next batches train on. A third in a row stops."""
    x = X.copy()
    x[9] = np.inf
    data = array_data(x, Y, num_classes=3)
    learner = make_learner(norm_net, data, one_replica)
    train(learner, data, 1, 8)
    before = weights(learner.model)
    train(learner, data, 1, 8)
    assert_close(weights(learner.model), before, 0.0)
    assert (learner.progress.bad_in_a_row, learner.metrics["skipped"]) == (1, 1)
    assert "step 2: loss or gradient is not finite; skipped. Its examples: [" in caplog.text
    train(learner, data, 1, 8)
    assert learner.progress.bad_in_a_row == 0
    assert not np.array_equal(weights(learner.model)[0], before[0])
    everywhere = array_data(np.full_like(X, np.nan), Y, num_classes=3)
    with pytest.raises(FloatingPointError, match="3 steps in a row, up to step 6, had a loss or gradient that is not finite"):
        train(learner, everywhere, 20, 8)


def test_a_task_may_give_the_batch_another_form(one_replica):
    """prepare stands in the compiled step: doubling x there equals doubling it beforehand."""
    data, doubled = array_data(X, Y, num_classes=3), array_data(2 * X, Y, num_classes=3)
    learner = make_learner(dense_net, data, one_replica)
    learner.task.prepare = lambda batch, noise, training: {**batch, "x": 2 * batch["x"]}
    assert_close(train(learner, data, 3, 8), train(make_learner(dense_net, doubled, one_replica), doubled, 3, 8), 1e-6)


def test_four_replicas_equal_one(tmp_path):
    """In a process of its own: two MirroredStrategy objects in one can collide."""
    import subprocess
    import sys

    program = """
import sys; sys.path.insert(0, "tests")
import conftest, tensorflow as tf
from test_step import *
from trainers import make_strategy
data = array_data(X, Y, W, num_classes=3)
found = []
for strategy in (tf.distribute.OneDeviceStrategy("CPU:0"), make_strategy("cpu:4")):
    learner = make_learner(dense_net, data, strategy, plan="xla", optimizer=OPTIONS["clipped"]["optimizer"])
    found.append((train(learner, data, 200, 8), weights(learner.model)))
assert_close(found[0][0], found[1][0], 1e-5)
assert_close(found[0][1], found[1][1], 1e-5)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]

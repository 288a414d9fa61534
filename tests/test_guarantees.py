"""What holds for a task of any kind: 1 replica = 2 = accumulation = each plan; resumed to the bit; nothing lost at a NaN."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_close, train, weights
from small_tasks import TASKS, Gan

from trainers.data.spec import Spec
from trainers.engine.learner import Learner
from trainers.engine.optimizers import optimizer_rules
from trainers.runs.checkpoint import restore, save
from trainers.speed.plan import make_plan, supported_plans

ROWS, BATCH = 18, 12  # the second batch is half empty
CLIPPED = dict(name="sgd", learning_rate=0.3, momentum=0.9, global_clipnorm=0.5, use_ema=True, ema_momentum=0.5)


class Examples:
    """Data of the rows of one batch, in order, endlessly; the last batch of an epoch is filled with rows that weigh nothing."""

    def __init__(self, batch: dict) -> None:
        size = len(tf.nest.flatten(batch["x"])[0])
        self._batch, self._size = batch, size
        shapes = tf.nest.map_structure(lambda a: a.shape[1:], batch["x"])
        self.spec = Spec(input_shape=shapes, examples={"train": size})

    def steps(self, split, batch_size):
        return -(-self._size // batch_size)

    def batches(self, split, batch_size, *, training, seed=0, start_step=0, share=(0, 1), block=None):
        rows = np.arange(self.steps(split, batch_size) * batch_size)
        batch = tf.nest.map_structure(lambda a: a[rows % self._size], self._batch)
        real = (rows < self._size).astype(np.float32)
        batch["w"] = tf.nest.map_structure(lambda a: a * real.reshape(-1, *[1] * (a.ndim - 1)), batch["w"])
        dataset = tf.data.Dataset.from_tensor_slices(batch).batch(batch_size, drop_remainder=True)
        dataset = dataset.repeat().skip(start_step) if training else dataset
        return dataset.batch(block, drop_remainder=True) if block else dataset

    def can_be_resident(self, split):
        return False

    def examples_of_batch(self, *args, **options):
        return None


def made(name: str, strategy, plan: str = "graph", optimizer=CLIPPED, **options) -> tuple[Learner, Examples]:
    keras.utils.set_random_seed(1)
    with strategy.scope():
        task, model = TASKS[name](), TASKS[name].build()
    data = Examples(task.example_batch(model, np.random.default_rng(0), ROWS))
    chosen = make_plan(plan, model, strategy)
    return Learner(model, task, optimizer_rules(optimizer, total_steps=10), strategy, chosen, seed=3, **options), data


def trained(learner: Learner, data, steps: int) -> list:
    train(learner, data, steps, BATCH)
    return [*weights(learner.model), *learner.weights()]


@pytest.mark.parametrize("name", TASKS)
def test_replicas_accumulation_and_xla_change_nothing(name, one_replica, two_replicas):
    learner, data = made(name, one_replica)
    wanted, metrics = trained(learner, data, 3), learner.evaluate(data, "train", BATCH)
    assert all(np.isfinite(list(metrics.values())))
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(wanted, weights(made(name, one_replica)[0].model), strict=False))
    for strategy, plan, accumulate in ((two_replicas, "graph", 1), (one_replica, "xla", 2)):
        other, _ = made(name, strategy, plan, accumulate=accumulate)
        assert_close(trained(other, data, 3), wanted, 1e-5)
        if strategy is two_replicas:
            assert other.evaluate(data, "train", BATCH) == pytest.approx(metrics, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_every_plan_gives_the_same_numbers(name, one_replica):
    """`xla` and the graph are compared above; CTC and convolutions included, whatever the plans cost."""
    learner, data = made(name, one_replica)
    wanted = trained(learner, data, 3)
    for plan in supported_plans(learner.model, one_replica, resident=False):
        assert_close(trained(made(name, one_replica, plan)[0], data, 3), wanted, 1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_resumed_to_the_bit(name, one_replica, tmp_path):
    first, data = made(name, one_replica)
    trained(first, data, 2)
    checkpoint = save(first, tmp_path)
    wanted = trained(first, data, 2)
    second, _ = made(name, one_replica)
    restore(second, checkpoint)
    assert_close(trained(second, data, 2), wanted, 0.0)


def test_a_bad_update_skips_its_own_objective_alone(one_replica):
    learner, data = made("Gan", one_replica)
    generator, discriminator = (weights(net) for net in (learner.model.generator, learner.model.discriminator))
    learner.task.objectives[1].losses = lambda batch, outputs: outputs[:, 0] * np.nan
    try:
        train(learner, data, 1, BATCH)
    finally:
        del learner.task.objectives[1].losses
    assert_close(weights(learner.model.generator), generator, 0.0)
    assert all(np.any(a != b) for a, b in zip(weights(learner.model.discriminator), discriminator, strict=True))
    assert (learner.progress.bad_in_a_row, learner.metrics["skipped"]) == (1, 1)


def test_loss_scales_are_an_objectives_own(one_replica):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        learner, data = made("Gan", one_replica)
    finally:
        keras.config.set_dtype_policy("float32")
    scales = learner.state.variables["loss_scale"]
    assert len(scales) == 4
    scales[2].assign(2.0**40)  # the generator's
    generator = weights(learner.model.generator)
    train(learner, data, 1, BATCH)
    assert_close(weights(learner.model.generator), generator, 0.0)
    assert [float(keras.ops.convert_to_numpy(scales[i])) for i in (0, 2)] == [2.0**15, 2.0**39]


def test_optimizers_by_pattern_freeze_and_differ(one_replica):
    rules = [("generator/dense/", None), ("generator", dict(name="sgd", learning_rate=0.1)), ("", dict(name="adam"))]
    keras.backend.clear_session()
    learner, data = made("Gan", one_replica, optimizer=rules)
    names = [[type(group.optimizer).__name__ for group in part.groups] for part in learner.state.parts]
    assert names == [["Adam"], ["SGD"]]
    before = weights(learner.model.generator)
    train(learner, data, 1, BATCH)
    changed = [bool(np.any(a != b)) for a, b in zip(before, weights(learner.model.generator), strict=True)]
    assert changed == [False, False, True, True]
    for wrong, message in (
        ([("nothing", "sgd"), ("", "sgd")], "'nothing' matches no variable"),
        ([("gen", "sgd")], "no optimizer"),
    ):
        with pytest.raises(ValueError, match=message):
            made("Gan", one_replica, optimizer=wrong)


def test_a_follower_follows(one_replica):
    learner, data = made("Byol", one_replica, optimizer=dict(name="sgd", learning_rate=0.5))
    target = weights(learner.model.target)
    for _ in range(2):
        train(learner, data, 1, BATCH)
        target = [0.9 * old + 0.1 * lead for old, lead in zip(target, weights(learner.model.online), strict=True)]
        assert_close(weights(learner.model.target), target, 1e-6)


def test_losses_of_another_shape_raise(one_replica):
    """They would be broadcast to [B, B]."""
    learner, data = made("MultiLabel", one_replica)
    learner.task.losses = lambda batch, outputs: outputs[:, :1]
    with pytest.raises(ValueError, match=r"losses must have the shape of w, \(12,\). Received: \(12, 1\)"):
        train(learner, data, 1, BATCH)


def test_terms_have_means_of_their_own(one_replica):
    """Detection by hand: each term over its own weights, and the loss is their sum."""
    learner, data = made("Detection", one_replica)
    found = learner.evaluate(data, "train", BATCH)
    batch = learner.task.example_batch(learner.model, np.random.default_rng(0), ROWS)
    losses = learner.task.losses(batch, learner.model(batch["x"]))
    means = {k: float(np.sum(losses[k] * batch["w"][k]) / np.sum(batch["w"][k])) for k in ("kind", "box")}
    assert found == pytest.approx({"loss/kind": means["kind"], "loss/box": means["box"], "loss": sum(means.values())}, abs=1e-5)


def test_contrast_by_hand(one_replica, two_replicas):
    """The gradient over two replicas of two pieces each is that of the whole batch, written out plainly."""
    learner, data = made("Clip", two_replicas, optimizer=dict(name="sgd", learning_rate=1.0), accumulate=2)
    before = learner.model.get_weights()
    batch = next(iter(data.batches("train", BATCH, training=True)))
    with tf.GradientTape() as tape:
        outputs = learner.task.forward(plain := _copy(learner), batch, training=True)
        loss = tf.reduce_sum(learner.task.losses(batch, outputs) * batch["w"]) / tf.reduce_sum(batch["w"])
    wanted = [w - g for w, g in zip(before, tape.gradient(loss, plain.trainable_variables), strict=True)]
    train(learner, data, 1, BATCH)
    assert_close(learner.model.get_weights(), wanted, 1e-5)


def _copy(learner: Learner) -> keras.Model:
    model = TASKS["Clip"].build()
    model.set_weights(learner.model.get_weights())
    return model


def test_a_metric_without_a_direction_cannot_be_monitored(one_replica):
    class Silent(Gan):
        directions = {"d/loss": "min"}

    TASKS["Silent"] = Silent
    try:
        learner, data = made("Silent", one_replica)
    finally:
        del TASKS["Silent"]
    with pytest.raises(ValueError, match=r"'g/loss' cannot be monitored: .* Accepted: d/loss"):
        learner.check_monitor(data, BATCH, "g/loss")

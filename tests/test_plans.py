"""Plans: the same numbers however steps are compiled and grouped, the rule, the measurement, and what is told of speed."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import array_data, make_learner, train
from keras import layers

from trainers import Trainer
from trainers.engine.learner import Learner
from trainers.engine.progress import Timetable
from trainers.speed.device import gains_from_bfloat16
from trainers.speed.measure import measure_plan
from trainers.speed.plan import PLANS, make_plan, supported_plans


def dense_net(*parts, shape=(6,)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *(parts or [layers.Dense(16, "relu"), layers.Dense(3)])])


@pytest.mark.parametrize("plan", PLANS[1:])
def test_plans_give_the_same_numbers(one_replica, plan):
    """Losses of 30 steps of two epochs and a part, with weights of examples, against the graph's."""
    rng = np.random.default_rng(0)
    data = array_data(
        rng.normal(size=(100, 6)).astype(np.float32), rng.integers(0, 3, 100).astype(np.int32), rng.uniform(0.5, 2, 100),
        num_classes=3, shuffle=True,
    )  # fmt: skip
    options = dict(optimizer=dict(name="adam", learning_rate=0.01), accumulate=2)
    losses = [train(make_learner(dense_net, data, one_replica, plan=p, **options), data, 30, 8) for p in ("graph", plan)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("plan", ["xla_loop", "xla_resident"])
def test_bits_do_not_depend_on_how_many_steps_a_program_makes(one_replica, plan):
    """One step a call, and all in one; dropout and batch norm; a block ends in between (300 steps, 256 in a block)."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)).astype(np.float32), rng.integers(0, 3, 40).astype(np.int32)
    data, hosts = array_data(x, y, num_classes=3, shuffle=True), []

    def build():
        return dense_net(layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(3))

    for every in (None, 7):
        hosts.append(make_learner(build, data, one_replica, plan=plan, optimizer=dict(name="adam")))
        table = Timetable(total_steps=300, steps_per_epoch=5, log_every_steps=every)
        hosts[-1].fit(data, batch_size=8, timetable=table)
    for a, b in zip(*(learner.weights() for learner in hosts), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("plan", ["graph", "xla_resident", "xla_loop"])
def test_bad_steps_are_noted_by_every_plan(one_replica, plan):
    """A NaN in one example: each epoch has one bad step, named by its number, and three in a row stop the run."""
    x, y = np.ones((40, 6), np.float32), np.zeros(40, np.int32)
    x[5] = np.nan
    data = array_data(x, y, num_classes=3, shuffle=True)
    learner, seen = make_learner(dense_net, data, one_replica, plan=plan), []

    def note(event, learner):
        if event == "metrics":
            seen.extend(learner.progress.bad_steps)

    learner.fit(data, batch_size=8, timetable=Timetable(total_steps=10, steps_per_epoch=5, log_every_steps=5), hooks=[note])
    wanted = [s for s in range(1, 11) if 5 in learner.data.examples_of_batch("train", 8, seed=0, step=s - 1)]
    assert seen == wanted
    assert len(wanted) == 2
    data.tensors("train")["x"] = tf.fill((40, 6), np.float32(np.nan))
    with pytest.raises(FloatingPointError, match="3 steps in a row, up to step 13"):
        learner.fit(data, batch_size=8, timetable=Timetable(total_steps=30, steps_per_epoch=5))


def test_the_plan_follows_a_rule(one_replica, two_replicas):
    def plan(*parts, shape=(8, 8), strategy=one_replica, resident=True):
        with strategy.scope():
            model = dense_net(*parts, layers.Flatten(), layers.Dense(2), shape=shape)
        return make_plan("auto", model, strategy, resident=resident).name

    assert (plan(), plan(resident=False), plan(strategy=two_replicas)) == ("xla_resident", "xla_loop", "xla")
    assert (plan(layers.Conv1D(2, 3)), plan(layers.LSTM(3))) == ("graph_split", "xla_split")
    assert (plan(layers.Conv1D(2, 3), strategy=two_replicas), plan(layers.LSTM(3), strategy=two_replicas)) == ("graph", "xla")
    assert plan(layers.LSTM(3, dtype="mixed_bfloat16")) == "graph"
    norm = layers.BatchNormalization
    assert (plan(layers.Conv1D(2, 3), norm()), plan(layers.LSTM(3), norm())) == ("graph",) * 2, "statistics of the batch"
    x = keras.Input((8, 8))
    attention = keras.Model(x, layers.MultiHeadAttention(2, 4)(x, x))
    assert make_plan("auto", attention, one_replica).name == "xla_split"
    dropout = keras.Model(x, layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x))
    assert make_plan("auto", dropout, one_replica).name == "xla_split"
    assert (plan(layers.Dropout(0.5)), plan(layers.SpatialDropout1D(0.5))) == ("xla_resident", "graph")
    assert make_plan("graph", attention, one_replica).name == "graph"
    assert make_plan("auto", attention, one_replica, before="graph").name == "graph"
    with pytest.raises(ValueError, match="unknown plan 'fast'. Accepted: auto, measure, graph"):
        make_plan("fast", attention, one_replica)
    with pytest.raises(
        ValueError,
        match="'xla_split' cannot be used here: it needs a strategy of one replica. Accepted here: auto, measure, graph, xla",
    ):
        make_plan("xla_split", attention, two_replicas)
    with pytest.raises(ValueError, match="'xla_resident' cannot be used here: the data is streamed or augmented"):
        make_plan("xla_resident", attention, one_replica)


class Centred(layers.Layer):
    """Looks across the batch."""

    def call(self, x):
        return x - keras.ops.mean(x, axis=0)


def test_models_that_look_across_the_batch_are_not_split(one_replica):
    x = keras.Input((8, 8))
    across = [
        Centred()(x),
        x - keras.ops.mean(x, axis=0),
        keras.ops.roll(x, 1, axis=0),
        layers.BatchNormalization()(x),
        layers.Lambda(lambda t: t - keras.ops.mean(t, axis=0))(x),
    ]
    for outputs in across:
        assert "graph_split" not in supported_plans(keras.Model(x, layers.Conv1D(2, 3)(outputs)), one_replica, resident=True)
    apart = keras.Model(x, layers.Conv1D(2, 3)(x - keras.ops.mean(x, axis=1, keepdims=True)))
    assert "graph_split" in supported_plans(apart, one_replica, resident=True)


def test_a_measured_plan_changes_nothing_and_is_kept(one_replica, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rng = np.random.default_rng(0)
    data = array_data(
        rng.normal(size=(64, 6)).astype(np.float32), rng.integers(0, 3, 64).astype(np.int32), num_classes=3, shuffle=True
    )
    learner = make_learner(dense_net, data, one_replica, plan="measure", optimizer=dict(name="adam"))
    before = learner.weights()
    measure_plan(learner, data, batch_size=8, total_steps=10**9)
    assert learner.plan.name in PLANS
    assert learner.plan.reason.startswith("measured: ")
    assert learner.plan.reason.count("steps/s") >= 2
    for a, b in zip(before, learner.weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not any(
        v.numpy().any() for v in learner.state.variables["optimizer"] if "momentum" in v.path or "velocity" in v.path
    )
    assert len(train(learner, data, 3, 8)) == 3
    again = make_learner(dense_net, data, one_replica, plan="measure", optimizer=dict(name="adam"))
    measure_plan(again, data, batch_size=8, total_steps=10**9)
    assert (again.plan.name, again.plan.reason[:16]) == (learner.plan.name, "measured before:")
    short = make_learner(dense_net, data, one_replica, plan="measure", optimizer=dict(name="sgd"))
    measure_plan(short, data, batch_size=8, total_steps=1)
    assert "the run is too short to try the others" in short.plan.reason


def test_a_plan_that_cannot_be_compiled_is_passed_over(one_replica, tmp_path, monkeypatch):
    """As with max pooling under op determinism: XLA refuses when it compiles."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    use = Learner.use

    def refuse(learner, plan):
        if plan.name == "xla":
            raise tf.errors.UnimplementedError(None, None, "no deterministic implementation")
        use(learner, plan)

    monkeypatch.setattr(Learner, "use", refuse)
    data = array_data(np.ones((64, 6), np.float32), np.zeros(64, np.int32), num_classes=3, shuffle=True)
    learner = make_learner(dense_net, data, one_replica, plan="measure")
    measure_plan(learner, data, batch_size=8, total_steps=10**9)
    assert "xla cannot be compiled here" in learner.plan.reason
    assert learner.plan.name != "xla"
    assert len(train(learner, data, 2, 8)) == 2


def test_what_the_device_could_do(one_replica, tmp_path):
    data = array_data(np.ones((8, 6), np.float32), np.zeros(8, np.int32), num_classes=3)
    learner = make_learner(dense_net, data, one_replica)
    assert learner.share_of_peak is None
    learner.peak_operations, learner.operations_per_example = 1e6, 50.0
    learner.progress.examples, learner.progress.seconds = 1000, 0.5
    assert learner.share_of_peak == pytest.approx(0.1)
    amx, plain = tmp_path / "amx", tmp_path / "plain"
    amx.write_text("flags : fpu avx512_bf16 amx_bf16")
    plain.write_text("flags : fpu avx2")
    image = dense_net(layers.Conv1D(2, 3), shape=(8, 8))
    assert gains_from_bfloat16(image, one_replica, amx)
    assert not gains_from_bfloat16(image, one_replica, plain)
    assert not gains_from_bfloat16(dense_net(), one_replica, amx)
    mixed = dense_net(layers.Conv1D(2, 3, dtype="mixed_bfloat16"), shape=(8, 8))
    assert not gains_from_bfloat16(mixed, one_replica, amx)


def test_waiting_for_input_is_told(one_replica, caplog):
    """A dataset that takes 20 ms a batch, under each kind of loop."""

    def slow(x):
        time.sleep(0.02)
        return x

    def build(x, y):
        x = tf.ensure_shape(tf.numpy_function(slow, [x], tf.float32), (8, 6))
        return x, y

    x, y = np.ones((2000, 6), np.float32), np.zeros(2000, np.int32)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8, drop_remainder=True).map(build)
    for plan in ("graph", "xla_loop"):
        trainer = Trainer(dense_net(), strategy=one_replica, plan=plan, optimizer="sgd")
        shares = []
        with caplog.at_level("WARNING", "trainers"):
            trainer.fit(
                dataset,
                steps=250,
                verbose=True,
                hooks=[lambda event, learner, shares=shares: shares.append(learner.progress.share_waited)],
            )
        assert shares[-1] > 0.5, plan
        assert "of the time went into waiting for input: give the dataset .cache()" in caplog.text


def test_resident_tensors_are_on_the_device(monkeypatch):
    """On a CPU the host's own; elsewhere (here a second logical device stands for it) copies in its memory."""
    from trainers.speed import device

    with tf.device("CPU:0"):
        tensors = {"x": tf.ones((3, 2)), "y": {"class": tf.range(3)}}
    assert device.on_device(tensors, tf.distribute.OneDeviceStrategy("CPU:0")) is tensors
    monkeypatch.setattr(device, "on_cpu", lambda strategy: False)
    found = device.on_device(tensors, tf.distribute.OneDeviceStrategy("CPU:1"))
    assert found["x"].device.endswith("CPU:1")
    assert found["y"]["class"].device.endswith("CPU:1")
    tf.nest.map_structure(np.testing.assert_array_equal, found, tensors)
    if tf.config.list_physical_devices("GPU"):
        monkeypatch.undo()
        assert device.on_device(tensors, tf.distribute.OneDeviceStrategy("GPU:0"))["x"].device.endswith("GPU:0")

"""Keras optimizers as pure functions, and schedules."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.engine.optimizers import OPTIMIZERS, SCHEDULES, Schedule, make_optimizer, make_pure

RNG = np.random.default_rng(0)
SHAPES = [(4, 3), (3,), (2, 2, 3)]
START = [RNG.normal(size=shape).astype(np.float32) for shape in SHAPES]
GRADIENTS = [[RNG.normal(size=shape).astype(np.float32) for shape in SHAPES] for _ in range(4)]


def variables() -> list[keras.Variable]:
    names = ["kernel", "bias", "gamma"]
    return [keras.Variable(value, name=name) for value, name in zip(START, names, strict=True)]


def stateless(optimizer, weights) -> list[np.ndarray]:
    """The weights after updates under XLA, no variable touched until the end."""
    optimizer.build(weights)
    update = tf.function(optimizer.stateless_apply, jit_compile=True)
    state, values = ([tf.convert_to_tensor(v.value) for v in of] for of in (optimizer.variables, weights))
    for gradients in GRADIENTS:
        values, state = update(state, [tf.constant(g) for g in gradients], values)
    return [v.numpy() for v in values]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.keys() - {"schedulefreeadamw"}))
def test_a_pure_update_is_what_keras_applies(name):
    options = {"weight_decay": 0.01} if name not in ("lamb",) else {}
    theirs, weights = OPTIMIZERS[name](**options), variables()
    theirs.build(weights)
    for gradients in GRADIENTS:
        theirs.apply([tf.constant(g) for g in gradients])
    ours = make_optimizer(name, total_steps=10, no_decay=(), **options)
    for found, wanted in zip(stateless(ours, variables()), weights, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=2e-6)


def test_schedule_free_adamw_is_what_the_paper_says():
    """Keras 3.15 on TensorFlow is not: its `momentum_old` is the variable itself, which has changed when it is read."""
    y, rate, beta_1, beta_2 = [value.astype(np.float64) for value in START], 0.0025, 0.9, 0.999
    z, x, v = [value.copy() for value in y], [value.copy() for value in y], [0.0 * value for value in y]
    for step, gradients in enumerate(GRADIENTS, start=1):
        for i, g in enumerate(gradients):
            v[i] = beta_2 * v[i] + (1 - beta_2) * g.astype(np.float64) ** 2
            z[i] = z[i] - rate * g / (np.sqrt(v[i] / (1 - beta_2**step)) + 1e-8)
            x[i] = (1 - 1 / step) * x[i] + z[i] / step
            y[i] = (1 - beta_1) * z[i] + beta_1 * x[i]
    found = stateless(make_optimizer("schedulefreeadamw", total_steps=10, learning_rate=rate), variables())
    for a, b in zip(found, y, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


def test_a_made_optimizer_becomes_pure():
    theirs = keras.optimizers.Adam(0.02, global_clipnorm=0.5)
    wanted = stateless(make_optimizer("adam", total_steps=1, learning_rate=0.02, global_clipnorm=0.5), variables())
    for a, b in zip(stateless(make_pure(theirs), variables()), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weight_decay_spares_biases_and_norms():
    decayed, plain = (stateless(make_optimizer("adamw", total_steps=1, weight_decay=d), variables()) for d in (0.5, 0.0))
    assert [np.array_equal(a, b) for a, b in zip(decayed, plain, strict=True)] == [False, True, True]
    all_of_them = stateless(make_optimizer("adamw", total_steps=1, weight_decay=0.5, no_decay=()), variables())
    assert [np.array_equal(a, b) for a, b in zip(all_of_them, plain, strict=True)] == [False, False, False]
    by_name = stateless(make_optimizer("adamw", total_steps=1, weight_decay=0.5, no_decay=("ker.*",)), variables())
    assert [np.array_equal(a, b) for a, b in zip(by_name, plain, strict=True)] == [True, False, False]


def rates(schedule, steps=range(101)) -> np.ndarray:
    return np.array([float(schedule(step)) for step in steps])


def test_schedules_equal_those_of_keras():
    theirs = keras.optimizers.schedules
    pairs = {
        "cosine": theirs.CosineDecay(0.4, 100),
        "linear": theirs.PolynomialDecay(0.4, 100, 0.0, power=1.0),
        "exponential": theirs.ExponentialDecay(0.4, 100, 0.01),
        "step": theirs.PiecewiseConstantDecay([49, 74], [0.4, 0.04, 0.004]),
    }
    for name, wanted in pairs.items():
        np.testing.assert_allclose(rates(Schedule(0.4, 100, 0, name)), rates(wanted), rtol=1e-5, atol=1e-7, err_msg=name)
    assert set(rates(Schedule(0.4, 100, 0, "constant"))) == {np.float32(0.4)}
    np.testing.assert_allclose(rates(Schedule(0.4, 100, 0, "cosine", final=0.25))[-1], 0.1)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warm_up_climbs_to_the_peak(name):
    found = rates(Schedule(0.4, 100, 20, name))
    np.testing.assert_allclose(found[:20], 0.4 * np.arange(1, 21) / 20, rtol=1e-5)
    assert found[20] == pytest.approx(0.4)
    assert np.all(np.diff(found[20:]) <= 0)


def test_a_warm_up_in_epochs():
    optimizer = make_optimizer("sgd", total_steps=100, steps_per_epoch=10, schedule={"name": "linear", "warmup_epochs": 1.5})
    assert optimizer._learning_rate.warmup_steps == 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "adamm"}, "unknown optimizer 'adamm'. Accepted: adadelta"),
        ({"name": "adam", "lr": 1}, r"unexpected keyword argument 'lr'. It is adam\(learning_rate=0.001"),
        ({"name": "adam", "gradient_accumulation_steps": 2}, "is not accepted: use the config's `accumulate`"),
        ({"name": "adam", "schedule": {"name": "cos"}}, "unknown schedule 'cos'. Accepted: constant, cosine"),
        ({"name": "adam", "schedule": {"name": "cosine", "end": 1}}, r"'end'. It is cosine\(progress, \*, final=0.0\)"),
        ({"name": "adam", "learning_rate": "fast"}, "could not convert string to float: 'fast'"),
        ({"name": "adam", "learning_rate": -1.0}, "learning_rate must be positive. Received: -1.0"),
    ],
)
def test_bad_arguments_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(**arguments, total_steps=10)

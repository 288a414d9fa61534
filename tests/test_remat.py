"""Rematerialization: the same gradients in less memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_close

import modelzoo
from trainers.data.spec import Spec
from trainers.engine.optimizers import optimizer_rules
from trainers.engine.state import TrainState
from trainers.engine.step import TrainStep
from trainers.speed.plan import Plan
from trainers.speed.remat import rematerialize
from trainers.tasks import Task, make_task

ROOT = Path(__file__).parent.parent
TOKENS = dict(name="transformer", input_shape=(6,), vocab_size=12, embed_dim=8, depth=2, num_heads=2)
MODELS = {
    "attention and dropout": dict(TOKENS, dropout=0.3),
    "bfloat16": dict(TOKENS, dropout=0.0, dtype="mixed_bfloat16"),
    "penalties": dict(name="mlp", input_shape=(6,), widths=(8, 8), l2=0.01),
    "statistics": dict(
        name="cnn",
        input_shape=(8, 8, 1),
        filters=(4,),
        pools=(2,),
        pooling="average",
        widths=(8,),
        batch_norm=True,
        dropout=0.3,
    ),
    "recurrence": dict(name="attention_lstm", input_shape=(6,), units=(4,), vocab_size=12, embed_dim=8),
}


def gradients(arguments: dict, plan: str = "graph", *, remat: bool, batch_size: int = 4) -> list[np.ndarray]:
    """Of the summed loss of a batch, then the new statistics."""
    keras.utils.set_random_seed(0)
    model = modelzoo.create_model(arguments["name"], num_classes=3, **{k: v for k, v in arguments.items() if k != "name"})
    if remat:
        rematerialize(model)
    state = TrainState(model, optimizer_rules({"name": "sgd", "learning_rate": 0.1}), 0, [Task()])
    spec = Spec(input_shape=arguments["input_shape"], examples={"train": batch_size}, num_classes=3)
    step = TrainStep(state, make_task("classify", spec=spec), Plan(plan, "asked for"))
    x = np.random.default_rng(0).integers(1, 12, (batch_size, *arguments["input_shape"]))
    x = tf.constant(x, tf.int32 if "vocab_size" in arguments else tf.float32)
    batch = {"x": x, "y": tf.range(batch_size) % 3, "w": tf.ones(batch_size)}
    batch["row"] = tf.range(batch_size)
    seeds = state.draw_seeds(tf.constant(0, tf.int64)), state.noise_seed(0)
    _, found, statistics = step.objectives[0].loss_and_gradients(state.read(), batch, {}, *seeds)
    return [value.numpy().astype(np.float32) for value in [*found, *statistics.values()]]


@pytest.mark.parametrize("plan", ["graph", "xla"])
@pytest.mark.parametrize("name", MODELS)
def test_the_gradients_are_the_same(name, plan):
    with_remat, without = (gradients(MODELS[name], plan, remat=remat) for remat in (True, False))
    assert all(np.any(gradient) for gradient in without[:2])
    scale = max(np.abs(gradient).max() for gradient in without)
    assert_close(with_remat, without, scale * (1e-2 if name == "bfloat16" else 1e-5))


def test_a_layer_called_twice_drops_other_units():
    """The same ones as without rematerialization, in every call, and again in the backward pass."""

    def dropped(remat: bool) -> list[np.ndarray]:
        keras.utils.set_random_seed(0)
        inputs, dropout = keras.Input((64,)), keras.layers.Dropout(0.5)
        model = keras.Model(inputs, [dropout(inputs), dropout(inputs)])
        if remat:
            rematerialize(model)
        (seed,) = dropout.variables

        @tf.function
        def step(x):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(x)
                with keras.StatelessScope([(seed, tf.constant([3, 0]))]) as scope:
                    outputs = model(x, training=True)
            return [*outputs, *(tape.gradient(y, x) for y in outputs), scope.get_current_value(seed)]

        return [value.numpy() for value in step(tf.ones((1, 64)))]

    found, expected = dropped(True), dropped(False)
    assert_close(found, expected, 0)
    first, second, by_first, by_second, _ = found
    assert np.any(first != second)
    assert_close([by_first, by_second], [first, second], 0)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak of a process there")
def test_the_peak_of_memory_falls():
    """In processes of their own, by what a step adds to the most that a process held."""
    program = """
import json, re, sys
from pathlib import Path
from test_remat import gradients
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # ru_maxrss begins with the parent's
model = dict(name="transformer", input_shape=(128,), vocab_size=12, embed_dim=128, depth=4, num_heads=4, dropout=0.0)
before = peak()
gradients(model, remat=json.loads(sys.argv[1]), batch_size=64)
print(peak() - before)
"""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"}

    def added(remat: bool) -> float:
        command = [sys.executable, "-c", program, json.dumps(remat)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)

    with_remat, without = added(True), added(False)
    assert with_remat < 0.7 * without, f"{with_remat:.0f} MiB with, {without:.0f} without"

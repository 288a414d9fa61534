"""Does the loop keep its promises on this device? Checks that a user can run where we could not."""

import math
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import modelzoo
from trainers.data.encoders import ArrayEncoder
from trainers.data.pipeline import Data
from trainers.data.spec import Spec, Split
from trainers.engine.learner import Learner
from trainers.engine.optimizers import optimizer_rules
from trainers.engine.progress import Timetable
from trainers.engine.strategy import make_strategy
from trainers.runs import checkpoint
from trainers.speed.device import device_name, on_cpu, peak_operations
from trainers.speed.plan import make_plan, supported_plans
from trainers.tasks import make_task

_CLASSES = 3


def selftest(strategy_name: str) -> dict:
    """{"device": ..., "checks": [{"name", "ok", "found", "wanted", "seconds"}], "throughput": ... or None if it failed}."""
    strategy = make_strategy(strategy_name)
    tf.config.experimental.enable_tensor_float_32_execution(False)  # has three digits on a GPU; losses are compared to five
    checks, speed = [], {}

    def check(name: str, function: Callable[[], tuple[bool, str, str]]) -> None:
        began = time.monotonic()
        try:
            ok, found, wanted = function()
        except Exception as error:  # one check that fails must not hide the others
            ok, found, wanted = False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", "no error"
        seconds = round(time.monotonic() - began, 1)
        checks.append({"name": name, "ok": bool(ok), "found": found, "wanted": wanted, "seconds": seconds})

    def throughput() -> tuple[bool, str, str]:
        speed.update(_throughput(strategy))
        return True, f"{speed['examples_per_second']:,} examples/s", "no error"

    replicas, reference = strategy.num_replicas_in_sync, _reference(strategy)
    if reference:
        check(f"1 = {replicas} replicas" if replicas > 1 else "device = CPU", lambda: _replicas(strategy, *reference))
    check("resumed to the bit", lambda: _resumed(strategy))
    check("evaluation exact under padding", lambda: _padded(strategy))
    for plan in _supported_plans(strategy):
        check(f"plan {plan} = plan auto", lambda plan=plan: _plan(strategy, plan))
    for name in modelzoo.list_models(distinct=True):
        check(f"one step of {name}", lambda name=name: _family(strategy, name))
    check("throughput", throughput)
    return {**_place(strategy), "checks": checks, "throughput": speed or None}


def _reference(strategy) -> tuple[str, float] | None:
    """One device to compare with, and how close losses must be; None where `strategy` is just that device."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return "cpu", 1e-2  # a TPU multiplies in bfloat16
    if strategy.num_replicas_in_sync == 1:
        return None if on_cpu(strategy) else ("cpu", 1e-4)
    return "cpu" if on_cpu(strategy) else "gpu", 1e-5


def _replicas(strategy, one: str, tolerance: float):
    """Losses of 10 steps, against one device."""
    plan = "graph" if isinstance(strategy, tf.distribute.TPUStrategy) else "auto"  # tensorflow-tpu has no XLA for the CPU
    losses = _train(_learner(make_strategy(one), plan=plan), 10), _train(_learner(strategy), 10)
    worst = float(np.max(np.abs(np.subtract(*losses))))
    return worst <= tolerance, f"largest difference of losses {worst:.1e}", f"at most {tolerance:g}"


def _resumed(strategy):
    whole = _learner(strategy)
    _train(whole, 12)
    first = _learner(strategy)
    _train(first, 7)
    with tempfile.TemporaryDirectory() as folder:
        saved = checkpoint.save(first, Path(folder))
        second = _learner(strategy)
        checkpoint.restore(second, saved)
    _train(second, 5)
    pairs = list(zip(whole.weights(), second.weights(), strict=True))
    different = sum(a.tobytes() != b.tobytes() for a, b in pairs)
    return different == 0, f"{different} of {len(pairs)} variables differ", "none"


def _padded(strategy):
    learner, data = _learner(strategy), _data()
    found = learner.evaluate(data, "train", 24)
    logits = learner.answers(data, "train", 24).astype(np.float64)
    log_p = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
    y = data.arrays("train").y
    wanted = float(-log_p[np.arange(len(y)), y].mean()), float((logits.argmax(1) == y).mean())
    worst = max(abs(found["loss"] - wanted[0]), abs(found["accuracy"] - wanted[1]))
    return worst < 1e-5, f"loss and accuracy of 100 examples differ from NumPy's by {worst:.1e}", "less than 1e-5"


def _plan(strategy, plan: str):
    losses = [_train(_learner(strategy, plan=p), 10) for p in ("auto", plan)]
    worst = float(np.max(np.abs(np.subtract(*losses))))
    return worst <= 1e-5, f"largest difference of losses {worst:.1e}", "at most 1e-5"


def _family(strategy, name: str):
    """One step of the smallest instance, on noise."""
    arguments, rng = modelzoo.model_info(name).tiny, np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = modelzoo.create_model(name, **arguments)
    size, shape = 8 * strategy.num_replicas_in_sync, model.input_shape[1:]
    vocab = arguments.get("vocab_size")
    x = rng.integers(1, vocab, (size, *shape)).astype(np.int32) if vocab else rng.random((size, *shape), np.float32)
    classes = max(model.output_shape[-1], 2)
    spec = Spec(input_shape=shape, examples={"train": size}, num_classes=classes)
    data = Data(spec, {"train": Split(x, rng.integers(0, classes, size).astype(np.int32))}, ArrayEncoder())
    learner = Learner(model, make_task("classify", spec), optimizer_rules("adam"), strategy, make_plan("auto", model, strategy))
    loss = _train(learner, 1, data, size)[0]
    return math.isfinite(loss), f"loss {loss:.4f}", "a finite loss"


def _throughput(strategy) -> dict:
    """Training steps of a dense net of 4 x 2048 in bfloat16 (512 on a CPU), 6 operations a weight and example."""
    is_cpu = on_cpu(strategy)
    width, batch = (512, 256) if is_cpu else (2048, 4096)
    batch *= strategy.num_replicas_in_sync
    keras.utils.set_random_seed(0)
    with strategy.scope():
        keras.config.set_dtype_policy("float32" if is_cpu else "mixed_bfloat16")
        try:
            body = [layers.Dense(width, "relu") for _ in range(4)]
            model = keras.Sequential([keras.Input((width,)), *body, layers.Dense(_CLASSES, dtype="float32")])
        finally:
            keras.config.set_dtype_policy("float32")
    data = _data(batch, width)
    learner = Learner(
        model, make_task("classify", data.spec), optimizer_rules("sgd"), strategy, make_plan("auto", model, strategy)
    )
    _train(learner, 20, data, batch, every_step=False)
    before = learner.progress.examples, learner.progress.seconds
    _train(learner, 100, data, batch, every_step=False)
    rate = (learner.progress.examples - before[0]) / (learner.progress.seconds - before[1])
    operations = 6 * 4 * width * width * rate
    peak = peak_operations(device_name(strategy), strategy.num_replicas_in_sync)
    return {
        "examples_per_second": round(rate),
        "tera_operations_per_second": round(operations / 1e12, 3),
        "share_of_peak": operations / peak if peak else None,
    }


def _learner(strategy, *, plan: str = "auto") -> Learner:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((16,)), layers.Dense(32, "relu", name="a"), layers.Dense(_CLASSES, name="b")])
    optimizers = optimizer_rules(dict(name="adam", learning_rate=1e-2, use_ema=True, schedule="cosine"), total_steps=100)
    return Learner(
        model, make_task("classify", _data().spec), optimizers, strategy, make_plan(plan, model, strategy, resident=True)
    )


def _supported_plans(strategy) -> list[str]:
    return supported_plans(_learner(strategy).model, strategy, resident=True)


def _data(size: int = 100, width: int = 16) -> Data:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(size, width)).astype(np.float32)
    spec = Spec(input_shape=(width,), examples={"train": size}, num_classes=_CLASSES)
    return Data(spec, {"train": Split(x, (x[:, 0] > 0).astype(np.int32) + (x[:, 1] > 0))}, ArrayEncoder())


def _train(
    learner: Learner, steps: int, data: Data | None = None, batch_size: int = 24, *, every_step: bool = True
) -> list[float]:
    """The loss of each step."""
    data, losses = data or _data(), []

    def note(event: str, learner: Learner) -> None:
        if event == "metrics":
            losses.append(learner.metrics["loss"])

    table = Timetable(
        total_steps=learner.progress.step + steps,
        steps_per_epoch=data.steps("train", batch_size),
        log_every_steps=1 if every_step else None,
    )
    learner.fit(data, batch_size=batch_size, timetable=table, hooks=[note])
    return losses


def _place(strategy) -> dict:
    return {
        "device": device_name(strategy),
        "replicas": strategy.num_replicas_in_sync,
        "strategy": type(strategy).__name__,
        "versions": {
            "python": platform.python_version(), "modelzoo": modelzoo.__version__, "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }  # fmt: skip

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
from trainers.engine import checkpoint
from trainers.engine.host import Host
from trainers.engine.optimizers import make_optimizer
from trainers.engine.plan import NAMES, make_plan
from trainers.engine.progress import Timetable
from trainers.engine.strategy import make_strategy
from trainers.tasks import make_task

# Floating-point operations per second of one device, dense, from the vendors' data sheets: bfloat16 with float32 sums.
_PEAK = {
    "H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12, "V100": 125e12, "T4": 65e12,
    "TPU v2": 45e12, "TPU v3": 123e12, "TPU v4": 275e12, "TPU v5e": 197e12, "TPU v5p": 459e12, "TPU v6e": 918e12,
}  # fmt: skip
_CLASSES = 3


def selftest(strategy_name: str) -> dict:
    """All checks. {"device": ..., "checks": [{"name", "ok", "found", "wanted", "seconds"}], "throughput": ...}."""
    strategy = make_strategy(strategy_name)
    checks = []

    def check(name: str, function: Callable[[], tuple[bool, str, str]]) -> None:
        began = time.monotonic()
        try:
            ok, found, wanted = function()
        except Exception as error:  # one check that fails must not hide the others
            ok, found, wanted = False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", "no error"
        seconds = round(time.monotonic() - began, 1)
        checks.append({"name": name, "ok": bool(ok), "found": found, "wanted": wanted, "seconds": seconds})

    check(f"1 = {strategy.num_replicas_in_sync} replicas", lambda: _replicas(strategy))
    check("resumed to the bit", lambda: _resumed(strategy))
    check("evaluation exact under padding", lambda: _padded(strategy))
    for plan in NAMES[1:]:
        check(f"plan {plan} = plan auto", lambda plan=plan: _plan(strategy, plan))
    for name in modelzoo.list_models():
        check(f"one step of {name}", lambda name=name: _family(strategy, name))
    return {**_place(strategy), "checks": checks, "throughput": _throughput(strategy)}


def _replicas(strategy):
    """Losses of 10 steps, against one device: of the same kind, or of the CPU for a TPU."""
    one = make_strategy("cpu" if isinstance(strategy, tf.distribute.TPUStrategy) or not _has_gpu() else "gpu")
    tolerance = 1e-5 if not isinstance(strategy, tf.distribute.TPUStrategy) else 1e-2  # a TPU multiplies in bfloat16
    losses = [_train(_host(s), 10) for s in (one, strategy)]
    worst = float(np.max(np.abs(np.subtract(*losses))))
    return worst <= tolerance, f"largest difference of losses {worst:.1e}", f"at most {tolerance:g}"


def _resumed(strategy):
    whole = _host(strategy)
    _train(whole, 12)
    first = _host(strategy)
    _train(first, 7)
    with tempfile.TemporaryDirectory() as folder:
        saved = checkpoint.save(first, Path(folder))
        second = _host(strategy)
        checkpoint.restore(second, saved)
    _train(second, 5)
    pairs = list(zip(whole.weights(), second.weights(), strict=True))
    different = sum(a.tobytes() != b.tobytes() for a, b in pairs)
    return different == 0, f"{different} of {len(pairs)} variables differ", "none"


def _padded(strategy):
    host, data = _host(strategy), _data()
    found = host.evaluate(data, "train", 24)
    logits = host.predict(data, "train", 24).astype(np.float64)
    log_p = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
    y = data.arrays("train").y
    wanted = float(-log_p[np.arange(len(y)), y].mean()), float((logits.argmax(1) == y).mean())
    worst = max(abs(found["loss"] - wanted[0]), abs(found["accuracy"] - wanted[1]))
    return worst < 1e-5, f"loss and accuracy of 100 examples differ from NumPy's by {worst:.1e}", "less than 1e-5"


def _plan(strategy, plan: str):
    losses = [_train(_host(strategy, plan=p, dropout=0.0), 10) for p in ("auto", plan)]
    worst = float(np.max(np.abs(np.subtract(*losses))))
    return worst <= 1e-5, f"largest difference of losses {worst:.1e}", "at most 1e-5"


def _family(strategy, name: str):
    """One step of the smallest instance, on noise."""
    arguments, rng = modelzoo.model_info(name).tiny, np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = modelzoo.create_model(name, **arguments)
        optimizer = make_optimizer("adam", total_steps=1)
    size, shape = 8 * strategy.num_replicas_in_sync, model.input_shape[1:]
    vocab = arguments.get("vocab_size")
    x = rng.integers(1, vocab, (size, *shape)).astype(np.int32) if vocab else rng.random((size, *shape), np.float32)
    classes = max(model.output_shape[-1], 2)
    spec = Spec(input_shape=shape, examples={"train": size}, num_classes=classes)
    data = Data(spec, {"train": Split(x, rng.integers(0, classes, size).astype(np.int32))}, ArrayEncoder())
    host = Host(model, make_task("classify", spec), optimizer, strategy, make_plan("auto", model, strategy))
    loss = _train(host, 1, data, size)[0]
    return math.isfinite(loss), f"loss {loss:.4f}", "a finite loss"


def _throughput(strategy) -> dict:
    """Training steps of a dense net of 4 x 2048 in bfloat16 (512 on a CPU), 6 operations a weight and example."""
    on_cpu = "CPU" in strategy.extended.worker_devices[0].upper()
    width, batch = (512, 256) if on_cpu else (2048, 4096)
    batch *= strategy.num_replicas_in_sync
    keras.utils.set_random_seed(0)
    with strategy.scope():
        keras.config.set_dtype_policy("float32" if on_cpu else "mixed_bfloat16")
        try:
            body = [layers.Dense(width, "relu") for _ in range(4)]
            model = keras.Sequential([keras.Input((width,)), *body, layers.Dense(_CLASSES, dtype="float32")])
        finally:
            keras.config.set_dtype_policy("float32")
        optimizer = make_optimizer("sgd", total_steps=1)
    data = _data(batch, width)
    host = Host(model, make_task("classify", data.spec), optimizer, strategy, make_plan("auto", model, strategy))
    _train(host, 20, data, batch, every_step=False)
    before = host.progress.examples, host.progress.seconds
    _train(host, 100, data, batch, every_step=False)
    rate = (host.progress.examples - before[0]) / (host.progress.seconds - before[1])
    operations = 6 * 4 * width * width * rate
    name = _place(strategy)["device"]
    peak = next((value for key, value in _PEAK.items() if key.lower() in name.lower()), None)
    share = operations / (peak * strategy.num_replicas_in_sync) if peak else None
    return {
        "examples_per_second": round(rate),
        "tera_operations_per_second": round(operations / 1e12, 3),
        "share_of_peak": share,
    }


def _host(strategy, *, plan: str = "auto", dropout: float = 0.0) -> Host:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((16,)), layers.Dense(32, "relu", name="a"), layers.Dense(_CLASSES, name="b")])
        optimizer = make_optimizer("adam", learning_rate=1e-2, total_steps=100, use_ema=True, schedule={"name": "cosine"})
    return Host(model, make_task("classify", _data().spec), optimizer, strategy, make_plan(plan, model, strategy))


def _data(size: int = 100, width: int = 16) -> Data:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(size, width)).astype(np.float32)
    spec = Spec(input_shape=(width,), examples={"train": size}, num_classes=_CLASSES)
    return Data(spec, {"train": Split(x, (x[:, 0] > 0).astype(np.int32) + (x[:, 1] > 0))}, ArrayEncoder())


def _train(host: Host, steps: int, data: Data | None = None, batch_size: int = 24, *, every_step: bool = True) -> list[float]:
    """The loss of each step."""
    data, losses = data or _data(), []

    def note(event: str, host: Host) -> None:
        if event == "metrics":
            losses.append(host.metrics["loss"])

    table = Timetable(
        total_steps=host.progress.step + steps,
        steps_per_epoch=data.steps("train", batch_size),
        log_every_steps=1 if every_step else None,
    )
    host.fit(data, batch_size=batch_size, timetable=table, hooks=[note])
    return losses


def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def _place(strategy) -> dict:
    details = [tf.config.experimental.get_device_details(d) for d in tf.config.list_physical_devices("GPU")]
    name = next((d.get("device_name", "GPU") for d in details), None)
    if isinstance(strategy, tf.distribute.TPUStrategy):
        name = f"TPU, {strategy.extended.worker_devices[0]}"
    return {
        "device": name or f"CPU {platform.machine()}",
        "replicas": strategy.num_replicas_in_sync,
        "strategy": type(strategy).__name__,
        "versions": {
            "python": platform.python_version(), "modelzoo": modelzoo.__version__, "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }  # fmt: skip

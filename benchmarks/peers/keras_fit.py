"""keras.Model.fit on the backend that KERAS_BACKEND names: with its own defaults, or the fastest settings."""

import contextlib
import functools
import itertools
import time
from collections.abc import Iterable

import keras

from benchmarks.peers.trial import Run, Trial, epochs_of, fastest, rate
from benchmarks.peers.workloads import Examples, Workload, build_model, normalise, trainable_parameters

IS_JAX = keras.backend.backend() == "jax"
_SECONDS = 0.4  # of a setting's trial
_SHUFFLE_BUFFER = 10_000
_STEPS_PER_EXECUTION = (1, 8)
_MORE_STEPS, _QUICK_RATE = 32, 50  # tried for nets that make more than 50 steps per second: else an execution costs nothing
_EPOCHS = 4  # of a dataset without end; the clock runs from the second, when the shuffle buffer is full
_tuned: dict[str, dict] = {}  # of a net, found on ready batches and used for the input too


class _Clock(keras.callbacks.Callback):
    """Starts at an epoch. What `fit` does before it, once a call, does not count."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.began = time.perf_counter()


def build(workload: Workload, examples: Examples, measure: str, *, best: bool = False, replicas: int = 1) -> Trial:
    scope = functools.partial(_scope, replicas)
    with scope():
        model = build_model(workload)
    make = functools.partial(_make_run, model, workload, examples, scope)
    inputs = ("ready",) if measure == "memory" else ("arrays", "tf.data", "generator") if best else ("arrays",)
    if IS_JAX and measure == "memory":
        inputs = ("ready", "ready generator")
    if not best:
        _, run = fastest({"default": functools.partial(make, {}, inputs[0])})
        return Trial(run, f"default, {inputs[0]}", trainable_parameters(model))
    key = str(workload)
    (settings, source), run = _fastest(make, [_tuned[key]] if key in _tuned else _settings(replicas), inputs)
    if key not in _tuned and replicas == 1 and rate(run(_SECONDS)) > _QUICK_RATE:
        more = {**settings, "steps_per_execution": _MORE_STEPS}
        (settings, source), run = _fastest(make, [settings, more], [source])
    _tuned[key] = settings
    compiled = "XLA, " if settings.get("jit_compile") else ""
    return Trial(run, f"{compiled}{settings['steps_per_execution']} steps per execution, {source}", trainable_parameters(model))


def _fastest(make, settings: list[dict], inputs: Iterable[str]) -> tuple[tuple[dict, str], Run]:
    found = {(str(s), i): (s, i) for s in settings for i in inputs}
    name, run = fastest({name: functools.partial(make, *chosen) for name, chosen in found.items()}, _SECONDS)
    return found[name], run


def _settings(replicas: int) -> list[dict]:
    """Arguments of compile() to try. JAX always compiles, and fit never does so under tf.distribute.

    Under MirroredStrategy of CPUs more than one step per execution fails in TensorFlow 2.21; `fastest` then leaves it out.
    """
    jit = ({},) if IS_JAX else ({"jit_compile": False},) if replicas > 1 else ({"jit_compile": False}, {"jit_compile": True})
    return [{**j, "steps_per_execution": n} for j, n in itertools.product(jit, _STEPS_PER_EXECUTION)]


@functools.cache
def _mirrored(replicas: int):
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


def _scope(replicas: int):
    return _mirrored(replicas).scope() if replicas > 1 else contextlib.nullcontext()


def _make_run(model, workload: Workload, examples: Examples, scope, settings: dict, source: str) -> Run:
    """The model compiled with `settings`, on batches from `source`."""
    with scope():
        model.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            **settings,
        )
    group, speed = settings.get("steps_per_execution", 1), 0.0
    if source == "arrays":
        x = examples.normalised()  # before the clock runs, as tutorials do
    else:
        batches = SOURCES[source](workload, examples)

    def run(seconds: float) -> dict:
        nonlocal speed
        wanted = max(group, round(speed * seconds))
        if source == "arrays":
            per_epoch = max(group, min(wanted, len(x) // workload.batch) // group * group)
            epochs, rows = -(-wanted // per_epoch), slice(per_epoch * workload.batch)
            counted, clock = epochs * per_epoch, _Clock(0)
            history = model.fit(
                x[rows], examples.y[rows], batch_size=workload.batch, epochs=epochs, verbose=0, callbacks=[clock]
            )
        else:
            epochs = min(_EPOCHS, 1 + -(-wanted // group))
            per_epoch = -(-wanted // (epochs - 1) // group) * group
            counted, clock = per_epoch * (epochs - 1), _Clock(1)
            given = batches() if callable(batches) else batches
            history = model.fit(given, steps_per_epoch=per_epoch, epochs=epochs, verbose=0, callbacks=[clock])
        keras.ops.convert_to_numpy(model.trainable_variables[0].value)  # waits for the device
        found = dict(steps=counted, seconds=time.perf_counter() - clock.began, loss=history.history["loss"][-1])
        speed = rate(found)
        return found

    return run


def _ready(workload: Workload, examples: Examples):
    """Batches that are tensors already, over and over."""
    import tensorflow as tf

    x, y = (a.reshape(-1, workload.batch, *a.shape[1:]) for a in examples.ready(workload.batch))
    return tf.data.Dataset.from_tensor_slices((x, y)).repeat().prefetch(tf.data.AUTOTUNE)


def _ready_generator(workload: Workload, examples: Examples):
    """The same for JAX: arrays on its device, without tf.data."""
    x, y = (a.reshape(-1, workload.batch, *a.shape[1:]) for a in examples.ready(workload.batch))
    batches = [tuple(map(keras.ops.convert_to_tensor, pair)) for pair in zip(x, y, strict=True)]
    return lambda: itertools.cycle(batches)


def _tf_data(workload: Workload, examples: Examples):
    """Cached, shuffled, batched without a remainder, normalised by batches in parallel, prefetched."""
    import tensorflow as tf

    def as_float(x, y):
        return (tf.cast(x, tf.float32) / 255 if x.dtype == tf.uint8 else x), y

    dataset = tf.data.Dataset.from_tensor_slices((examples.x, examples.y)).cache().shuffle(_SHUFFLE_BUFFER)
    dataset = dataset.repeat().batch(workload.batch, drop_remainder=True)
    return dataset.map(as_float, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _generator(workload: Workload, examples: Examples):
    """A permutation of indices and one gather a batch, in NumPy."""
    x, y = examples.x, examples.y
    return lambda: ((normalise(x[rows]), y[rows]) for rows in epochs_of(len(y), workload.batch))


SOURCES = {"ready": _ready, "ready generator": _ready_generator, "tf.data": _tf_data, "generator": _generator}

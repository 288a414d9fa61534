"""The plan that is fastest here, found by trying."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

import modelzoo
from trainers.files import read_json, write_json
from trainers.speed.keras_inside import all_layers
from trainers.speed.plan import Plan, named_plan, supported_plans

log = logging.getLogger("trainers")

_SHARE_OF_RUN = 0.05
_SECONDS_EACH = 0.5
_NOT_BY_XLA = (  # a deterministic gradient of max pooling, look-up tables, text, some operations
    tf.errors.UnimplementedError,
    tf.errors.InvalidArgumentError,
)
_HOPELESS = 1.5  # times the best plan's seconds for one step


def measure_plan(learner, data, *, batch_size: int, total_steps: int, deterministic: bool = False) -> None:
    """Let the learner use the supported plan that trains fastest, and leave its state as it was.

    The learner's own plan is tried first; trying the others ends when it has taken 5% of the time that the run will take with
    it. What is found is kept on disk for the same model, shapes, device and versions; `deterministic` kernels are others.
    """
    names = [learner.plan.name, *supported_plans(learner.model, learner.strategy, data.can_be_resident("train"))]
    if len(set(names)) == 1 or learner.strategy.num_replicas_in_sync > 1 or learner.plan.name == "strategy":
        return
    file = _cache() / f"{_key(learner, batch_size, [*names, deterministic])}.json"
    if file.is_file():
        found = read_json(file)
        learner.use(named_plan(found["plan"], f"measured before: {found['told']}", learner.strategy))
        return
    rates, is_whole = _tried(learner, data, batch_size, list(dict.fromkeys(names)), total_steps)
    best = max(rates, key=rates.get)
    told = ", ".join(f"{name} {_readable(rate)}" for name, rate in rates.items())
    reason = f"measured: {told}{'' if is_whole else '; the run is too short to try the others'}"
    learner.use(named_plan(best, reason, learner.strategy))
    if is_whole:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, {"plan": best, "told": told})
        except OSError as error:
            log.warning("what was measured of plans is not kept: %s", error)


def settle_plan(learner, data, *, batch_size: int) -> None:
    """Exchange a plan of XLA for the graph if XLA cannot compile the model and the task: one step is made and undone. What
    it compiles is what training then uses. Our tasks, and Keras' own layers but for those of preprocessing, are known to
    compile.
    """
    if learner.plan.name.startswith("xla") and not _is_known_to_compile(learner):
        before = _values(learner)
        compiled_or_graph(learner, lambda: learner.make_trial(data, batch_size)(1))
        _restore(learner, before)


def compiled_or_graph(learner, call: Callable):
    """call(); if XLA cannot compile what it runs, once more with the plan "graph".

    Raises:
      ValueError: XLA cannot, and its plan was asked for.
    """
    try:
        return call()
    except _NOT_BY_XLA as error:
        if not learner.plan.name.startswith("xla"):
            raise
        reason = f"XLA cannot compile this model: {_first_line(error)}"
        if learner.plan.reason == "asked for":
            raise ValueError(f"plan {learner.plan.name!r} cannot be used here. {reason}; use plan='graph'") from error
        log.warning("plan graph: %s", reason)
        learner.use(named_plan("graph", reason, learner.strategy))
        return call()


def _is_known_to_compile(learner) -> bool:
    parts = [*all_layers(learner.model), *learner.task.objectives]
    modules = [type(part).__module__ for part in parts]
    return all(m.startswith(("keras.", "modelzoo.", "trainers.")) and "preprocessing" not in m for m in modules)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return next((line for line in lines if "unsupported" in line or "not supported" in line), lines[0])[:200]


def _values(learner) -> dict:
    return tf.nest.map_structure(keras.ops.convert_to_numpy, learner.state.variables)


def _restore(learner, before: dict) -> None:
    for kind, values in before.items():
        for variable, value in zip(learner.state.variables[kind], values, strict=True):
            variable.assign(value)


def _tried(learner, data, batch_size: int, names: list[str], total_steps: int) -> tuple[dict[str, float], bool]:
    """Steps per second of the plans that were tried, and whether none was left out for want of time."""
    rates, plans = (
        {},
        {name: learner.plan if name == learner.plan.name else named_plan(name, "", learner.strategy) for name in names},
    )
    before = _values(learner)
    began, budget = time.perf_counter(), None
    for name, plan in plans.items():
        if budget is not None and time.perf_counter() - began > budget:
            return rates, False
        try:
            rate = _rate(learner, plan, data, batch_size, max(rates.values(), default=0.0))
        except _NOT_BY_XLA:
            rate = 0.0
        _restore(learner, before)
        rates[name] = rate
        if budget is None and rate:
            budget = _SHARE_OF_RUN * total_steps / rate
            began = time.perf_counter()
    return rates, True


def _rate(learner, plan: Plan, data, batch_size: int, best: float) -> float:
    """Steps per second of a plan; of one step alone if that is hopeless beside the best so far."""
    learner.use(plan)
    run = learner.make_trial(data, batch_size)
    run(1)  # traces and compiles
    steps, seconds = 1, run(1)
    if best and seconds > _HOPELESS / best:
        return 1 / seconds
    while seconds < _SECONDS_EACH:
        steps, seconds = 2 * steps, run(2 * steps)
    return steps / seconds


def _readable(rate: float) -> str:
    return f"{rate:,.0f} steps/s" if rate >= 100 else f"{rate:.1f} steps/s" if rate else "cannot be compiled here"


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "modelzoo" / "plans"


def _key(learner, batch_size: int, given: list) -> str:
    """Of everything that the speed depends on, as far as we know."""
    layers = [(type(layer).__name__, layer.compute_dtype) for layer in all_layers(learner.model)]
    shapes = [tuple(v.shape) for variables in learner.state.variables.values() for v in variables]
    cpu = Path("/proc/cpuinfo")
    device = next((line for line in cpu.read_text().splitlines() if line.startswith("model name")), "") if cpu.exists() else ""
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    facts = [
        layers, shapes, str(learner.model.input_shape), batch_size,
        learner.accumulate, [type(o).__name__ for o in learner.state.optimizers],
        type(learner.task).__name__, given, device, os.cpu_count(), gpus,
        modelzoo.__version__, tf.__version__, keras.__version__,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:32]

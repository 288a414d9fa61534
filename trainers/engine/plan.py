"""How the pure functions of a step are compiled."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf
from keras import layers

NAMES = ("auto", "graph", "xla")

# What makes XLA the slower plan on a CPU. Its steps per second, as a ratio to the graph's, by `python -m benchmarks.plans` (2
# cores with AVX-512, 2026-11-22): convolutions 0.16-0.44, recurrence 0.78-0.86, dropout 0.51 in a dense net and 0.25 or 1.11 in
# Transformers that differ in nothing but depth; without these 1.07-1.25.
_SLOW_ON_CPU = {
    "convolutions": (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D),
    "recurrence": (layers.RNN, layers.Bidirectional),
    "dropout": (layers.Dropout,),
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """How to compile: `name` is "graph", "xla", or "strategy" where the strategy compiles (TPU)."""

    name: str
    reason: str

    def compile(self, function: Callable) -> Callable:
        """`function` as this plan runs it; call the result inside a replica."""
        if self.name == "strategy":
            return function
        return tf.function(function, jit_compile=self.name == "xla")


def make_plan(name: str, model: keras.Model, strategy: tf.distribute.Strategy, *, before: str | None = None) -> Plan:
    """The plan asked for, or for "auto" the one that the facts choose; the same facts choose the same plan.

    Args:
      before: the plan that a run which now goes on began with; "auto" stays with it where it is possible.
    """
    if name not in NAMES:
        raise ValueError(f"unknown plan {name!r}. Accepted: {', '.join(NAMES)}")
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return Plan("strategy", "TPUStrategy compiles every step itself")
    if name != "auto":
        return Plan(name, "asked for")
    if before in ("graph", "xla"):
        return Plan(before, "as the run began")
    if "CPU" not in strategy.extended.worker_devices[0].upper():
        return Plan("xla", "the device is no CPU")
    found = [fact for fact, kinds in _SLOW_ON_CPU.items() if any(isinstance(layer, kinds) for layer in _layers(model))]
    if found:
        return Plan("graph", f"on a CPU, XLA is slower with {' and '.join(found)}")
    return Plan("xla", "on a CPU, XLA is faster without convolutions, recurrence and dropout")


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers, also within layers, but dropout that drops nothing."""
    return [layer for layer in model._flatten_layers() if not isinstance(layer, layers.Dropout) or layer.rate]

"""How the pure functions of a step are compiled."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

NAMES = ("auto", "graph", "xla")

# Kinds of layer that XLA slows down on a CPU, by measurement (see make_plan).
_SLOW_UNDER_XLA_ON_CPU = {
    "convolutions": (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.DepthwiseConv2D),
    "recurrence": (keras.layers.RNN, keras.layers.Bidirectional),
    "dropout": (keras.layers.Dropout,),
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


def make_plan(name: str, model: keras.Model, strategy: tf.distribute.Strategy) -> Plan:
    """The plan asked for, or for "auto" the one that the facts choose; the same facts choose the same plan.

    On a CPU, XLA made convolutions 2-5 times and dropout 4 times slower, recurrence a little, and other nets faster.
    """
    if name not in NAMES:
        raise ValueError(f"unknown plan {name!r}. Accepted: {', '.join(NAMES)}")
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return Plan("strategy", "TPUStrategy compiles every step itself")
    if name != "auto":
        return Plan(name, "asked for")
    if "CPU" not in strategy.extended.worker_devices[0].upper():
        return Plan("xla", "the device is no CPU")
    layers = [layer for layer in model._flatten_layers() if not isinstance(layer, keras.layers.Dropout) or layer.rate]
    found = [name for name, kinds in _SLOW_UNDER_XLA_ON_CPU.items() if any(isinstance(x, kinds) for x in layers)]
    if found:
        return Plan("graph", f"on a CPU, XLA is slower for {' and '.join(found)}")
    return Plan("xla", "on a CPU, XLA is faster for a net without convolutions, recurrence and dropout")

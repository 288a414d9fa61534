"""How the pure functions of a step are compiled."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf
from keras import layers

NAMES = ("auto", "graph", "xla")

# What decides on a CPU: the first of these that a model has. Ratios of XLA's steps per second to the graph's, measured by
# `python -m benchmarks.plans` (2 cores with AVX-512, 2026-11-21): convolutions 0.16-0.43, recurrence 0.79-0.95, attention
# 1.07-1.23 with and without dropout, dropout in a dense net 0.49, a dense net without 1.04-1.11.
_ON_CPU = (
    ("convolutions", (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D), "graph"),
    ("recurrence", (layers.RNN, layers.Bidirectional), "graph"),
    ("attention", (layers.MultiHeadAttention,), "xla"),
    ("dropout", (layers.Dropout,), "graph"),
)


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
    """The plan asked for, or for "auto" the one that the facts choose; the same facts choose the same plan."""
    if name not in NAMES:
        raise ValueError(f"unknown plan {name!r}. Accepted: {', '.join(NAMES)}")
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return Plan("strategy", "TPUStrategy compiles every step itself")
    if name != "auto":
        return Plan(name, "asked for")
    if "CPU" not in strategy.extended.worker_devices[0].upper():
        return Plan("xla", "the device is no CPU")
    for fact, kinds, plan in _ON_CPU:
        if any(isinstance(layer, kinds) for layer in model._flatten_layers()):
            return Plan(plan, f"on a CPU, {plan} is faster with {fact}")
    return Plan("xla", "on a CPU, xla is faster without convolutions, recurrence and dropout")

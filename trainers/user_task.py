"""The task for a user's model and data, and the plan that their batches allow. B batch, C outputs."""

import logging
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.data.adapt import Given
from trainers.data.spec import Spec, Split
from trainers.tasks import Task, make_task
from trainers.tasks.keras_loss import KerasLoss

log = logging.getLogger("trainers")

_OF_VECTORS = ("classify", "regress", "multilabel")


def make_user_task(task: str | dict, loss: dict | None, class_weights: Any, model: keras.Model, data: Given, outputs) -> Task:
    """The data's own numbers are left as they are: mean 0, deviation 1.

    Args:
      task: its name, or a dict of its name and arguments, "classify" where it has none.
      loss: arguments of KerasLoss, in place of `task`.
      class_weights: of "classify": "balanced", a list, or a dict by class number or name.
      outputs: of the model, also symbolic ones.

    Raises:
      ValueError: outputs that the task does not take, or arguments that it does not know.
    """
    if loss:
        return KerasLoss(data.spec, **loss, output_names=_output_names(model, outputs))
    given = {"name": task} if isinstance(task, str) else {"name": "classify", **task}
    outputs = tf.nest.flatten(outputs)
    if given["name"] in _OF_VECTORS and (len(outputs) > 1 or any(d != 1 for d in outputs[0].shape[1:-1])):
        shapes = ", ".join(str(tuple(output.shape)) for output in outputs)
        raise ValueError(f"task {given['name']!r} needs one output [B, C]. Received: a model that gives {shapes}; use loss=...")
    size, names = outputs[0].shape[-1], data.spec.class_names
    classes = max(size, 2)
    counts = _class_counts(data.arrays("train"), classes)
    spec = Spec(
        input_shape=data.spec.input_shape, examples=data.spec.examples, num_classes=classes, class_counts=counts,
        class_names=names if names and len(names) == classes else None,
        target_mean=(0.0,) * size, target_std=(1.0,) * size,
    )  # fmt: skip
    if class_weights is not None:
        given["class_weights"] = class_weights
    if given.get("class_weights") == "balanced" and counts is None:
        raise ValueError('class_weights="balanced" needs class numbers in an array. Received: batches, or other targets')
    if isinstance(given.get("class_weights"), dict):
        given["class_weights"] = _factors(given["class_weights"], names or range(classes))
    return make_task(**given, spec=spec)


def plan_for(plan: str, accumulate: int, spec: dict) -> str:
    """The graph for what XLA cannot take: text, and shapes that vary from batch to batch; else the plan that was asked for.

    Args:
      spec: of a batch, as tf.data has it.
    """
    tensors = tf.nest.flatten(spec)
    reason = "text" * any(t.dtype == tf.string for t in tensors) or "varying shapes" * any(None in t.shape[1:] for t in tensors)
    if not reason:
        return plan
    if accumulate > 1 and reason == "varying shapes":
        raise ValueError(f"accumulate={accumulate} needs batches of one shape. Received: batches of varying shapes")
    if plan not in ("auto", "measure", "graph"):
        raise ValueError(f"plan {plan!r} cannot be used with batches of {reason}. Accepted: auto, measure, graph")
    log.info("plan graph: the batches have %s", reason)
    return "graph"


def _output_names(model: keras.Model, outputs) -> list[str]:
    if isinstance(outputs, dict):
        return list(outputs)
    size = len(outputs) if isinstance(outputs, tuple | list) else 1
    names = getattr(model, "output_names", None) or []
    return list(names) if len(names) == size else [f"output_{i}" for i in range(size)]


def _class_counts(split: Split | None, classes: int) -> tuple[int, ...] | None:
    """Of class numbers in an array; None for anything else."""
    y = split and split.y
    if not isinstance(y, np.ndarray) or y.ndim != 1 or y.dtype.kind not in "iub" or not (y.min() >= 0 and y.max() < classes):
        return None
    return tuple(np.bincount(y, minlength=classes).tolist())


def _factors(given: dict, names: Sequence) -> list[float]:
    """Of each class by its name or number; 1 where `given` has none."""
    unknown = [key for key in given if key not in names and key not in range(len(names))]
    if unknown:
        raise ValueError(f"class_weights name {unknown}. The classes are {', '.join(map(str, names))}")
    return [float(given.get(name, given.get(i, 1.0))) for i, name in enumerate(names)]

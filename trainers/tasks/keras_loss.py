"""Keras' own way to state a loss. B batch, T steps of a sequence."""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import losses as kl
from keras import metrics as km
from keras import ops

from trainers.speed.keras_inside import mask_of
from trainers.tasks.base import MAX, MIN, Sums, Task

log = logging.getLogger("trainers")

_PER_ELEMENT = (  # metrics that take weights of y's own shape
    km.AUC, km.Precision, km.Recall, km.TruePositives, km.TrueNegatives, km.FalsePositives, km.FalseNegatives, km.IoU,
    km.SensitivityAtSpecificity, km.SpecificityAtSensitivity, km.PrecisionAtRecall, km.RecallAtPrecision,
)  # fmt: skip
_ACCURACY = ("accuracy", "acc")
_LOWER_IS_BETTER = (
    km.MeanSquaredError, km.RootMeanSquaredError, km.MeanAbsoluteError, km.MeanAbsolutePercentageError, km.LogCoshError,
    km.MeanSquaredLogarithmicError, km.KLDivergence, km.Poisson, km.Hinge, km.SquaredHinge, km.CategoricalHinge,
    km.BinaryCrossentropy, km.CategoricalCrossentropy, km.SparseCategoricalCrossentropy, km.FalsePositives, km.FalseNegatives,
)  # fmt: skip
_CROSSENTROPIES = {
    kl.BinaryCrossentropy, kl.BinaryFocalCrossentropy, kl.CategoricalCrossentropy, kl.CategoricalFocalCrossentropy,
    kl.SparseCategoricalCrossentropy, kl.binary_crossentropy, kl.binary_focal_crossentropy, kl.categorical_crossentropy,
    kl.categorical_focal_crossentropy, kl.sparse_categorical_crossentropy,
}  # fmt: skip
_SPARSE = {kl.SparseCategoricalCrossentropy, kl.sparse_categorical_crossentropy}


class KerasLoss(Task):
    """Losses and metrics as `keras.Model.compile` takes them.

    y has the structure of the model's outputs: an array, a dict by the outputs' names, or a tuple in their order. The loss is a
    mean over the weights w of the global batch: of each example, averaged over all other axes of the loss; or of each step,
    where w is [B, T]. It is divided by the sum of w, where `fit` divides by B. Metrics are weighted by w too, as Keras'
    `weighted_metrics` are. Steps that the model masks (mask_zero=True) are left out of their example's mean.

    Args:
      spec: of the data; not used.
      loss: a name, a keras.losses.Loss, or a function (y, outputs) -> losses [B, ...]; a dict or list of these for several
        outputs, None for one without.
      metrics: a list of names, keras.metrics.Metric or functions (y, outputs) -> [B, ...]; a dict of these for several outputs.
        The variables of a metric must begin at 0 and add up over batches, as those of Keras' own do.
      loss_weights: a factor for each loss, in a dict or list.
      output_names: of the model's outputs, in order; the keys where they are a dict.

    Raises:
      ValueError: an unknown name, a loss that does not give one number for each example, or shapes that would be broadcast.
    """

    def __init__(self, spec=None, *, loss, metrics=(), loss_weights=None, output_names: Sequence[str] = ()) -> None:
        super().__init__(spec)
        self.names = tuple(output_names) or tuple(loss if isinstance(loss, dict) else ("output",))
        losses = self._for_each("loss", loss)
        self._losses = {name: _loss(given) for name, given in losses.items() if given is not None}
        self._factors = self._for_each("loss_weights", 1.0 if loss_weights is None else loss_weights)
        several = len(self.names) > 1
        self._metrics: dict[str, tuple[str, list[keras.Metric]]] = {}
        for name, given in self._for_each("metrics", metrics, many=True).items():
            threshold = 0.0 if name in self._losses and _from_logits(self._losses[name]) else 0.5
            for metric in given if isinstance(given, list | tuple) else [given] if given else []:
                metric = _metric(metric, threshold)
                self._add_metric(f"{name}_{metric[0].name}" if several else metric[0].name, name, metric)
        parts = [name for loss in self._losses for name in (f"{loss}_loss", f"loss/{loss}")]  # the latter where w is a dict
        self.directions = dict.fromkeys(["loss", *parts] if several else ["loss"], MIN)
        self.directions |= {key: d for key, (_, (metric, *_)) in self._metrics.items() if (d := _direction(metric))}
        self._classes: dict[str, int] = {}

    def losses(self, batch, outputs):
        terms, w = self._terms(batch, outputs), batch["w"]
        if isinstance(w, dict):
            return terms
        return functools.reduce(ops.add, terms.values())

    def metrics(self, batch, outputs, *, training):
        y, outputs, sums = self._by_name(batch["y"], "y"), self._by_name(outputs, "outputs"), {}
        for key, (name, choices) in self._metrics.items():
            target, output = _same_rank(y[name], outputs[name])
            metric = choices[_kind_of_accuracy(target, output) if len(choices) > 1 else 0]
            for i, value in enumerate(_increments(metric, target, output, self._weights(batch, name))):
                sums[f"{key}/{i}"] = value
        if len(self._losses) > 1 and not isinstance(batch["w"], dict):
            w = ops.cast(batch["w"], "float32")
            sums |= {f"{name}_loss": ops.sum(w * term) for name, term in self._terms(batch, outputs, scaled=False).items()}
        return sums

    def finish(self, sums: Sums):
        found = super().finish(sums)
        found |= {key: float(sums[key] / sums["weight"]) for key in sums if key.endswith("_loss") and "/" not in key}
        for key, (_, (metric, *_)) in self._metrics.items():
            values = [ops.convert_to_tensor(sums[f"{key}/{i}"], v.dtype) for i, v in enumerate(metric.variables)]
            found[key] = float(metric.stateless_result(values))
        return found

    def check_targets(self, y):
        super().check_targets(y)
        for name, array in self._by_name(y, "y").items():
            classes = self._classes.get(name)
            if classes and len(array) and not (array.min() >= 0 and array.max() < classes):
                wrong = array[(array < 0) | (array >= classes)][0]
                raise ValueError(f"class numbers must be 0 to {classes - 1}. Received: {wrong}")

    def check_first(self, batch: dict, outputs) -> None:
        """Look at the numbers of some examples, eagerly: ValueError where logits are taken for probabilities or the other way
        round, and for metrics that do not add up.
        """
        y, outputs = self._by_name(batch["y"], "y"), self._by_name(outputs, "outputs")
        for name, loss in self._losses.items():
            _check_probabilities(loss, np.asarray(ops.cast(outputs[name], "float32")))
            if mask_of(outputs[name]) is not None and len(np.shape(batch["w"])) == 1:
                log.warning(
                    "the model masks steps: the loss is a mean over the unmasked steps of an example, then over examples. For "
                    "the mean over all unmasked steps, which fit takes, give weights [N, T] that are 0 where steps are masked"
                )
            if _kind(loss) in _SPARSE:
                self._classes[name] = outputs[name].shape[-1]
        for key, (name, choices) in self._metrics.items():
            target, output = _same_rank(y[name], outputs[name])
            metric = choices[_kind_of_accuracy(target, output) if len(choices) > 1 else 0]
            metric.update_state(target, output)  # makes the variables of those that wait for shapes
            metric.reset_state()
            once = _increments(metric, target, output, None)
            twice = metric.stateless_update_state([ops.cast(v, x.dtype) for v, x in zip(once, metric.variables, strict=True)],
                                                  target, output)  # fmt: skip
            if not all(np.allclose(2 * np.asarray(a), b, rtol=1e-3) for a, b in zip(once, twice, strict=True)):
                raise ValueError(f"metric {key!r} does not add up over batches: its variables must be sums that begin at 0")
            if np.ndim(metric.stateless_result(twice)):
                raise ValueError(f"metric {key!r} must be one number. Received: an array, such as average=None gives")

    def _terms(self, batch, outputs, *, scaled: bool = True) -> dict[str, Any]:
        """The losses of each output, of the shape of its weights."""
        y, outputs, terms = self._by_name(batch["y"], "y"), self._by_name(outputs, "outputs"), {}
        for name, loss in self._losses.items():
            term = _of_shape_of(self._weights(batch, name), *_unreduced(loss, y[name], outputs[name]))
            terms[name] = term * self._factors[name] if scaled else term
        return terms

    def _weights(self, batch, name: str):
        return batch["w"][name] if isinstance(batch["w"], dict) else batch["w"]

    def _by_name(self, nest, what: str) -> dict[str, Any]:
        found = nest if isinstance(nest, dict | tuple | list) else (nest,)
        if not isinstance(found, dict):
            found = dict(zip(self.names, found, strict=True)) if len(found) == len(self.names) else {}
        if any(name not in found for name in self._losses):
            raise ValueError(f"{what} must be {_readable(self.names)}. Received: {_structure(nest)}")
        return found

    def _for_each(self, argument: str, given, *, many: bool = False) -> dict[str, Any]:
        """`given` for each output. `many`: a list is what each output gets, unless it is one of lists."""
        if isinstance(given, dict):
            unknown = set(given) - set(self.names)
            if unknown:
                raise ValueError(f"{argument} names {sorted(unknown)}. The model's outputs are {_readable(self.names)}")
            return {name: given.get(name, () if many else 1.0 if argument == "loss_weights" else None) for name in self.names}
        if isinstance(given, list | tuple) and (not many or any(isinstance(g, list | tuple) for g in given)):
            if len(given) != len(self.names):
                raise ValueError(f"{argument} must have one for each of {_readable(self.names)}. Received: {len(given)}")
            return dict(zip(self.names, given, strict=True))
        return dict.fromkeys(self.names, given)

    def _add_metric(self, key: str, name: str, choices: list[keras.Metric]) -> None:
        if key in self._metrics:
            raise ValueError(f"two metrics have the name {key!r}; give one of them name=...")
        self._metrics[key] = (name, choices)


def _readable(names) -> str:
    return "one array" if len(names) == 1 else "a dict or tuple of " + ", ".join(map(repr, names))


def _structure(nest) -> str:
    if isinstance(nest, dict):
        return f"a dict of {', '.join(map(repr, nest))}"
    return f"a tuple of {len(nest)}" if isinstance(nest, tuple | list) else "one array"


def _loss(given) -> Callable:
    found = kl.get(given) if isinstance(given, str | dict) else given() if isinstance(given, type) else given
    if not callable(found):
        raise ValueError(f"loss must be a name, a keras.losses.Loss or a function. Received: {given!r}")
    return found


def _kind(loss):
    return loss if loss in _CROSSENTROPIES else type(loss)


def _unreduced(loss, y, outputs) -> tuple:
    """(losses [B, ...], the mask of the outputs or None)."""
    mask = mask_of(outputs)
    y, outputs = _same_rank(ops.cast(y, "float32"), ops.cast(outputs, "float32"))
    is_keras = (loss if hasattr(loss, "__name__") else type(loss)).__module__.startswith("keras.")
    if (
        is_keras
        and len(y.shape) == len(outputs.shape)
        and any(a != b for a, b in zip(y.shape, outputs.shape, strict=True) if a and b)
    ):
        raise ValueError(f"y and the outputs must have one shape. Received: {tuple(y.shape)} and {tuple(outputs.shape)}")
    return (loss.call if isinstance(loss, keras.Loss) else loss)(y, outputs), mask


def _of_shape_of(w, losses, mask):
    """Means of losses [B, ...] over the axes that w does not have."""
    losses, rank = ops.cast(losses, "float32"), len(w.shape)
    axes = tuple(range(rank, len(losses.shape)))
    if len(losses.shape) < rank or any(a != b for a, b in zip(losses.shape, w.shape, strict=False) if a and b):
        raise ValueError(
            f"a loss must give one number for each weight, {tuple(w.shape)}, or more of them. Received: {tuple(losses.shape)}; "
            "take no mean over the batch"
        )
    if mask is not None and len(mask.shape) == len(losses.shape):
        mask = ops.cast(mask, "float32")
        losses = losses * mask
        if axes:
            return ops.sum(losses, axis=axes) / ops.maximum(ops.sum(mask, axis=axes), 1.0)
    return ops.mean(losses, axis=axes) if axes else losses


def _same_rank(y, outputs) -> tuple:
    """Without an axis of length 1 that only one of the two has at its end."""
    if len(outputs.shape) == len(y.shape) + 1 and outputs.shape[-1] == 1:
        return (ops.expand_dims(y, -1), outputs)
    if len(y.shape) == len(outputs.shape) + 1 and y.shape[-1] == 1:
        return ops.squeeze(y, -1), outputs
    return y, outputs


def _metric(given, threshold: float) -> list[keras.Metric]:
    """A metric; for "accuracy" the binary, the sparse and the categorical one."""
    if given in _ACCURACY:
        return [
            km.BinaryAccuracy(given, threshold=threshold),
            km.SparseCategoricalAccuracy(given),
            km.CategoricalAccuracy(given),
        ]
    found = km.get(given)
    if not isinstance(found, keras.Metric):
        return [km.MeanMetricWrapper(found, name=getattr(found, "__name__", "metric"))]
    if isinstance(given, str):
        found.name = given
    return [found]


def _kind_of_accuracy(y, outputs) -> int:
    if outputs.shape[-1] == 1:
        return 0
    return 1 if len(y.shape) < len(outputs.shape) or y.shape[-1] == 1 else 2


def _direction(metric: keras.Metric) -> str | None:
    if not type(metric).__module__.startswith("keras.") or type(metric) in (km.Mean, km.Sum, km.MeanMetricWrapper):
        return getattr(metric, "direction", None)
    return MIN if isinstance(metric, _LOWER_IS_BETTER) else MAX


def _increments(metric: keras.Metric, y, outputs, w) -> list:
    """What a batch adds to the metric's variables, float32."""
    if w is not None and isinstance(metric, _PER_ELEMENT):
        w = ops.broadcast_to(ops.reshape(w, (*w.shape, *[1] * (len(y.shape) - len(w.shape)))), ops.shape(y))
    zeros = [ops.zeros(v.shape, v.dtype) for v in metric.variables]
    return [ops.cast(value, "float32") for value in metric.stateless_update_state(zeros, y, outputs, sample_weight=w)]


def _from_logits(loss) -> bool:
    return _kind(loss) in _CROSSENTROPIES and isinstance(loss, keras.Loss) and loss.get_config()["from_logits"]


def _check_probabilities(loss, outputs: np.ndarray) -> None:
    if _kind(loss) not in _CROSSENTROPIES:
        return
    from_logits = _from_logits(loss)
    if not from_logits and (outputs.min() < 0 or outputs.max() > 1):
        raise ValueError(
            f"this loss takes probabilities. Received: a model that gives {outputs.min():.3g} to {outputs.max():.3g}; "
            "use the loss with from_logits=True, such as keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
        )
    if from_logits and looks_like_softmax(outputs):
        raise ValueError(
            "this loss takes logits. Received: a model that gives probabilities; use the loss with from_logits=False"
        )


def looks_like_softmax(outputs: np.ndarray) -> bool:
    """Whether all rows are >= 0 and sum to 1."""
    return outputs.ndim > 1 and outputs.shape[-1] > 1 and outputs.min() >= 0 and np.allclose(outputs.sum(-1), 1, atol=1e-3)

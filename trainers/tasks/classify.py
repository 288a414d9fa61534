"""Classification into C classes. B batch."""

import math
import warnings

import numpy as np
from keras import ops
from sklearn import metrics as exact

from trainers.tasks.base import MAX, MIN, Report, Sums, Task, example_inputs
from trainers.tasks.checks import check_single_output

SCORE_BINS = 1000
_MOST_CLASSES_FOR_AUC = 100


class Classify(Task):
    """Softmax cross-entropy over C logits, or sigmoid cross-entropy for two classes and a model with one logit.

    y: [B] class numbers, or [B, C] probabilities.

    Args:
      spec: of the data; `num_classes` is C.
      label_smoothing: share of each label that is spread over all classes (Szegedy et al. 2016, 7).
      class_weights: a factor on the loss for each class, by number; "balanced" for n / (C x count of the class). It does not
        enter the denominator of the mean, nor the metrics.
      from_logits: False if the model ends in softmax or sigmoid.
    """

    def __init__(
        self, spec, *, label_smoothing: float = 0.0, class_weights: str | list[float] | None = None, from_logits: bool = True
    ) -> None:
        super().__init__(spec)
        if not spec.num_classes:
            raise ValueError(
                "task 'classify' needs data with classes. Received: data whose target is a number; use task 'regress'"
            )
        self.num_classes = spec.num_classes
        self._other_outputs = (1,) if self.num_classes == 2 else ()
        self.label_smoothing, self.from_logits = label_smoothing, from_logits
        self.class_weights = _class_weights(class_weights, spec)

    directions = {
        "loss": MIN, **dict.fromkeys(("accuracy", "top5_accuracy", "precision", "recall", "f1", "f1_micro", "roc_auc"), MAX)
    }  # fmt: skip

    def arguments(self, spec):
        return {**super().arguments(spec), "num_classes": (self.num_classes, *self._other_outputs)}

    def check(self, model, spec):
        check_single_output(model, (self.num_classes, *self._other_outputs), logits=self.from_logits)

    def losses(self, batch, outputs):
        y, logits = batch["y"], self._logits(outputs)
        if logits.shape[-1] == 1:
            labels = ops.cast(y, "float32")
            labels = labels * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
            losses = ops.binary_crossentropy(labels, logits[:, 0], from_logits=True)
        elif len(y.shape) == 1 and not self.label_smoothing:
            losses = ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
        else:
            labels = ops.one_hot(y, self.num_classes) if len(y.shape) == 1 else ops.cast(y, "float32")
            labels = labels * (1 - self.label_smoothing) + self.label_smoothing / self.num_classes
            losses = ops.categorical_crossentropy(labels, logits, from_logits=True)
        if self.class_weights is not None:
            losses = losses * ops.take(ops.convert_to_tensor(self.class_weights), _class_numbers(y))
        return losses

    def metrics(self, batch, outputs, *, training):
        y, w, logits = _class_numbers(batch["y"]), ops.cast(batch["w"], "float32"), self._logits(outputs)
        predicted = self._predicted(logits)
        sums = {"correct": ops.sum(w * ops.cast(ops.equal(y, predicted), "float32"))}
        if training:
            return sums
        size = self.num_classes
        sums["confusion"] = _histogram(y * size + predicted, w, size * size)
        if size > 5:
            sums["top5"] = ops.sum(w * ops.cast(ops.in_top_k(y, logits, k=5), "float32"))
        if size <= _MOST_CLASSES_FOR_AUC:
            scores = self._scores(logits)  # [B, 1] or [B, C]
            bins = ops.cast(ops.minimum(scores * SCORE_BINS, SCORE_BINS - 1), "int32")
            bins = bins + SCORE_BINS * ops.arange(scores.shape[-1])
            is_class = ops.one_hot(y, size)[:, -scores.shape[-1] :]
            for name, of in (("positive_scores", is_class), ("negative_scores", 1 - is_class)):
                sums[name] = _histogram(
                    ops.reshape(bins, (-1,)), ops.reshape(w[:, None] * of, (-1,)), SCORE_BINS * scores.shape[-1]
                )
        return sums

    def check_targets(self, y):
        super().check_targets(y)
        if y.ndim == 1 and not np.isin(y, np.arange(self.num_classes)).all():
            wrong = np.flatnonzero(~np.isin(y, np.arange(self.num_classes)))[0]
            raise ValueError(f"labels must be 0 to {self.num_classes - 1}. Received: {y[wrong]} in example {wrong}")
        if y.ndim == 2 and y.shape[1] != self.num_classes:
            raise ValueError(f"probabilities must be [N, {self.num_classes}]. Received: {y.shape}")
        if y.ndim == 2 and (wrong := np.flatnonzero(np.abs(y.sum(axis=1) - 1.0) > 1e-3)).size:
            raise ValueError(
                f"targets [N, {self.num_classes}] are probabilities: each row must sum to 1. Received: {y[wrong[0]].sum()} in "
                f"example {wrong[0]}; where an example has several classes, use task 'multilabel' or a loss"
            )

    def example_batch(self, model, rng, size=8):
        y = rng.integers(0, self.num_classes, size).astype(np.int32)
        return {"x": example_inputs(model, rng, size), "y": y, "w": np.ones(size, np.float32)}

    def finish(self, sums: Sums):
        found = super().finish(sums)
        found["accuracy"] = float(sums["correct"] / sums["weight"])
        if "top5" in sums:
            found["top5_accuracy"] = float(sums["top5"] / sums["weight"])
        if "confusion" in sums:
            found |= _precision_recall_f1(np.reshape(sums["confusion"], (self.num_classes, -1)))
        if "positive_scores" in sums:
            shape = (-1, SCORE_BINS)
            found["roc_auc"] = _binned_auc(
                np.reshape(sums["positive_scores"], shape), np.reshape(sums["negative_scores"], shape)
            )
        return found

    def report(self, y, records):
        y, logits = np.asarray(_class_numbers(y)), self._logits(records)
        predicted, scores = np.asarray(self._predicted(logits)), np.asarray(self._scores(logits))
        names, labels = self._class_names(), range(self.num_classes)
        options = dict(labels=labels, target_names=names, zero_division=0)
        data = exact.classification_report(y, predicted, output_dict=True, **options)
        data["confusion_matrix"] = exact.confusion_matrix(y, predicted, labels=labels).tolist()
        data["roc_auc"] = _exact_auc(y, scores)
        text = exact.classification_report(y, predicted, digits=4, **options)
        return Report(f"{text}\nROC-AUC {data['roc_auc']:.4f}\n", data)

    def baseline(self, y_train, y):
        majority = np.bincount(np.asarray(_class_numbers(y_train)), minlength=self.num_classes).argmax()
        accuracy = float(np.mean(np.asarray(_class_numbers(y)) == majority))
        return f"always {self._class_names()[majority]}", {"accuracy": accuracy}

    def predictions(self, answers):
        logits = self._logits(answers)
        scores = np.asarray(self._scores(logits))
        probabilities = np.concatenate([1 - scores, scores], axis=-1) if scores.shape[-1] == 1 else scores
        best = np.asarray(self._predicted(logits))
        return [{"class": self._class_names()[k], "probability": float(p[k])} for k, p in zip(best, probabilities, strict=True)]

    def _class_names(self) -> list[str]:
        return [str(name) for name in self.spec.class_names or range(self.num_classes)]

    def _logits(self, outputs):
        """[B, C] or [B, 1], float32."""
        outputs = ops.cast(ops.reshape(outputs, (outputs.shape[0], -1)), "float32")
        if self.from_logits:
            return outputs
        outputs = ops.clip(outputs, 1e-7, 1 - 1e-7)
        return ops.log(outputs) - (ops.log1p(-outputs) if outputs.shape[-1] == 1 else 0.0)

    def _predicted(self, logits):
        return ops.cast(logits[:, 0] > 0, "int32") if logits.shape[-1] == 1 else ops.cast(ops.argmax(logits, -1), "int32")

    def _scores(self, logits):
        """Probabilities: of class 1 alone [B, 1] where there are two, else of each [B, C]."""
        if logits.shape[-1] == 1:
            return ops.sigmoid(logits)
        return ops.softmax(logits)[:, 1 if self.num_classes == 2 else 0 :]


def _class_weights(given, spec) -> np.ndarray | None:
    if given is None:
        return None
    if given == "balanced":
        counts = np.asarray(spec.class_counts, np.float32)
        return counts.sum() / (len(counts) * np.maximum(counts, 1))
    if isinstance(given, str) or len(given) != spec.num_classes:
        raise ValueError(f'class_weights must be "balanced" or {spec.num_classes} numbers. Received: {given!r}')
    return np.asarray(given, np.float32)


def _class_numbers(y):
    return ops.cast(ops.argmax(y, -1) if len(y.shape) == 2 else y, "int32")


def _histogram(bins, weights, size: int):
    return ops.segment_sum(weights, bins, num_segments=size)


def _precision_recall_f1(confusion: np.ndarray) -> dict[str, float]:
    """Macro means over the classes that occur or were predicted; 0 where a denominator is 0, as scikit-learn has it."""
    hits, truth, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    seen = truth + predicted > 0
    precision, recall = (hits / np.where(n > 0, n, 1) for n in (predicted, truth))
    f1 = 2 * hits / np.where(seen, truth + predicted, 1)
    micro = hits.sum() / confusion.sum()
    macro = {"precision": precision, "recall": recall, "f1": f1}
    means = {name: float(values[seen].mean()) if seen.any() else math.nan for name, values in macro.items()}
    return {**means, "f1_micro": float(micro)}


def _binned_auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Mean over classes of the chance that a positive scores above a negative; within a bin, half. [C, bins] each."""
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(1) * negative.sum(1)
    areas = (positive * below).sum(1)[pairs > 0] / pairs[pairs > 0]
    return float(areas.mean()) if len(areas) else math.nan


def _exact_auc(y: np.ndarray, scores: np.ndarray) -> float:
    classes = [1] if scores.shape[-1] == 1 else range(scores.shape[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that does not occur has no area
        areas = [exact.roc_auc_score(y == k, scores[:, i]) for i, k in enumerate(classes)]
    return float(np.nanmean(areas)) if not np.all(np.isnan(areas)) else math.nan

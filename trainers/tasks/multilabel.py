"""Multi-label classification: each of C classes is there or not. B batch, N examples."""

import numpy as np
from keras import ops
from sklearn import metrics as exact

from trainers.tasks.base import MAX, MIN, Report, Sums, Task
from trainers.tasks.checks import check_single_output


class Multilabel(Task):
    """Sigmoid cross-entropy for each of C classes, averaged over them. A class is predicted where its probability is over 1/2.

    y: [B, C] of 0 and 1. The model gives C logits.

    Args:
      spec: of the data; `num_classes` is C.
      label_smoothing: labels become 0 + s/2 and 1 - s/2 (Szegedy et al. 2016, 7).
    """

    directions = {"loss": MIN, **dict.fromkeys(("accuracy", "f1_micro", "f1_macro", "precision", "recall"), MAX)}

    def __init__(self, spec, *, label_smoothing: float = 0.0) -> None:
        super().__init__(spec)
        if not spec.num_classes:
            raise ValueError("task 'multilabel' needs data with classes. Received: none")
        self.num_classes, self.from_logits, self.label_smoothing = spec.num_classes, True, label_smoothing

    def arguments(self, spec):
        return {**super().arguments(spec), "num_classes": (self.num_classes,)}

    def check(self, model, spec):
        check_single_output(model, (self.num_classes,), logits=True)

    def losses(self, batch, outputs):
        y, logits = ops.cast(batch["y"], "float32"), ops.cast(outputs, "float32")
        y = y * (1 - self.label_smoothing) + self.label_smoothing / 2
        return ops.mean(ops.binary_crossentropy(y, logits, from_logits=True), axis=-1)

    def metrics(self, batch, outputs, *, training):
        w, y = ops.cast(batch["w"], "float32")[:, None], ops.cast(batch["y"], "float32")
        predicted = ops.cast(outputs > 0, "float32")
        return {
            "hits": ops.sum(w * y * predicted, axis=0),
            "truth": ops.sum(w * y, axis=0),
            "predicted": ops.sum(w * predicted, axis=0),
            "exact": ops.sum(w[:, 0] * ops.cast(ops.all(ops.equal(y, predicted), axis=-1), "float32")),
        }

    def finish(self, sums: Sums):
        """`accuracy` is the share of examples whose classes are all right; precision and recall are over all labels."""
        hits, truth, predicted = sums["hits"], sums["truth"], sums["predicted"]
        total = truth + predicted
        return {
            **super().finish(sums),
            "accuracy": float(sums["exact"] / sums["weight"]),
            "f1_micro": float(2 * hits.sum() / max(total.sum(), 1e-9)),
            "f1_macro": float(np.mean(2 * hits / np.where(total > 0, total, 1))),
            "precision": float(hits.sum() / max(predicted.sum(), 1e-9)),
            "recall": float(hits.sum() / max(truth.sum(), 1e-9)),
        }

    def check_targets(self, y):
        super().check_targets(y)
        if np.ndim(y) != 2 or y.shape[1] != self.num_classes:
            raise ValueError(f"targets must be [N, {self.num_classes}] of 0 and 1. Received: {np.shape(y)}")
        if not np.isin(y, (0, 1)).all():
            raise ValueError(f"targets must be 0 or 1. Received: {y[~np.isin(y, (0, 1))][0]}")

    def report(self, y, records):
        names = self._class_names()
        options = dict(target_names=names, zero_division=0)
        y, predicted = np.asarray(y, int), (np.asarray(records) > 0).astype(int)
        text = exact.classification_report(y, predicted, digits=4, **options)
        return Report(text, exact.classification_report(y, predicted, output_dict=True, **options))

    def baseline(self, y_train, y):
        guess = np.mean(y_train, axis=0) > 0.5
        return "the commoner of 0 and 1 for each class", {"accuracy": float(np.mean((np.asarray(y) == guess).all(1)))}

    def predictions(self, answers):
        probabilities = 1 / (1 + np.exp(-np.asarray(answers, np.float64)))
        names = self._class_names()
        return [
            {
                "classes": [name for name, p in zip(names, row, strict=True) if p > 0.5],
                "probabilities": dict(zip(names, row.tolist(), strict=True)),
            }
            for row in probabilities
        ]

    def example_batch(self, model, rng, size=8):
        x = rng.normal(size=(size, *model.input_shape[1:])).astype(np.float32)
        return {"x": x, "y": rng.integers(0, 2, (size, self.num_classes)), "w": np.ones(size, np.float32)}

    def _class_names(self) -> list[str]:
        return [str(name) for name in self.spec.class_names or range(self.num_classes)]

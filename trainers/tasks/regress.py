"""Regression: numbers from x. B batch, D targets."""

import numpy as np
from keras import ops

from trainers.tasks.base import MAX, MIN, Report, Sums, Task, example_inputs
from trainers.tasks.checks import check_single_output

_LOSSES = {
    "mse": lambda error: ops.square(error),
    "mae": lambda error: ops.abs(error),
    "huber": lambda error: ops.where(ops.abs(error) < 1, 0.5 * ops.square(error), ops.abs(error) - 0.5),
}


class Regress(Task):
    """The model gives standardised targets, (y - mean) / std of the training split; the loss is of these, while mse, mae and
    predictions are in y's own units.

    y: [B] or [B, D].

    Args:
      spec: of the data; `target_mean` and `target_std` are [D].
      loss: "mse", "mae" or "huber" (Huber 1964, with delta 1).
    """

    directions = {**dict.fromkeys(("loss", "mse", "rmse", "mae"), MIN), "r2": MAX}

    def __init__(self, spec, *, loss: str = "mse") -> None:
        super().__init__(spec)
        if loss not in _LOSSES:
            raise ValueError(f"unknown loss {loss!r}. Accepted: {', '.join(_LOSSES)}")
        if spec.target_mean is None:
            raise ValueError("task 'regress' needs data whose target is a number. Received: classes; use task 'classify'")
        self.loss = _LOSSES[loss]
        self.mean, self.std = np.asarray(spec.target_mean, np.float32), np.asarray(spec.target_std, np.float32)

    def arguments(self, spec):
        return {**super().arguments(spec), "num_classes": (len(self.mean),)}

    def check(self, model, spec):
        check_single_output(model, (len(self.mean),))

    def losses(self, batch, outputs):
        target = (self._columns(batch["y"]) - self.mean) / self.std
        return ops.mean(self.loss(self._columns(outputs) - target), axis=-1)

    def metrics(self, batch, outputs, *, training):
        y, w = self._columns(batch["y"]), ops.cast(batch["w"], "float32")
        error = self._values(outputs) - y
        sums = {"squared_error": ops.square(error), "absolute_error": ops.abs(error)}
        if not training:
            sums |= {"centered": y - self.mean, "centered_squared": ops.square(y - self.mean)}
        return {name: ops.sum(w[:, None] * values, axis=0) for name, values in sums.items()}

    def example_batch(self, model, rng, size=8):
        y = rng.normal(size=(size, len(self.mean))).astype(np.float32)
        return {"x": example_inputs(model, rng, size), "y": y, "w": np.ones(size, np.float32)}

    def finish(self, sums: Sums):
        weight, mse = sums["weight"], np.mean(sums["squared_error"]) / sums["weight"]
        found = {**super().finish(sums), "mse": float(mse), "rmse": float(np.sqrt(mse))}
        found["mae"] = float(np.mean(sums["absolute_error"]) / weight)
        if "centered" in sums:
            spread = sums["centered_squared"] - sums["centered"] ** 2 / weight
            found["r2"] = float(np.mean(1 - sums["squared_error"] / np.where(spread > 0, spread, np.nan)))
        return found

    def report(self, y, records):
        errors = np.asarray(self._values(records)) - np.asarray(self._columns(y))
        names = ["mean error", "standard deviation", "median absolute error", "largest absolute error"]
        values = [errors.mean(), errors.std(), np.median(np.abs(errors)), np.abs(errors).max()]
        data = {name.replace(" ", "_"): float(value) for name, value in zip(names, values, strict=True)}
        return Report("".join(f"{name:>24} {value:12.6g}\n" for name, value in zip(names, values, strict=True)), data)

    def baseline(self, y_train, y):
        error = np.asarray(self._columns(y)) - np.asarray(self._columns(y_train)).mean(0)
        return "always the mean", {"mse": float(np.mean(error**2)), "mae": float(np.mean(np.abs(error)))}

    def predictions(self, answers):
        values = np.asarray(self._values(answers))
        return [{"value": float(row[0]) if len(row) == 1 else row.tolist()} for row in values]

    def _values(self, outputs):
        return self._columns(outputs) * self.std + self.mean

    def _columns(self, y):
        """[B] or [B, D] -> [B, D], float32."""
        return ops.cast(ops.reshape(y, (y.shape[0], len(self.mean))), "float32")

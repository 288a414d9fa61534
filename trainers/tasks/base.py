"""What every task has. B batch, C outputs of the model."""

import keras
import numpy as np

Sums = dict[str, np.ndarray]


class Task:
    """What a model is trained for. The first group of methods is compiled into the step and uses keras.ops alone; the second
    runs on the host with NumPy.

    Attributes:
      num_outputs: C that the model must have; also accepted are `other_outputs`.
      lower_is_better: names of metrics; of all others more is better.
    """

    num_outputs: int
    other_outputs: tuple[int, ...] = ()
    lower_is_better = frozenset({"loss"})

    def __init__(self, spec) -> None:
        """`spec` tells of the data: num_classes, class_names, class_counts, target_mean, target_std."""
        self.spec = spec

    # On the device ----------------------------------------------------------------------------------------------------

    def prepare(self, batch: dict, seed) -> dict:
        """The batch to train on: masking, views, mixing. `seed` is [2], int64, another for each step and replica."""
        return batch

    def forward(self, model: keras.Model, batch: dict, *, training: bool):
        """The model's outputs for batch["x"]."""
        return model(batch["x"], training=training)

    def losses(self, batch: dict, outputs):
        """One loss for each weight: a tensor of exactly the shape of batch["w"]."""
        raise NotImplementedError

    def metrics(self, batch: dict, outputs, *, training: bool) -> dict:
        """Sums, float32 and of any fixed shape, that add up over batches and replicas. In training: few and small."""
        return {}

    # On the host ------------------------------------------------------------------------------------------------------

    def check_targets(self, y: np.ndarray) -> None:
        """ValueError if targets are not what this task takes."""
        if not np.isfinite(y).all():
            raise ValueError(f"targets must be finite. Received: {y[~np.isfinite(y)][0]}")

    def finish(self, sums: Sums) -> dict[str, float]:
        """Metrics from the sums of `metrics` and of {"loss", "weight"}."""
        return {"loss": float(sums["loss"] / sums["weight"])}

    def report(self, y: np.ndarray, outputs: np.ndarray) -> tuple[str, dict]:
        """A report of all examples of a split, as text and as data for JSON; exact where `finish` may be binned."""
        return "", {}

    def baseline(self, y_train: np.ndarray, y: np.ndarray) -> tuple[str, dict[str, float]]:
        """What one reaches without looking at x: how, and its metrics on y."""
        return "", {}

    def predictions(self, outputs: np.ndarray) -> list[dict]:
        """One dict for each example, for people to read."""
        raise NotImplementedError

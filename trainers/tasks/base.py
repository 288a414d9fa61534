"""What every task has. B batch, T steps of a sequence, C outputs of the model."""

import dataclasses
from typing import Any

import keras
import numpy as np

Sums = dict[str, np.ndarray]

MIN, MAX = "min", "max"


class Objective:
    """A loss and the variables that are trained for it. All of it is compiled into the step: it uses keras.ops alone.

    A batch is {"x", "y", "w"}: nests of tensors with one first axis B. w is [B], or [B, T] for tokens, or a dict of these where
    a loss has terms, each with a mean of its own. Rows that only fill the last batch have w = 0.

    Attributes:
      name: sums are called "name/loss"; "" where there is one objective.
      trains: model -> the variables that this objective changes; None for all trainable ones.
      follows: model -> [(variable, leader, momentum)] of non-trainable variables that become, after an update,
        momentum x variable + (1 - momentum) x leader: target networks.
      updates: of its variables in each step; update i takes the rows i, i + n, i + 2n, ... of the batch.
      terms: names of the terms of w and of the losses, where w is a dict.
      across: whether an example's loss looks at the outputs of others. `losses` and `metrics` then see the outputs of the
        global batch, and of the batch everything but x.
    """

    name: str = ""
    trains = None
    follows = None
    updates: int = 1
    across: bool = False
    terms: tuple[str, ...] = ()

    def prepare(self, batch: dict, noise, *, training: bool) -> dict:
        """The batch that is learned: masking, views, mixing; in evaluation too. `noise` gives random numbers by row:
        noise.normal(*shape), noise.uniform(*shape), noise.integers(below, *shape), each [B, *shape], in every call others.
        """
        return batch

    def forward(self, model: keras.Model, batch: dict, *, training: bool):
        """A nest of outputs for batch["x"]."""
        return model(batch["x"], training=training)

    def losses(self, batch: dict, outputs):
        """A tensor of exactly the shape of batch["w"], or a dict of these where w is one; the loss is the sum of its terms."""
        raise NotImplementedError

    def metrics(self, batch: dict, outputs, *, training: bool) -> dict:
        """Sums, float32 and of any fixed shape, that add up over batches and replicas. In training: few and small."""
        return {}


@dataclasses.dataclass(frozen=True)
class Report:
    """What a task says of a split: text for people, data for JSON, figures as {file name: PNG}."""

    text: str = ""
    data: dict = dataclasses.field(default_factory=dict)
    figures: dict[str, bytes] = dataclasses.field(default_factory=dict)


class Task(Objective):
    """What a model is trained for: an objective, or several that are updated in turn; and what runs on the host, in NumPy.

    A task needs `losses`; all else has defaults.

    Attributes:
      directions: MIN or MAX for every metric that may be monitored.
      monitor: the metric that chooses the best model where nothing else is asked for; None for the last model (a GAN).
      frozen: models that are read alone, such as a teacher; never changed, never saved.
      files: that the task was made from (weights of a teacher); a run goes on with the same alone.
    """

    directions: dict[str, str] = {"loss": MIN}
    monitor: str | None = "loss"
    frozen: tuple[keras.Model, ...] = ()
    files: tuple = ()

    def __init__(self, spec=None) -> None:
        """`spec` says what the data is: see trainers.data.spec.Spec."""
        self.spec = spec

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """In the order of their updates."""
        return (self,)

    # What the data and the model must be ------------------------------------------------------------------------------

    def arguments(self, spec) -> dict[str, tuple]:
        """What the data says to the model's builder: for each argument the values that fit, the first of which is given
        where the config gives none.
        """
        return {"input_shape": (spec.input_shape,), "vocab_size": (spec.vocab_size,)}

    def check(self, model: keras.Model, spec) -> None:
        """ValueError if the outputs of a model are not what this task needs."""

    def check_targets(self, y) -> None:
        """ValueError if a split's targets are not what this task takes. y: a nest of arrays [N, ...]."""
        for array in keras.tree.flatten(y):
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise ValueError(f"targets must be finite. Received: {array[~np.isfinite(array)][0]}")

    # What is measured and answered ------------------------------------------------------------------------------------

    def finish(self, sums: Sums) -> dict[str, float]:
        """Metrics from the sums of `metrics`, and of "loss" and "weight" of each objective ("d/loss") and term ("loss/box")."""
        return mean_losses(sums)

    def record(self, model: keras.Model, batch: dict) -> Any:
        """Compiled. What `report` needs of each example of a prepared batch: a nest of small tensors [B, ...], never logits of
        whole sequences.
        """
        return self.forward(model, batch, training=False)

    def report(self, y, records) -> Report:
        """Of all examples of a split; exact where `finish` may be binned. records: as `record` gives them, NumPy."""
        return Report()

    def baseline(self, y_train, y) -> tuple[str, dict[str, float]]:
        """What one reaches without looking at x: how, and its metrics on y."""
        return "", {}

    def answer(self, model: keras.Model, x, noise) -> Any:
        """Compiled. What people ask of the trained model for x: a nest of tensors [B, ...]. The one path of predict, generate,
        serve and export.
        """
        return self.forward(model, {"x": x}, training=False)

    def predictions(self, answers) -> list[dict]:
        """One dict for each example, for people to read. answers: as `answer` gives them, NumPy."""
        rows = zip(*(np.asarray(a) for a in keras.tree.flatten(answers)), strict=True)
        return [{str(i): value.tolist() for i, value in enumerate(row)} for row in rows]

    def example_batch(self, model: keras.Model, rng: np.random.Generator, size: int = 8) -> dict:
        """{"x", "y", "w"} of NumPy arrays, as the tests over all tasks and the selftest train with it."""
        raise NotImplementedError


def mean_losses(sums: Sums) -> dict[str, float]:
    """Sums over weights of "loss", "NAME/loss" of an objective and "loss/TERM" of a term, whose objective gets their sum."""
    means: dict[str, float] = {}
    for name, total in sums.items():
        parts = name.split("/")
        if "loss" in parts:
            i = parts.index("loss")
            means[name] = float(total / sums["/".join([*parts[:i], "weight", *parts[i + 1 :]])])
            if parts[i + 1 :]:
                whole = "/".join(parts[: i + 1])
                means[whole] = means.get(whole, 0.0) + means[name]
    return means

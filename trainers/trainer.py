"""The loop for any Keras model, from any program."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.data.adapt import as_data
from trainers.data.pipeline import Data, Spec
from trainers.engine.learner import Hook, Learner, Metrics
from trainers.engine.model_check import check_model
from trainers.engine.optimizers import optimizer_rules
from trainers.engine.progress import Progress, Timetable
from trainers.engine.strategy import make_strategy
from trainers.report import console
from trainers.speed.measure import measure_plan
from trainers.speed.plan import make_plan
from trainers.tasks import Task, make_task


class Trainer:
    """Trains, evaluates and predicts with a Keras model: compiled steps, right numbers on any number of replicas.

        trainer = Trainer(model, task="classify", optimizer="adam")
        history = trainer.fit((x, y), validation_data=(x_val, y_val), epochs=5)

    Args:
      model: a Keras model whose outputs are logits; or a function that builds one. A model whose variables are not where the
        strategy computes is copied there, and gets the trained weights when `fit` is done.
      task: "classify" or "regress"; a dict of a task's name and arguments; or a Task.
      optimizer: a Keras optimizer, its name in lower case, or a dict of its name and arguments, `schedule` among them.
      strategy: a name (trainers.make_strategy) or a tf.distribute.Strategy.
      plan: "auto", "measure" or one of trainers.speed.plan.PLANS.
      seed: of order and dropout.
      accumulate: pieces that each batch is computed in.

    Raises:
      ValueError: a model that ends in softmax or sigmoid, where the task expects logits; anything that is not accepted.
    """

    def __init__(
        self,
        model: keras.Model | Callable[[], keras.Model],
        *,
        task: str | dict | Task = "classify",
        optimizer: str | dict | keras.optimizers.Optimizer = "adam",
        strategy: str | tf.distribute.Strategy = "auto",
        plan: str = "auto",
        seed: int = 0,
        accumulate: int = 1,
    ) -> None:
        self._strategy = make_strategy(strategy) if isinstance(strategy, str) else strategy
        with self._strategy.scope():
            self._given = model if isinstance(model, keras.Model) else model()
        self.model = self._in_strategy(self._given)
        self._task, self._optimizer, self._plan, self._seed, self._accumulate = task, optimizer, plan, seed, accumulate
        self._learner: Learner | None = None

    def fit(
        self,
        data: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        validation_data: Any = None,
        batch_size: int = 32,
        epochs: float = 1,
        steps: int | None = None,
        monitor: str = "loss",
        patience: int | None = None,
        restore_best: bool = False,
        hooks: Sequence[Hook] = (),
        verbose: bool = True,
    ) -> dict[str, list[float]]:
        """Train; called again, it goes on with the same moments and order. A schedule spans one call, and the best is of it.

        Args:
          data: (x, y) or (x, y, w) of arrays, {"x", "y", "w"}, a tf.data.Dataset of batches of these, or x alone with `y` and
            `sample_weight` apart. x may be a dict of arrays.
          validation_data: the same, evaluated after each epoch.
          batch_size: over all replicas together; a dataset has its own.
          epochs, steps: how long; steps if given.
          monitor, patience: the metric of the validation data that says which weights are best, and how many evaluations
            without a better one end training.
          restore_best: keep the best weights, not the last.
          hooks: called as hook(event, learner); see trainers.engine.learner.Learner.
          verbose: show progress.

        Returns:
          A list for each metric, one number an epoch; those of the validation data start with "val_".
        """
        train = data if y is None else (data, y, sample_weight)
        found = as_data({"train": train} if validation_data is None else {"train": train, "validation": validation_data})
        batch_size = found.own_batch_size("train") or batch_size
        per_epoch = found.steps("train", batch_size)
        if validation_data is None and (patience is not None or restore_best):
            raise ValueError("patience and restore_best need validation_data. Received: none")
        steps = steps or max(1, round(epochs * per_epoch))
        learner = self._ready(found, batch_size)
        if self._plan == "measure":
            measure_plan(learner, found, batch_size=batch_size, total_steps=steps)
            self._plan = learner.plan.name
        if isinstance(self._optimizer, dict) and "schedule" in self._optimizer:
            learner = self._learner = self._with_schedule(learner, steps, per_epoch)
        before = learner.progress
        learner.progress = Progress(
            step=before.step, seconds=before.seconds, examples=before.examples
        )  # the best is of this fit
        timetable = Timetable(
            first_step=before.step, total_steps=before.step + steps, steps_per_epoch=per_epoch, eval_every_steps=per_epoch,
            monitor=monitor, patience=patience,
        )  # fmt: skip
        history: dict[str, list[float]] = {}

        def record(event: str, learner: Learner) -> None:
            if event == "metrics":
                for name, value in ((n, v) for n, v in learner.metrics.items() if n != "skipped"):
                    history.setdefault(name if learner.split == "train" else f"val_{name}", []).append(value)

        learner.fit(
            found, batch_size=batch_size, timetable=timetable, hooks=[record, *([console()] if verbose else []), *hooks]
        )
        if restore_best and learner.progress.best_weights:
            learner.set_weights(learner.progress.best_weights)
        else:
            learner.set_weights(learner.weights())  # the average, where the optimizer keeps one
        if self._given is not self.model:
            self._given.set_weights([keras.ops.convert_to_numpy(w) for w in self.model.weights])
        return history

    def evaluate(self, data: Any, y: Any = None, *, sample_weight: Any = None, batch_size: int = 32) -> Metrics:
        """Metrics over all examples, each counted once. Arguments as in `fit`."""
        found = as_data({"train": data if y is None else (data, y, sample_weight)})
        batch_size = found.own_batch_size("train") or batch_size
        return self._ready(found, batch_size).evaluate(found, "train", batch_size)

    def predict(self, x: Any, *, batch_size: int = 32) -> Any:
        """The model's outputs for arrays x, in order."""
        size = len(tf.nest.flatten(x)[0])
        found = as_data({"train": (x, np.zeros(size, np.int32))})
        return self._ready(found, batch_size).answers(found, "train", batch_size)

    def _ready(self, data: Data, batch_size: int) -> Learner:
        """The learner, made when it is known what x is."""
        if self._learner is None:
            task = self._make_task(self._num_outputs(data, batch_size))
            check_model(self.model, data.spec, task)
            self._decode = data.decode
            self._facts = dict(resident=data.can_be_resident("train"))
            self._learner = self._make_host(task, total_steps=1)
        self._learner.check_batch_size(batch_size)
        for split in data.spec.examples:
            if data.arrays(split) is not None:
                self._learner.task.check_targets(data.arrays(split).y)
        return self._learner

    def _make_host(self, task: Task, **steps: int) -> Learner:
        optimizers = optimizer_rules(self._optimizer, **steps)
        plan = make_plan(self._plan, self.model, self._strategy, **self._facts)
        options = dict(seed=self._seed, accumulate=self._accumulate, decode=self._decode)
        return Learner(self.model, task, optimizers, self._strategy, plan, **options)

    def _with_schedule(self, learner: Learner, steps: int, steps_per_epoch: int) -> Learner:
        """The learner with an optimizer whose schedule spans the next `steps`, and the state of the one before."""
        variables = learner.state.variables["optimizer"]
        first = int(keras.ops.convert_to_numpy(learner.state.optimizers[0].iterations))
        new = self._make_host(learner.task, total_steps=steps, steps_per_epoch=steps_per_epoch, first_step=first)
        for variable, before in zip(new.state.variables["optimizer"], variables, strict=True):
            variable.assign(keras.ops.convert_to_numpy(before))
        new.progress = learner.progress
        return new

    def _num_outputs(self, data: Data, batch_size: int) -> int:
        """Of the model; one that does not say is built by calling it on the first batch."""
        if getattr(self.model, "outputs", None):
            return self.model.outputs[0].shape[-1]
        with self._strategy.scope():
            return self.model(data.as_float(next(iter(data.batches("train", batch_size, training=False)))["x"])).shape[-1]

    def _make_task(self, num_outputs: int) -> Task:
        """The task for a model of so many outputs. The data's own numbers are left as they are: mean 0, deviation 1."""
        if isinstance(self._task, Task):
            return self._task
        spec = Spec(
            input_shape=None, examples={}, num_classes=max(num_outputs, 2),
            target_mean=(0.0,) * num_outputs, target_std=(1.0,) * num_outputs,
        )  # fmt: skip
        given = {"name": self._task} if isinstance(self._task, str) else {"name": "classify", **self._task}
        return make_task(**given, spec=spec)

    def _in_strategy(self, model: keras.Model) -> keras.Model:
        """The model itself if its variables are where the strategy computes, else a copy."""
        one_device = self._strategy.num_replicas_in_sync == 1 and not isinstance(self._strategy, tf.distribute.TPUStrategy)
        if one_device or all(self._strategy.extended.variable_created_in_scope(v.value) for v in model.variables):
            return model
        with self._strategy.scope():
            copy = keras.models.clone_model(model)
        copy.set_weights([keras.ops.convert_to_numpy(w) for w in model.weights])
        return copy

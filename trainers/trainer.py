"""The loop for any Keras model, from any program."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from trainers.data.adapt import Given, as_data
from trainers.engine.learner import Hook, Learner, Metrics
from trainers.engine.model_check import check_model
from trainers.engine.optimizers import optimizer_rules
from trainers.engine.progress import Progress, Timetable
from trainers.engine.strategy import make_strategy
from trainers.keras_compat import (
    History,
    check_callbacks,
    check_logits,
    check_own_steps,
    check_stateless,
    compiled_with,
    copied,
    run_callbacks,
)
from trainers.report import console
from trainers.report.metrics_file import metrics_file
from trainers.resume import opened, read_history
from trainers.runs.checkpoint import Saving, checkpoints
from trainers.speed.measure import compiled_or_graph, measure_plan, settle_plan
from trainers.speed.plan import make_plan
from trainers.tasks import Task
from trainers.tasks.keras_loss import KerasLoss
from trainers.user_task import make_user_task, plan_for

log = logging.getLogger("trainers")

_LOOKED_AT = 8  # examples, before the first step

Optimizer = str | dict | type | keras.optimizers.Optimizer | None


class Trainer:
    """Trains, evaluates and predicts with a Keras model: compiled steps, right numbers on any number of replicas.

        trainer = Trainer(model, task="classify", optimizer="adam")
        history = trainer.fit((x, y), validation_data=(x_val, y_val), epochs=5)

        trainer = Trainer(autoencoder, loss="mse", metrics=["mae"])
        history = trainer.fit(x, x, epochs=5).history

    What is different from `keras.Model.fit`:

    - With sample weights the loss is divided by their sum, where `fit` divides by the number of examples: weights that are all
      2 change nothing here. To get the numbers of `fit`, divide the weights by their mean. Metrics are weighted too.
    - `accumulate=2` gives the gradient of the whole batch, but batch normalisation sees each half by itself and moves its
      statistics twice a step, as it does on two replicas. Without batch normalisation all of these are the same.
    - `class_weights` scale the loss and do not enter the denominator of its mean.
    - The last batch of an epoch is filled with examples of weight 0: no example is dropped or counted twice.

    Args:
      model: a Keras model; or a function that builds one, in the strategy's scope. A model whose variables are not where the
        strategy computes is copied there, and gets the trained weights when `fit` is done.
      task: "classify" (the default), "regress", "multilabel", whose models give logits; a dict of a task's name and arguments;
        or a Task of one's own. A model that was compiled with a loss needs neither task nor loss.
      loss, metrics, loss_weights: in place of a task, what `compile` takes; see trainers.tasks.keras_loss.KerasLoss.
      optimizer: "adam" by default: a Keras optimizer, its class, its name in lower case, or a dict of its name and arguments,
        `schedule` among them; or a list of (pattern, one of these or None): a variable gets the optimizer of the first regular
        expression that is found in its path, and stays as it is with None.
      class_weights: of "classify": "balanced", a dict of factors by class number or name (1 where it has none), or a list.
      strategy: a name (trainers.make_strategy) or a tf.distribute.Strategy.
      plan: "auto", "measure" or one of trainers.speed.plan.PLANS. Where XLA cannot compile the model, and for batches of
        varying lengths, "auto" and "measure" take the graph.
      seed: of order and dropout.
      accumulate: pieces that each batch is computed in.

    Raises:
      ValueError: a model that ends in softmax or sigmoid, where the task expects logits; a model with a `train_step` of its own
        and neither task nor loss; anything that is not accepted.
    """

    def __init__(
        self,
        model: keras.Model | Callable[[], keras.Model],
        *,
        task: str | dict | Task | None = None,
        loss: Any = None,
        metrics: Any = (),
        loss_weights: Any = None,
        optimizer: Optimizer | Sequence[tuple[str, Optimizer]] = None,
        class_weights: str | dict | Sequence[float] | None = None,
        strategy: str | tf.distribute.Strategy = "auto",
        plan: str = "auto",
        seed: int = 0,
        accumulate: int = 1,
    ) -> None:
        self._strategy = _strategy(strategy, model)
        with self._strategy.scope():
            self._given = model if isinstance(model, keras.Model) else model()
        found = compiled_with(self._given)
        if task is None and loss is None and found:
            loss, metrics, loss_weights = (found[name] for name in ("loss", "metrics", "loss_weights"))
            optimizer = found["optimizer"] if optimizer is None else optimizer
        elif found:
            log.warning("the model's compile(loss=...) is not used: %s was given", "task" if loss is None else "loss")
        check_stateless(self._given)
        check_own_steps(self._given, replaced=task is not None or loss is not None)
        if task is not None and (loss is not None or metrics or loss_weights is not None):
            raise ValueError("give a task, or loss, metrics and loss_weights. Received: both")
        if loss is None and metrics:
            raise ValueError("metrics are of a loss. Received: metrics without loss")
        self._loss = None if loss is None else dict(loss=loss, metrics=metrics, loss_weights=loss_weights)
        if class_weights is not None and (self._loss or isinstance(task, Task)):
            raise ValueError(
                "class_weights are of task 'classify'. With a loss or a task of your own, give fit a sample_weight"
            )
        self.model = self._in_strategy(self._given)
        self._task, self._class_weights = "classify" if task is None else task, class_weights
        self._optimizer = "adam" if optimizer is None else optimizer
        self._plan, self._seed, self._accumulate = plan, seed, accumulate
        self._learner: Learner | None = None
        self._looked = False
        self.class_names: tuple[str, ...] | None = None  # of text labels, in the order of the model's outputs

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
        steps_per_epoch: int | None = None,
        monitor: str | None = None,
        patience: int | None = None,
        restore_best: bool = False,
        workdir: str | Path | None = None,
        saving: Saving | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        hooks: Sequence[Hook] = (),
        verbose: bool = True,
    ) -> History:
        """Train; called again, it goes on with the same moments and order. A schedule spans one call, and the best is of it.

        Args:
          data: (x, y) or (x, y, w) of arrays, {"x", "y", "w"}, x alone with `y` and `sample_weight` apart; or batches of these:
            a tf.data.Dataset, a keras.utils.PyDataset, a generator. x and y may be dicts, tuples or lists of arrays; labels may
            be text. w is [N], or [N, T] for the steps of y.
          validation_data: the same, evaluated after each epoch; batches must end.
          batch_size: over all replicas together; a dataset has its own.
          epochs, steps: how long; steps if given.
          steps_per_epoch: of batches that do not end.
          monitor, patience: the metric of the validation data that says which weights are best (the task's own, most often
            "loss"), and how many evaluations without a better one end training.
          restore_best: keep the best weights, not the last.
          workdir: a folder for checkpoints. Training that was interrupted goes on there with the same bits; what is finished is
            not trained again. Epochs and steps are then counted from the beginning of what the folder holds.
          saving: how often, and how many; trainers.runs.checkpoint.Saving.
          callbacks: keras.callbacks.Callback that need epochs and their logs alone.
          hooks: called as hook(event, learner); see trainers.engine.learner.Learner.
          verbose: show progress.

        Returns:
          A list for each metric, one number an epoch; those of the validation data start with "val_". Also as `.history`.
        """
        check_positive(batch_size=batch_size, epochs=epochs, steps=steps, steps_per_epoch=steps_per_epoch)
        check_callbacks(callbacks)
        if validation_data is None and (patience is not None or restore_best):
            raise ValueError("patience and restore_best need validation_data. Received: none")
        found = self._data(_together(data, y, sample_weight), validation_data, steps_per_epoch or steps)
        batch_size = found.own_batch_size("train") or batch_size
        per_epoch = steps_per_epoch or found.steps("train", batch_size)
        steps = steps or max(1, round(epochs * per_epoch))
        learner = self._settled(found, batch_size, steps)
        if _has_schedule(self._optimizer):
            learner = self._learner = self._with_schedule(learner, steps, per_epoch, first=0 if workdir else None)
        before = learner.progress
        learner.progress = (
            Progress() if workdir else Progress(step=before.step, seconds=before.seconds, examples=before.examples)
        )  # the best is of this fit
        timetable = Timetable(
            first_step=learner.progress.step, total_steps=learner.progress.step + steps, steps_per_epoch=per_epoch,
            eval_every_steps=per_epoch, monitor=monitor or learner.task.monitor, patience=patience,
        )  # fmt: skip
        history, folder = History(), contextlib.nullcontext()
        hooks = [
            _keep(history),
            *([console()] if verbose else []),
            *([run_callbacks(callbacks)] if callbacks else []),
            *hooks,
        ]
        if workdir:
            facts = dict(batch_size=batch_size, seed=self._seed, accumulate=self._accumulate, examples=found.spec.examples)
            facts |= dict(task=type(learner.task).__name__, steps=steps if _has_schedule(self._optimizer) else None)
            folder = opened(Path(workdir), learner, facts)
        with folder as files:
            if files:
                hooks = [metrics_file(files[1]), *hooks, checkpoints(files[0], saving or Saving())]
            if _is_finished(learner.progress, timetable):
                log.info("%s is finished: nothing to train", workdir)
            else:
                learner.fit(found, batch_size=batch_size, timetable=timetable, hooks=hooks)
            history = read_history(files[1]) if files else history
        self._take_weights(learner, best=restore_best)
        return history

    def evaluate(
        self, data: Any, y: Any = None, *, sample_weight: Any = None, batch_size: int = 32, steps: int | None = None
    ) -> Metrics:
        """Metrics over all examples, each counted once. Arguments as in `fit`; `steps` of batches that do not end."""
        check_positive(batch_size=batch_size, steps=steps)
        found = self._data(_together(data, y, sample_weight), None, steps)
        batch_size = found.own_batch_size("train") or batch_size
        learner = self._ready(found, batch_size)
        return compiled_or_graph(learner, lambda: learner.evaluate(found, "train", batch_size))

    def predict(self, x: Any, *, batch_size: int = 32, steps: int | None = None) -> Any:
        """What the task answers, most often the model's outputs, in order. x: arrays, or batches of x or (x, y) as in `fit`."""
        check_positive(batch_size=batch_size, steps=steps)
        made = isinstance(x, tf.data.Dataset | keras.utils.PyDataset) or hasattr(x, "__next__")
        found = self._data(x if made else {"x": x}, None, steps)
        batch_size = found.own_batch_size("train") or batch_size
        learner = self._ready(found, batch_size, targets=False)
        return compiled_or_graph(learner, lambda: learner.answers(found, "train", batch_size))

    def _data(self, train: Any, validation: Any, steps: int | None) -> Given:
        given = {"train": train} if validation is None else {"train": train, "validation": validation}
        found = as_data(given, class_names=self.class_names, steps=steps)
        self.class_names = found.spec.class_names
        return found

    def _ready(self, data: Given, batch_size: int, *, targets: bool = True) -> Learner:
        """The learner, made when it is known what x is; where `targets` are needed, they are looked at."""
        first = data.first(self._rows_to_look_at())
        if targets and not tf.nest.flatten(first["y"]) and not isinstance(self._task, Task):
            raise ValueError("the loss needs targets. Received: x alone; give (x, y), or a task of your own")
        if self._learner is None:
            self._make_first_learner(data, batch_size, first)
        task = self._learner.task
        if targets and not self._looked and not isinstance(self._task, Task):
            self._looked = True
            outputs = self._outputs(data, first["x"])
            if isinstance(task, KerasLoss):
                task.check_first(first, outputs)
            elif getattr(task, "from_logits", False):
                check_logits(outputs)
        if isinstance(task, KerasLoss) and isinstance(first["w"], dict) and set(first["w"]) != set(task.terms):
            raise ValueError(
                f"weights by output must be those of the first call: {list(task.terms)}. Received: {list(first['w'])}"
            )
        self._learner.check_batch_size(batch_size)
        for split in data.spec.examples if targets else ():
            arrays = data.arrays(split)
            task.check_targets(first["y"] if arrays is None else arrays.y)
        return self._learner

    def _make_first_learner(self, data: Given, batch_size: int, first: dict) -> None:
        own = isinstance(self._task, Task)
        is_known = bool(getattr(self.model, "outputs", None))
        if is_known:
            outputs = self.model.outputs if isinstance(self.model, keras.Sequential) else self.model.output
        else:  # a subclass
            outputs = None if own and self.model.variables else self._outputs(data, first["x"])
        task = self._task if own else make_user_task(self._task, self._loss, self._class_weights, self.model, data, outputs)
        check_model(self.model, data.spec, task)
        self._decode = data.decode
        across = any(objective.across for objective in task.objectives)
        self._facts = dict(resident=data.can_be_resident("train"), across=across)
        if isinstance(task, KerasLoss) and isinstance(first["w"], dict):
            task.terms = tuple(first["w"])
        self._plan = plan_for(self._plan, self._accumulate, data.batches("train", batch_size, training=False).element_spec)
        self._learner = self._make_learner(task, total_steps=1)

    def _rows_to_look_at(self) -> int:
        """As many as a model of fixed batches takes."""
        inputs = getattr(self.model, "inputs", None)
        return (inputs and inputs[0].shape[0]) or _LOOKED_AT

    def _outputs(self, data: Given, x):
        """Of the model for some examples; builds it if it waits for that, else changes nothing."""
        with self._strategy.scope(), keras.StatelessScope() if self.model.built else contextlib.nullcontext():
            return self.model(tf.nest.map_structure(tf.convert_to_tensor, data.decode({"x": x})["x"]), training=False)

    def _settled(self, data: Given, batch_size: int, steps: int) -> Learner:
        """The learner with a plan that can be compiled."""
        learner = self._ready(data, batch_size)
        if self._plan == "measure":
            measure_plan(learner, data, batch_size=batch_size, total_steps=steps)
        settle_plan(learner, data, batch_size=batch_size)
        if self._plan in ("auto", "measure"):
            self._plan = learner.plan.name
        return learner

    def _make_learner(self, task: Task, **steps: int) -> Learner:
        optimizers = optimizer_rules(self._optimizer, **steps)
        plan = make_plan(self._plan, self.model, self._strategy, **self._facts)
        options = dict(seed=self._seed, accumulate=self._accumulate, decode=self._decode)
        return Learner(self.model, task, optimizers, self._strategy, plan, **options)

    def _with_schedule(self, learner: Learner, steps: int, steps_per_epoch: int, first: int | None) -> Learner:
        """The learner with an optimizer whose schedule spans the next `steps`, from update `first` or else from now on, and
        the state of the one before.
        """
        variables = learner.state.variables["optimizer"]
        if first is None:
            first = int(keras.ops.convert_to_numpy(learner.state.optimizers[0].iterations))
        new = self._make_learner(learner.task, total_steps=steps, steps_per_epoch=steps_per_epoch, first_step=first)
        for variable, before in zip(new.state.variables["optimizer"], variables, strict=True):
            variable.assign(keras.ops.convert_to_numpy(before))
        new.progress = learner.progress
        return new

    def _take_weights(self, learner: Learner, *, best: bool) -> None:
        """What is evaluated: the best, or the average where the optimizer keeps one; the given model gets it too."""
        found = learner.progress.best_weights if best else []
        learner.set_weights(found or learner.weights())
        if self._given is not self.model:
            self._given.set_weights([keras.ops.convert_to_numpy(w) for w in self.model.weights])

    def _in_strategy(self, model: keras.Model) -> keras.Model:
        """The model itself if its variables are where the strategy computes, else a copy."""
        one_device = self._strategy.num_replicas_in_sync == 1 and not isinstance(self._strategy, tf.distribute.TPUStrategy)
        if one_device or all(self._strategy.extended.variable_created_in_scope(v.value) for v in model.variables):
            return model
        with self._strategy.scope():
            return copied(model)


def _strategy(given: str | tf.distribute.Strategy, model) -> tf.distribute.Strategy:
    try:
        return make_strategy(given) if isinstance(given, str) else given
    except ValueError as error:
        if "before TensorFlow first computes" not in str(error) or not isinstance(model, keras.Model):
            raise
        raise ValueError(
            f"{error}, and building a model computes. Give Trainer a function that builds it, or begin the program with "
            f"strategy = trainers.make_strategy({given!r})"
        ) from error


def _together(data: Any, y: Any, w: Any) -> Any:
    if y is None and w is not None:
        raise ValueError(
            "sample_weight goes with x and y apart, or stands in data: (x, y, w). Received: data and sample_weight"
        )
    return data if y is None else {"x": data, "y": y} | ({} if w is None else {"w": w})


def _keep(history: History) -> Hook:
    def keep(event: str, learner: Learner) -> None:
        if event == "metrics":
            prefix = "" if learner.split == "train" else "val_"
            for name, value in learner.metrics.items():
                if name != "skipped":
                    history.setdefault(f"{prefix}{name}", []).append(value)

    return keep


def _is_finished(progress: Progress, timetable: Timetable) -> bool:
    patience = timetable.patience
    return progress.step >= timetable.total_steps or (patience and progress.evaluations_without_best >= patience)


def _has_schedule(optimizer) -> bool:
    given = [rule[1] for rule in optimizer] if isinstance(optimizer, list | tuple) else [optimizer]
    return any(isinstance(one, dict) and "schedule" in one for one in given)


def check_positive(**numbers: float | None) -> None:
    """ValueError if one is 0 or less."""
    for name, value in numbers.items():
        if value is not None and value <= 0:
            raise ValueError(f"{name} must be positive. Received: {value}")

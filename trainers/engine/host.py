"""The host's loop: how many steps the device makes before it is asked again, evaluation, early stopping, hooks."""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.engine.loop import make_eval_loop, make_predict, make_train_loop
from trainers.engine.plan import Plan
from trainers.engine.step import EvalStep, TrainState, TrainStep

log = logging.getLogger("trainers")

Metrics = dict[str, float]
Hook = Callable[[str, "Host"], None]

_SECONDS_PER_LOOP = 0.5  # between two looks at the host: progress, signals


@dataclasses.dataclass
class Progress:
    """What a run must remember besides its variables.

    Attributes:
      step: steps made.
      best: the best value of the monitored metric, of `best_step`.
      evaluations_without_best: since then.
      seconds, examples: of training with its wait for input, without tracing, compiling, evaluation and saving.
      sums: of the loss and the training metrics since they were last reported.
      best_weights: values of the evaluated variables at `best_step`; empty for none.
    """

    step: int = 0
    best: float = math.nan
    best_step: int = 0
    evaluations_without_best: int = 0
    seconds: float = 0.0
    examples: int = 0
    sums: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    best_weights: list[np.ndarray] = dataclasses.field(default_factory=list)

    @property
    def examples_per_second(self) -> float:
        return self.examples / self.seconds if self.seconds else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timetable:
    """When things happen, all in steps.

    Attributes:
      total_steps, steps_per_epoch: of the run, of one pass over the training split.
      eval_every_steps, log_every_steps: None for never before the end.
      monitor: metric of the validation split that says which weights are best.
      patience: evaluations without a better one until training stops; None for never.
      stops: further steps at which the host is asked.
    """

    total_steps: int
    steps_per_epoch: int
    eval_every_steps: int | None = None
    log_every_steps: int | None = None
    monitor: str = "loss"
    patience: int | None = None
    stops: Sequence[int] = ()

    def steps_to_next_stop(self, step: int) -> int:
        """How many steps may be made from `step` without asking the host."""
        periods = [every for every in (self.eval_every_steps, self.log_every_steps) if every]
        ends = [self.total_steps, *(step - step % every + every for every in periods), *(s for s in self.stops if s > step)]
        return min(ends) - step


class Host:
    """A model with its task, optimizer and strategy, ready to be trained and evaluated.

    Hooks are called as hook(event, host) between loops: "start"; after the device made some steps "metrics" if `metrics` of
    `split` are due, "evaluated" after a validation (with `is_best`), then "loop"; "end". `stop()` ends training after the loop.

    Args:
      model: built in the strategy's scope.
      task: gives losses and metrics.
      optimizer: from trainers.engine.optimizers.
      seed: of order, augmentation and dropout.
      accumulate: pieces that each batch is computed in.
    """

    def __init__(
        self,
        model: keras.Model,
        task,
        optimizer,
        strategy: tf.distribute.Strategy,
        plan: Plan,
        *,
        seed: int = 0,
        accumulate: int = 1,
    ) -> None:
        with strategy.scope():
            self.state = TrainState(model, optimizer, seed)
        self.model, self.task, self.strategy, self.plan, self.seed = model, task, strategy, plan, seed
        self.train_step = TrainStep(self.state, task, plan.compile, accumulate)
        self.eval_step = EvalStep(self.state, task, plan.compile)
        self._train_loop = make_train_loop(strategy, self.train_step)
        self._eval_loop = make_eval_loop(strategy, self.eval_step)
        self._predict = make_predict(strategy, self.eval_step.predict)
        self._eval_zeros: dict[str, tf.Tensor] | None = None
        self.progress, self.timetable = Progress(), None
        self.metrics: Metrics = {}
        self.split, self.is_best = "train", False
        self._stopped = False

    def fit(self, data, *, batch_size: int, timetable: Timetable, hooks: Sequence[Hook] = ()) -> None:
        """Train from where `progress` is to the timetable's end. `data` has `batches` and `steps`; a split "validation" is
        evaluated if it is there.
        """
        self.check_batch_size(batch_size)
        self.check_monitor(data, batch_size, timetable.monitor)
        progress, self.timetable, self._stopped = self.progress, timetable, False

        def emit(event: str) -> None:
            for hook in hooks:
                hook(event, self)

        emit("start")
        dataset = data.batches("train", batch_size, training=True, seed=self.seed, start_step=progress.step)
        iterator = iter(self.strategy.experimental_distribute_dataset(dataset))
        zeros = self.train_step.zero_sums(self._replica_spec(dataset))
        sums = tf.nest.map_structure(tf.constant, progress.sums) or zeros
        loop_steps, traced = 1, False
        while progress.step < timetable.total_steps and not self._stopped:
            count = min(loop_steps, timetable.steps_to_next_stop(progress.step))
            began = time.perf_counter()
            sums = self._train_loop(iterator, tf.constant(progress.step, tf.int64), tf.constant(count, tf.int64), sums)
            progress.sums = {name: value.numpy() for name, value in sums.items()}  # waits for the device
            seconds = time.perf_counter() - began
            if traced:  # the first loop traces and compiles
                progress.seconds, progress.examples = progress.seconds + seconds, progress.examples + count * batch_size
                loop_steps = max(1, min(loop_steps * 2, int(count * _SECONDS_PER_LOOP / seconds)))
            progress.step, traced = progress.step + count, True
            if self._due(timetable.eval_every_steps) or self._due(timetable.log_every_steps) or self._stopped:
                self._check_finite()
                self._report("train", self.running_metrics, emit)
                sums, progress.sums = zeros, {}
            if "validation" in data.spec.examples and self._due(timetable.eval_every_steps):
                self._validate(data, batch_size, emit)
            emit("loop")  # last, so that a checkpoint made here holds what was reported
        emit("end")

    def stop(self) -> None:
        """End training after this loop."""
        self._stopped = True

    @property
    def epoch(self) -> float:
        return self.progress.step / self.timetable.steps_per_epoch

    @property
    def running_metrics(self) -> Metrics:
        """Of training, since they were last reported."""
        if not self.progress.sums:
            return {}
        with np.errstate(invalid="ignore"):  # no weight at all if every step was skipped
            return self.task.finish({name: value.astype(np.float64) for name, value in self.progress.sums.items()})

    @property
    def learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.state.optimizer.learning_rate))

    def evaluate(self, data, split: str, batch_size: int) -> Metrics:
        """Metrics over all examples of a split, each counted once."""
        self.check_batch_size(batch_size)
        dataset = data.batches(split, batch_size, training=False)
        iterator = iter(self.strategy.experimental_distribute_dataset(dataset))
        sums = self._eval_loop(iterator, tf.constant(data.steps(split, batch_size), tf.int64), self._zeros(dataset))
        return self.task.finish({name: np.asarray(value, np.float64) for name, value in sums.items()})

    def predict(self, data, split: str, batch_size: int) -> Any:
        """The model's outputs for all examples of a split, in order."""
        self.check_batch_size(batch_size)
        iterator = iter(self.strategy.experimental_distribute_dataset(data.batches(split, batch_size, training=False)))
        batches = [self._predict(iterator) for _ in range(data.steps(split, batch_size))]
        size = data.spec.examples[split]
        return tf.nest.map_structure(lambda *parts: np.concatenate([p.numpy() for p in parts])[:size], *batches)

    def weights(self) -> list[np.ndarray]:
        """Values to evaluate and save: trainable (averaged, where the optimizer keeps an average), then the rest."""
        variables = [*self.state.evaluated(), *self.state.variables["non_trainable"]]
        return [keras.ops.convert_to_numpy(v) for v in variables]

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Make `values`, as `weights` gives them, the model's own and the evaluated ones."""
        trainable = self.state.variables["trainable"]
        for variables in (trainable, self.state.evaluated()):
            for variable, value in zip([*variables, *self.state.variables["non_trainable"]], values, strict=True):
                variable.assign(value)

    def _due(self, every: int | None) -> bool:
        step = self.progress.step
        return step == self.timetable.total_steps or (bool(every) and step % every == 0)

    def _check_finite(self) -> None:
        skipped = float(self.progress.sums["skipped"])
        if skipped and not self.state.variables["loss_scale"]:
            raise FloatingPointError(
                f"{skipped:.0f} steps up to step {self.progress.step} had a loss or gradient that is not finite and changed "
                "nothing. Try a lower learning rate or optimizer.global_clipnorm=1.0"
            )

    def _validate(self, data, batch_size: int, emit: Callable) -> None:
        metrics = self.evaluate(data, "validation", batch_size)
        monitor = self.timetable.monitor
        progress, sign = self.progress, -1 if monitor in self.task.lower_is_better else 1
        self.is_best = math.isnan(progress.best) or sign * metrics[monitor] > sign * progress.best
        if self.is_best:
            progress.best, progress.best_step, progress.best_weights = metrics[monitor], progress.step, self.weights()
        progress.evaluations_without_best = 0 if self.is_best else progress.evaluations_without_best + 1
        self._report("validation", metrics, emit)
        emit("evaluated")
        if self.timetable.patience and progress.evaluations_without_best >= self.timetable.patience:
            log.info("stopped: no better %s in %d evaluations", monitor, self.timetable.patience)
            self.stop()

    def _report(self, split: str, metrics: Metrics, emit: Callable) -> None:
        self.split, self.metrics = split, metrics
        emit("metrics")

    def _zeros(self, dataset: tf.data.Dataset) -> dict[str, tf.Tensor]:
        """Of an evaluation's sums."""
        if self._eval_zeros is None:
            self._eval_zeros = self.eval_step.zero_sums(self._replica_spec(dataset))
        return self._eval_zeros

    def _replica_spec(self, dataset: tf.data.Dataset) -> dict:
        replicas = self.strategy.num_replicas_in_sync
        return tf.nest.map_structure(
            lambda t: tf.TensorSpec((t.shape[0] // replicas, *t.shape[1:]), t.dtype), dataset.element_spec
        )

    def check_monitor(self, data, batch_size: int, monitor: str) -> None:
        """ValueError if an evaluation has no such metric."""
        zeros = self._zeros(data.batches("train", batch_size, training=False))
        with np.errstate(invalid="ignore"):
            names = self.task.finish({name: np.asarray(value, np.float64) for name, value in zeros.items()})
        if monitor not in names:
            raise ValueError(f"unknown metric to monitor: {monitor!r}. Accepted: {', '.join(names)}")

    def check_batch_size(self, batch_size: int) -> None:
        """ValueError if the batch cannot be split evenly."""
        pieces = self.strategy.num_replicas_in_sync * self.train_step.accumulate
        if batch_size % pieces:
            raise ValueError(
                f"batch_size must be a multiple of {pieces} (replicas x accumulate: {self.strategy.num_replicas_in_sync} x "
                f"{self.train_step.accumulate}). Received: {batch_size}"
            )

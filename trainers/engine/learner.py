"""The host's loop: how many steps the device makes before it is asked again, evaluation, early stopping, hooks."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.engine.bad_steps import BadSteps
from trainers.engine.evaluation import EvalStep
from trainers.engine.feed import Feed
from trainers.engine.loop import BlockLoop, TrainLoop, make_eval_loop, make_inspection, make_map, no_bad_steps
from trainers.engine.optimizers import OptimizerRule
from trainers.engine.progress import Pace, Progress, Timetable
from trainers.engine.signals import Interrupted
from trainers.engine.state import TrainState
from trainers.engine.step import TrainStep, row_multiple
from trainers.engine.strategy import agree
from trainers.speed.plan import Plan

log = logging.getLogger("trainers")

Metrics = dict[str, float]
Hook = Callable[[str, "Learner"], None]


class Learner:
    """A model with its task, optimizer and strategy, ready to be trained and evaluated.

    Hooks are called as hook(event, learner) between loops: "start"; after the device made some steps "metrics" if `metrics` of
    `split` are due, "evaluated" after a validation (with `is_best`), then "loop"; "end". `stop()` ends training with an
    evaluation; `interrupt(signal)` leaves it as soon as the state is whole, with the event "interrupted". "diverged" asks to
    roll back to the best checkpoint.

    Args:
      model: built in the strategy's scope.
      task: gives objectives, metrics and answers.
      optimizers: rules from trainers.engine.optimizers.
      seed: of order, noise, augmentation and dropout.
      accumulate: pieces that each batch is computed in.
      decode: from what the data holds to what the task takes (Data.decode).
    """

    def __init__(
        self,
        model: keras.Model,
        task,
        optimizers: Sequence[OptimizerRule],
        strategy: tf.distribute.Strategy,
        plan: Plan,
        *,
        seed: int = 0,
        accumulate: int = 1,
        decode: Callable[[dict], dict] = lambda batch: batch,
    ) -> None:
        with strategy.scope():
            self.state = TrainState(model, optimizers, seed, task.objectives, task.frozen)
        self.model, self.task, self.strategy = model, task, strategy
        self.seed, self.accumulate, self.decode = seed, accumulate, decode
        self.feed = Feed(strategy, seed)
        self.use(plan)
        self._eval_zeros: dict[str, tf.Tensor] | None = None
        self.progress, self.timetable = Progress(), None
        self.operations_per_example, self.peak_operations = 0.0, None  # of training; of the device, if it is known
        self.metrics: Metrics = {}
        self.split, self.is_best = "train", False
        self.data, self.batch_size = None, 0
        self._stopped, self._signal, self._bad_steps = False, 0, BadSteps(self.examples_of_step)

    def use(self, plan: Plan) -> None:
        """Compile and group steps by another plan from here on."""
        self.plan = plan
        self.train_step = TrainStep(self.state, self.task, plan, self.accumulate, self.decode)
        self.eval_step = EvalStep(self.state, self.task, plan, self.decode)
        self._loops: dict[int, TrainLoop | BlockLoop] = {}  # by steps of a block
        self._eval_loop = make_eval_loop(self.strategy, self.eval_step)
        self._maps = {what: make_map(self.strategy, getattr(self.eval_step, what)) for what in ("records", "answers")}
        self._inspect = make_inspection(self.strategy, self.train_step.inspect)

    def fit(self, data, *, batch_size: int, timetable: Timetable, hooks: Sequence[Hook] = ()) -> None:
        """Train from where `progress` is to the timetable's end. `data` has `batches` and `steps`; a split "validation" is
        evaluated if it is there.

        Raises:
          Interrupted: by `interrupt`; the state is whole.
          FloatingPointError: too many bad steps in a row.
        """
        self.check_batch_size(batch_size)
        self.check_monitor(data, batch_size, timetable.monitor)
        self.data, self.batch_size, self.timetable, self._stopped = data, batch_size, timetable, False

        def emit(event: str) -> None:
            for hook in hooks:
                hook(event, self)

        emit("start")
        try:
            self._train(emit)
        except (Interrupted, FloatingPointError):
            emit("interrupted")
            raise
        emit("end")

    def _train(self, emit: Callable) -> None:
        progress, timetable, pace = self.progress, self.timetable, Pace()
        loop = self._started_loop(self.data, self.batch_size, progress.step)
        zeros = self.train_step.zero_sums(self.feed.spec(self.data, self.batch_size))
        limit = timetable.most_bad_steps
        self._bad_steps.act(progress, timetable, lambda: emit("diverged"))
        self._report_what_is_due(emit)
        while not self._ended:
            sums = tf.nest.map_structure(tf.constant, progress.sums) or zeros
            count = min(pace.steps, timetable.steps_to_next_stop(progress.step))
            began, first = time.perf_counter(), progress.step
            step, sums, bad, waited = loop(first, count, sums, no_bad_steps(progress.bad_in_a_row), limit)
            step = int(step)  # waits for the device
            if pace.measure(step - first, time.perf_counter() - began):
                progress.seconds += pace.seconds
                progress.waited += float(waited)
                progress.examples += (step - first) * self.batch_size
            progress.sums = {name: value.numpy() for name, value in sums.items()}
            progress.step = step
            self._bad_steps.look_at(bad, progress)
            self._bad_steps.act(progress, timetable, lambda: emit("diverged"))
            self._report_what_is_due(emit)
            emit("loop")  # last, so that a checkpoint made here holds what was reported
            self._look_around(pace)
        self._report_what_is_due(emit)

    def make_trial(self, data, batch_size: int) -> Callable[[int], float]:
        """A function that trains for so many steps on the next batches, with all that it does to the state, and returns the
        seconds that it took.
        """
        loop = self._started_loop(data, batch_size, self.progress.step)
        sums, self.data, self.batch_size = self.train_step.zero_sums(self.feed.spec(data, batch_size)), data, batch_size

        def trial(steps: int) -> float:
            began = time.perf_counter()
            float(loop(self.progress.step, steps, sums, no_bad_steps(), 2**30)[0])  # waits for the device
            return time.perf_counter() - began

        return trial

    def stop(self) -> None:
        """End training after this loop."""
        self._stopped = True

    def interrupt(self, signal: int) -> None:
        """Leave training, evaluation too, as soon as the state is whole; `fit` raises Interrupted."""
        self._signal = signal

    def examples_of_step(self, step: int) -> list[int] | None:
        """Numbers of the training split's examples that step `step` (the first is 1) was made of; None if unknown."""
        return self.data.examples_of_batch("train", self.batch_size, seed=self.seed, step=step - 1)

    @property
    def epoch(self) -> float:
        return self.progress.step / self.timetable.steps_per_epoch

    @property
    def running_metrics(self) -> Metrics:
        """Of training, since they were last reported."""
        if not self.progress.sums:
            return {}
        with np.errstate(invalid="ignore"):  # no weight at all if every step was skipped
            found = self.task.finish({name: value.astype(np.float64) for name, value in self.progress.sums.items()})
        skipped = {"skipped": float(self.progress.sums["skipped"])} if self.progress.sums["skipped"] else {}
        return {**found, **skipped}

    @property
    def share_of_peak(self) -> float | None:
        """Model operations over those that the device could make in the time (Chowdhery et al. 2022, PaLM, appendix B)."""
        if not self.peak_operations or not self.operations_per_example:
            return None
        return self.progress.examples_per_second * self.operations_per_example / self.peak_operations

    @property
    def learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.state.optimizers[0].learning_rate))

    def evaluate(self, data, split: str, batch_size: int) -> Metrics:
        """Metrics over all examples of a split, each counted once."""
        self.check_batch_size(batch_size)
        iterator = self.feed.iterator(data, split, batch_size, training=False)
        sums, left, pace = self._zeros(data, batch_size), data.steps(split, batch_size), Pace()
        while left:
            count, began = min(pace.steps, left), time.perf_counter()
            first = data.steps(split, batch_size) - left
            sums = self._eval_loop(iterator, tf.constant(first, tf.int64), tf.constant(count, tf.int64), sums)
            left -= count
            tf.nest.flatten(sums)[0].numpy()  # waits for the device
            pace.measure(count, time.perf_counter() - began)
            self._look_around(pace)
        return self.task.finish({name: np.asarray(value, np.float64) for name, value in sums.items()})

    def records(self, data, split: str, batch_size: int) -> Any:
        """What the task keeps of each example of a split for its report, in order."""
        return self._mapped("records", data, split, batch_size)

    def answers(self, data, split: str, batch_size: int) -> Any:
        """What the task answers for each example of a split, in order."""
        return self._mapped("answers", data, split, batch_size)

    def _mapped(self, what: str, data, split: str, batch_size: int) -> Any:
        self.check_batch_size(batch_size)
        iterator = self.feed.iterator(data, split, batch_size, training=False)
        numbers = range(data.steps(split, batch_size))
        batches = [self._maps[what](iterator, tf.constant(number, tf.int64)) for number in numbers]
        size = data.spec.examples[split]
        return tf.nest.map_structure(lambda *parts: np.concatenate([p.numpy() for p in parts])[:size], *batches)

    def inspect(self) -> tuple[dict[str, np.ndarray], Any]:
        """For the batch of the next step: TrainStep.inspect's norms, and x of this process's part of it. All must ask."""
        step = self.progress.step
        iterator = self.feed.training(self.data, self.batch_size, step)
        norms = {name: value.numpy() for name, value in self._inspect(iterator, tf.constant(step, tf.int64)).items()}
        return norms, self.decode(self.feed.own_part(self.data, self.batch_size, step))["x"]

    def weights(self) -> list[np.ndarray]:
        """Values to evaluate and save: trainable (averaged, where the optimizer keeps an average), then the rest."""
        variables = [*self.state.evaluated(), *self.state.variables["non_trainable"]]
        return [keras.ops.convert_to_numpy(v) for v in variables]

    def evaluated_values(self) -> dict[int, np.ndarray]:
        """id of each variable of the model but seeds -> its value to evaluate and save."""
        variables = [*self.state.variables["trainable"], *self.state.variables["non_trainable"]]
        return {id(variable): value for variable, value in zip(variables, self.weights(), strict=True)}

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Make `values`, as `weights` gives them, the model's own and the evaluated ones."""
        trainable = self.state.variables["trainable"]
        for variables in (trainable, self.state.evaluated()):
            for variable, value in zip([*variables, *self.state.variables["non_trainable"]], values, strict=True):
                variable.assign(value)

    @property
    def _ended(self) -> bool:
        table, progress = self.timetable, self.progress
        out_of_patience = table.patience is not None and progress.evaluations_without_best >= table.patience
        return self._stopped or out_of_patience or progress.step >= table.total_steps

    def _due(self, every: int | None) -> bool:
        return self._ended or (bool(every) and (self.progress.step - self.timetable.first_step) % every == 0)

    def _look_around(self, pace: Pace) -> None:
        """Leave if a signal came, on whichever host; keep the pace of the first host, since all make the same loops."""
        signal = self._signal  # once: one that comes from here on is heard next time
        if self.feed.process.count > 1:
            found = agree(self.strategy, [signal, pace.steps])
            signal, pace.steps = int(found[:, 0].max()), int(found[0, 1])
        if signal:
            self._signal = 0
            raise Interrupted(signal)

    def wait_for_all(self) -> None:
        """Until every host is here."""
        if self.feed.process.count > 1:
            agree(self.strategy, [0])

    def check_same_step(self) -> None:
        """ValueError if the hosts do not go on from one step."""
        if self.feed.process.count > 1:
            steps = agree(self.strategy, [self.progress.step])[:, 0]
            if len(set(steps.tolist())) > 1:
                raise ValueError(f"all hosts must see one workdir. Received: checkpoints of the steps {sorted(set(steps))}")

    def _started_loop(self, data, batch_size: int, step: int):
        """The plan's loop, with the batches from `step` on."""
        if self.plan.steps == 1:
            loop = self._loops.setdefault(1, TrainLoop(self.strategy, self.train_step))
            loop.start(self.feed.training(data, batch_size, step))
            return loop
        resident = self.plan.name == "xla_resident" and data.can_be_resident("train")
        block, *blocks = self.feed.blocks(data, batch_size, step, self.plan.steps, resident=resident)
        loop = self._loops.setdefault(block, BlockLoop(self.strategy, self.train_step, self.plan.compile, block))
        loop.start(*blocks)
        return loop

    def _report_what_is_due(self, emit: Callable) -> None:
        """All or nothing: an interrupted evaluation leaves no trace, and is made when training goes on."""
        table, progress = self.timetable, self.progress
        is_evaluated = "validation" in self.data.spec.examples and self._due(table.eval_every_steps)
        if not progress.sums or not (is_evaluated or self._due(table.eval_every_steps) or self._due(table.log_every_steps)):
            return
        metrics = self.evaluate(self.data, "validation", self.batch_size) if is_evaluated else {}
        self._report("train", self.running_metrics, emit)
        progress.sums, progress.bad_steps = {}, []
        if is_evaluated:
            if table.monitor is not None:
                self._compare_with_best(metrics[table.monitor])
            self._report("validation", metrics, emit)
            emit("evaluated")
            if table.patience and progress.evaluations_without_best >= table.patience:
                log.info("stopped: no better %s in %d evaluations", table.monitor, table.patience)

    def _compare_with_best(self, value: float) -> None:
        progress, direction = self.progress, self.task.directions[self.timetable.monitor]
        is_better = value < progress.best if direction == "min" else value > progress.best
        self.is_best = math.isnan(progress.best) or is_better
        if self.is_best:
            progress.best, progress.best_step, progress.best_weights = value, progress.step, self.weights()
        progress.evaluations_without_best = 0 if self.is_best else progress.evaluations_without_best + 1

    def _report(self, split: str, metrics: Metrics, emit: Callable) -> None:
        self.split, self.metrics = split, metrics
        emit("metrics")

    def _zeros(self, data, batch_size: int) -> dict[str, tf.Tensor]:
        """Of an evaluation's sums."""
        if self._eval_zeros is None:
            self._eval_zeros = self.eval_step.zero_sums(self.feed.spec(data, batch_size))
        return self._eval_zeros

    def check_monitor(self, data, batch_size: int, monitor: str | None) -> None:
        """ValueError if an evaluation has no such metric, or one of which the task does not say which direction is better."""
        zeros = self._zeros(data, batch_size)
        with np.errstate(invalid="ignore"):
            names = self.task.finish({name: np.asarray(value, np.float64) for name, value in zeros.items()})
        accepted = [name for name in names if name in self.task.directions]
        if monitor in names and monitor not in accepted:
            raise ValueError(
                f"metric {monitor!r} cannot be monitored: the task's `directions` does not say whether lower or higher is "
                f"better. Accepted: {', '.join(accepted)}"
            )
        if monitor is not None and monitor not in names:
            raise ValueError(f"unknown metric to monitor: {monitor!r}. Accepted: {', '.join(accepted)}")

    def check_batch_size(self, batch_size: int) -> None:
        """ValueError if the batch cannot be split evenly."""
        replicas, multiple = self.strategy.num_replicas_in_sync, row_multiple(self.task, self.accumulate)
        if batch_size % (replicas * multiple):
            updates = multiple // self.accumulate
            what = f"replicas x accumulate{' x updates' if updates > 1 else ''}: {replicas} x {self.accumulate}"
            raise ValueError(
                f"batch_size must be a multiple of {replicas * multiple} ({what}{f' x {updates}' if updates > 1 else ''}). "
                f"Received: {batch_size}"
            )

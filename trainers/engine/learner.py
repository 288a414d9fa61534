"""The host's loop: how many steps the device makes before it is asked again, evaluation, early stopping, hooks."""

import functools
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.engine.loop import BlockLoop, TrainLoop, make_eval_loop, make_inspection, make_predict, no_bad_steps
from trainers.engine.progress import Pace, Progress, Timetable
from trainers.engine.signals import Interrupted
from trainers.engine.state import TrainState
from trainers.engine.step import EvalStep, TrainStep
from trainers.engine.strategy import agree, process_of
from trainers.speed.device import on_cpu
from trainers.speed.plan import Plan

log = logging.getLogger("trainers")

Metrics = dict[str, float]
Hook = Callable[[str, "Learner"], None]

_BLOCK_BYTES = 2**25  # of batches that are handed to a program together
_MOST_TOLD = 10  # bad steps that the console hears of


class Learner:
    """A model with its task, optimizer and strategy, ready to be trained and evaluated.

    Hooks are called as hook(event, learner) between loops: "start"; after the device made some steps "metrics" if `metrics` of
    `split` are due, "evaluated" after a validation (with `is_best`), then "loop"; "end". `stop()` ends training with an
    evaluation; `interrupt(signal)` leaves it as soon as the state is whole, with the event "interrupted". "diverged" asks to
    roll back to the best checkpoint.

    Args:
      model: built in the strategy's scope.
      task: gives losses and metrics.
      optimizer: from trainers.engine.optimizers.
      seed: of order, augmentation and dropout.
      accumulate: pieces that each batch is computed in.
      as_float: from what the data holds to what the model takes (Data.as_float).
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
        as_float: Callable = lambda x: x,
    ) -> None:
        with strategy.scope():
            self.state = TrainState(model, optimizer, seed)
        self.model, self.task, self.optimizer, self.strategy = model, task, optimizer, strategy
        self.seed, self.accumulate = seed, accumulate
        self.as_float, self._place = as_float, process_of(strategy)
        self.use(plan)
        self._eval_zeros: dict[str, tf.Tensor] | None = None
        self.progress, self.timetable = Progress(), None
        self.operations_per_example, self.peak_operations = 0.0, None  # of training; of the device, if it is known
        self.metrics: Metrics = {}
        self.split, self.is_best = "train", False
        self.data, self.batch_size = None, 0
        self._stopped, self._signal, self._told = False, 0, 0

    def use(self, plan: Plan) -> None:
        """Compile and group steps by another plan from here on."""
        self.plan = plan
        self.train_step = TrainStep(self.state, self.task, plan, self.accumulate, self.as_float)
        self.eval_step = EvalStep(self.state, self.task, plan, self.as_float)
        self._loops: dict[int, TrainLoop | BlockLoop] = {}  # by steps of a block
        self._eval_loop = make_eval_loop(self.strategy, self.eval_step)
        self._predict = make_predict(self.strategy, self.eval_step.predict)
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
        zeros = self.train_step.zero_sums(self._spec(self.data, self.batch_size))
        limit = timetable.most_bad_steps
        if progress.bad_in_a_row >= limit:
            self._handle_bad_row(emit)
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
            self._look_at_bad_steps(bad, emit)
            self._report_what_is_due(emit)
            emit("loop")  # last, so that a checkpoint made here holds what was reported
            self._look_around(pace)
        self._report_what_is_due(emit)

    def make_trial(self, data, batch_size: int) -> Callable[[int], float]:
        """A function that trains for so many steps on the next batches, with all that it does to the state, and returns the
        seconds that it took.
        """
        loop = self._started_loop(data, batch_size, self.progress.step)
        sums, self.data, self.batch_size = self.train_step.zero_sums(self._spec(data, batch_size)), data, batch_size

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
        return float(keras.ops.convert_to_numpy(self.state.optimizer.learning_rate))

    def evaluate(self, data, split: str, batch_size: int) -> Metrics:
        """Metrics over all examples of a split, each counted once."""
        self.check_batch_size(batch_size)
        iterator = self._iterator(data, split, batch_size, training=False)
        sums, left, pace = self._zeros(data, batch_size), data.steps(split, batch_size), Pace()
        while left:
            count, began = min(pace.steps, left), time.perf_counter()
            sums = self._eval_loop(iterator, tf.constant(count, tf.int64), sums)
            left -= count
            float(sums["weight"])  # waits for the device
            pace.measure(count, time.perf_counter() - began)
            self._look_around(pace)
        return self.task.finish({name: np.asarray(value, np.float64) for name, value in sums.items()})

    def predict(self, data, split: str, batch_size: int) -> Any:
        """The model's outputs for all examples of a split, in order."""
        self.check_batch_size(batch_size)
        iterator = self._iterator(data, split, batch_size, training=False)
        batches = [self._predict(iterator) for _ in range(data.steps(split, batch_size))]
        size = data.spec.examples[split]
        return tf.nest.map_structure(lambda *parts: np.concatenate([p.numpy() for p in parts])[:size], *batches)

    def inspect(self) -> tuple[dict[str, np.ndarray], Any]:
        """For the batch of the next step: TrainStep.inspect's norms, and x of this host's part of it. All hosts must ask."""
        step = tf.constant(self.progress.step, tf.int64)
        options = dict(training=True, seed=self.seed, start_step=self.progress.step)
        iterator = self._iterator(self.data, "train", self.batch_size, **options)
        norms = {name: value.numpy() for name, value in self._inspect(iterator, step).items()}
        share = (self._place.index, self._place.count)
        x = next(iter(self.data.batches("train", self.batch_size, share=share, **options)))["x"]
        return norms, self.as_float(x)

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
        if self._place.count > 1:
            found = agree(self.strategy, [signal, pace.steps])
            signal, pace.steps = int(found[:, 0].max()), int(found[0, 1])
        if signal:
            self._signal = 0
            raise Interrupted(signal)

    def wait_for_all(self) -> None:
        """Until every host is here."""
        if self._place.count > 1:
            agree(self.strategy, [0])

    def check_same_step(self) -> None:
        """ValueError if the hosts do not go on from one step."""
        if self._place.count > 1:
            steps = agree(self.strategy, [self.progress.step])[:, 0]
            if len(set(steps.tolist())) > 1:
                raise ValueError(f"all hosts must see one workdir. Received: checkpoints of the steps {sorted(set(steps))}")

    def _iterator(self, data, split: str, batch_size: int, **options):
        """Of a split's batches, spread over the replicas. Each host makes its own part."""
        replicas, place = self.strategy.num_replicas_in_sync, self._place
        dataset = data.batches(split, batch_size, share=(place.index, place.count), **options)
        if place.count == 1:
            return self._distributed(dataset)
        parts = dataset.rebatch(batch_size // replicas, drop_remainder=True) if replicas > place.count else dataset
        endless = parts.repeat()  # of one that ends, an iterator over many hosts makes the shapes unknown
        return iter(self.strategy.distribute_datasets_from_function(lambda context: endless))

    def _started_loop(self, data, batch_size: int, step: int):
        """The plan's loop, with the batches from `step` on."""
        options = dict(seed=self.seed, start_step=step)
        if self.plan.steps == 1:
            loop = self._loops.setdefault(1, TrainLoop(self.strategy, self.train_step))
            loop.start(self._iterator(data, "train", batch_size, training=True, **options))
            return loop
        block, resident = self.plan.steps, self.plan.name == "xla_resident" and data.can_be_resident("train")
        if not resident:
            batch_bytes = sum(t.dtype.size * t.shape.num_elements() for t in tf.nest.flatten(self._spec(data, batch_size)))
            block = max(1, min(block, _BLOCK_BYTES // batch_bytes))
        make = data.index_batches if resident else functools.partial(data.batches, training=True)
        blocks = make("train", batch_size, block=block, **options)
        loop = self._loops.setdefault(block, BlockLoop(self.strategy, self.train_step, self.plan.compile, block))
        loop.start(self._distributed(blocks), data.tensors("train") if resident else {})
        return loop

    def _distributed(self, dataset: tf.data.Dataset):
        """An iterator for the replicas of this host.

        On CPUs the dataset's own: TensorFlow's distributed one sets glibc to give memory back at once
        (generator_dataset_op.cc), which makes page faults of XLA's buffers and cost a dense net a third of its speed; and to
        leave one before its end takes seconds now and then, of two logical CPUs up to minutes.
        """
        if on_cpu(self.strategy):
            return iter(dataset)
        return iter(self.strategy.experimental_distribute_dataset(dataset))

    def _spec(self, data, batch_size: int) -> dict:
        """Of one replica's part of a batch."""
        whole, replicas = data.batches("train", batch_size, training=False).element_spec, self.strategy.num_replicas_in_sync
        return tf.nest.map_structure(lambda t: tf.TensorSpec((t.shape[0] // replicas, *t.shape[1:]), t.dtype), whole)

    def _look_at_bad_steps(self, bad: dict, emit: Callable) -> None:
        """Steps that were skipped because the loss or the gradient was not finite."""
        progress, count = self.progress, int(bad["count"])
        progress.bad_in_a_row = int(bad["in_a_row"])
        for step in sorted((bad["steps"].numpy()[:count] + 1).tolist()):
            progress.bad_steps.append(step)
            self._told += 1
            if self._told <= _MOST_TOLD:
                examples, rest = self.examples_of_step(step), " (more such steps are in metrics.jsonl alone)"
                log.warning(
                    "step %d: loss or gradient is not finite; skipped. Its examples: %s%s",
                    step, examples, rest if self._told == _MOST_TOLD else "",
                )  # fmt: skip
        if progress.bad_in_a_row >= self.timetable.most_bad_steps:
            self._handle_bad_row(emit)

    def _handle_bad_row(self, emit: Callable) -> None:
        progress, what = self.progress, f"{self.progress.bad_in_a_row} steps in a row, up to step {self.progress.step},"
        what = f"{what} had a loss or gradient that is not finite and changed nothing"
        if self.timetable.on_nan == "stop" or (self.timetable.on_nan == "rollback" and not progress.best_step):
            raise FloatingPointError(f"{what}. Try a lower learning rate or optimizer.global_clipnorm=1.0")
        if self._told <= _MOST_TOLD:
            log.warning("%s; on_nan: %s", what, self.timetable.on_nan)
        if self.timetable.on_nan == "rollback":
            emit("diverged")
        progress.bad_in_a_row = 0

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
            self._compare_with_best(metrics[table.monitor])
            self._report("validation", metrics, emit)
            emit("evaluated")
            if table.patience and progress.evaluations_without_best >= table.patience:
                log.info("stopped: no better %s in %d evaluations", table.monitor, table.patience)

    def _compare_with_best(self, value: float) -> None:
        progress, sign = self.progress, -1 if self.timetable.monitor in self.task.lower_is_better else 1
        self.is_best = math.isnan(progress.best) or sign * value > sign * progress.best
        if self.is_best:
            progress.best, progress.best_step, progress.best_weights = value, progress.step, self.weights()
        progress.evaluations_without_best = 0 if self.is_best else progress.evaluations_without_best + 1

    def _report(self, split: str, metrics: Metrics, emit: Callable) -> None:
        self.split, self.metrics = split, metrics
        emit("metrics")

    def _zeros(self, data, batch_size: int) -> dict[str, tf.Tensor]:
        """Of an evaluation's sums."""
        if self._eval_zeros is None:
            self._eval_zeros = self.eval_step.zero_sums(self._spec(data, batch_size))
        return self._eval_zeros

    def check_monitor(self, data, batch_size: int, monitor: str) -> None:
        """ValueError if an evaluation has no such metric."""
        zeros = self._zeros(data, batch_size)
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

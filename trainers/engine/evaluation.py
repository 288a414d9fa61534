"""What is computed of a batch without learning from it: metrics, records for a report, answers."""

from collections.abc import Callable

import tensorflow as tf

from trainers.engine.contrast import for_losses, gathered
from trainers.engine.losses import Sums, loss_sums, penalties
from trainers.engine.noise import Noise
from trainers.engine.state import TrainState, Values
from trainers.engine.step import named, with_rows, zeros_of
from trainers.engine.update import replicas_of, rows_of
from trainers.speed.plan import Plan

_UPDATE = 2**32 - 1  # the number of evaluation among updates: its noise is a function of (seed, example's index)


class EvalStep:
    """Of a batch on one replica, with the averaged weights where an optimizer keeps an average.

    `number` counts the batches of a split. Arguments as trainers.engine.step.TrainStep.
    """

    def __init__(self, state: TrainState, task, plan: Plan, decode: Callable[[dict], dict] = lambda batch: batch) -> None:
        self.state, self.task, self.plan, self.decode = state, task, plan, decode
        self._objectives = [_Evaluation(self, i, objective) for i, objective in enumerate(task.objectives)]
        self._records, self._answers = plan.compile(self._record), plan.compile(self._answer)

    def __call__(self, number: tf.Tensor, batch: dict) -> Sums:
        """In a replica context. The sums over the global batch of the losses and the metrics of every objective."""
        replica, found = tf.distribute.get_replica_context(), {}
        for evaluation in self._objectives:
            found |= named(evaluation.objective, evaluation(*self._given(number, batch, replica), replica))
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, found)

    def records(self, number: tf.Tensor, batch: dict):
        """In a replica context. What the task keeps of each example of this replica for its report."""
        return self._records(*self._given(number, batch, tf.distribute.get_replica_context()))

    def answers(self, number: tf.Tensor, batch: dict):
        """In a replica context. What the task answers for each example of this replica."""
        return self._answers(*self._given(number, batch, tf.distribute.get_replica_context()))

    def zero_sums(self, batch: dict) -> Sums:
        """What a call returns for a replica's batch of these specs, all zeros. Traces; computes nothing."""

        def sums(batch):
            given, found = self._given(tf.constant(0, tf.int64), batch, None), {}
            for evaluation in self._objectives:
                found |= named(evaluation.objective, evaluation(*given, None))
            return found

        return zeros_of(sums, batch)

    def prepared(self, objective, batch: dict, seed: tf.Tensor) -> dict:
        return objective.prepare(self.decode(batch), self._noise(batch, seed), training=False)

    def scope(self, values: Values):
        return self.state.scope(values, [tf.zeros(2, tf.int64) for _ in self.state.seeds])

    def _noise(self, batch: dict, seed: tf.Tensor) -> Noise:
        return Noise(seed, batch["row"], self.plan.compile_update)

    def _given(self, number: tf.Tensor, batch: dict, replica) -> tuple[Values, dict, tf.Tensor]:
        variables = {**self.state.variables, "trainable": self.state.evaluated()}
        kinds = ("trainable", "non_trainable", "frozen")
        values = {kind: [tf.convert_to_tensor(v.value) for v in variables[kind]] for kind in kinds}
        first = number * rows_of(batch) * replicas_of(replica)
        return values, with_rows(batch, replica, first), self.state.noise_seed(_UPDATE)

    def _record(self, values: Values, batch: dict, seed: tf.Tensor):
        """Pure."""
        with self.scope(values):
            return self.task.record(self.state.model, self.prepared(self.task, batch, seed))

    def _answer(self, values: Values, batch: dict, seed: tf.Tensor):
        """Pure."""
        with self.scope(values):
            return self.task.answer(self.state.model, self.decode(batch)["x"], self._noise(batch, seed))


class _Evaluation:
    """The sums of one objective."""

    def __init__(self, step: EvalStep, index: int, objective) -> None:
        self.step, self.objective = step, objective
        self._trained = [step.state.variables["trainable"][i] for i in step.state.parts[index].trainable]
        self._whole, self._outputs = step.plan.compile(self._sums), step.plan.compile(self._outputs_of)
        self._of_outputs = step.plan.compile(self._sums_of_outputs)

    def __call__(self, values: Values, batch: dict, seed: tf.Tensor, replica) -> Sums:
        """Of this replica: added up over all replicas they are those of the global batch."""
        count = replicas_of(replica)
        if not (self.objective.across and count > 1):
            return self._whole(values, batch, seed)
        outputs, batch, penalty = self._outputs(values, batch, seed)
        parts = gathered((outputs, for_losses(batch)), replica)
        sums = self._of_outputs(*parts, penalty)  # every replica has those of all
        return {name: value / count for name, value in sums.items()}

    def _sums(self, values: Values, batch: dict, seed: tf.Tensor) -> Sums:
        """Pure."""
        return self._sums_of_outputs(*self._outputs_of(values, batch, seed))

    def _outputs_of(self, values: Values, batch: dict, seed: tf.Tensor):
        """Pure. (outputs, the prepared batch, the model's penalty)."""
        with self.step.scope(values) as scope:
            batch = self.step.prepared(self.objective, batch, seed)
            outputs = self.objective.forward(self.step.state.model, batch, training=False)
            penalty = tf.convert_to_tensor(penalties(scope, self._trained))
        return outputs, batch, penalty

    def _sums_of_outputs(self, outputs, batch: dict, penalty: tf.Tensor) -> Sums:
        """Pure."""
        sums = loss_sums(self.objective, batch, outputs, penalty)
        return {**sums, **self.objective.metrics(batch, outputs, training=False)}

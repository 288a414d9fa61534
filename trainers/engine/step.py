"""One step of training on one replica: an update for each of the task's objectives, in order. B rows of a replica."""

import math
from collections.abc import Callable, Iterator

import tensorflow as tf

from trainers.engine.losses import Sums
from trainers.engine.state import Changes, TrainState, Values, replaced
from trainers.engine.update import Update, rows_of
from trainers.speed.plan import Plan


class TrainStep:
    """Batch in, variables changed, sums of the losses and the metrics out.

    Args:
      state: the variables.
      task: its `objectives` give losses and metrics.
      plan: makes pure functions fast, and says in how many pieces a batch is computed side by side.
      accumulate: pieces that a batch is computed in, one after the other.
      decode: from what the data holds to what the task takes (Data.decode).
    """

    def __init__(
        self, state: TrainState, task, plan: Plan, accumulate: int = 1, decode: Callable[[dict], dict] = lambda batch: batch
    ) -> None:
        self.state, self.accumulate = state, accumulate
        options = dict(plan=plan, accumulate=accumulate, decode=decode)
        self.objectives = [Update(state, i, objective, **options) for i, objective in enumerate(task.objectives)]
        self._updates = sum(objective.updates for objective in task.objectives)  # in a step

    def __call__(self, step: tf.Tensor, batch: dict) -> Sums:
        """In a replica context. The sums are over the global batch, the same on every replica; with them "skipped", how many
        updates changed nothing, and "bad", whether one did because something is wrong (and not because a float16 gradient
        overflowed, which is mended).
        """
        changes, sums = self.advanced(self.state.read(), batch, step, tf.distribute.get_replica_context())
        self.state.write(changes)
        return sums

    def pure(self, values: Values, batch: dict, step: tf.Tensor) -> tuple[Values, Sums]:
        """The same where there is one replica, from values to values; may stand in one program with other steps."""
        changes, sums = self.advanced(values, batch, step)
        return replaced(values, changes), sums

    def inspect(self, step: tf.Tensor, batch: dict) -> dict[str, tf.Tensor]:
        """In a replica context. Norms of each trainable variable [V]: of its gradient, of the update that this batch would
        bring, and of the variable. Changes nothing.
        """
        values, replica = self.state.read(), tf.distribute.get_replica_context()
        zeros = dict(enumerate(map(tf.zeros_like, values["trainable"])))
        found: dict = {"gradient": dict(zeros), "update": dict(zeros), "weight": dict(enumerate(values["trainable"]))}
        for update, rows, number in self._each(batch, step, replica):
            sums, gradients, statistics = update.reduced(values, rows, number, replica)
            new, _ = update.updated(values, sums, gradients, statistics)
            for i, gradient in zip(update.part.trainable, update.means(values, sums, gradients), strict=True):
                found["gradient"][i] = gradient
                found["update"][i] = new["trainable"][i] - values["trainable"][i]
        return {name: tf.stack([tf.norm(tensors[i]) for i in sorted(tensors)]) for name, tensors in found.items()}

    def zero_sums(self, batch: dict) -> Sums:
        """What a call returns for a replica's batch of these specs, all zeros. Traces; computes nothing."""
        values = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), self.state.read())

        def sums(values, batch):
            found: Sums = {"skipped": tf.constant(0.0)}
            for update, rows, number in self._each(batch, tf.constant(0, tf.int64), None):
                found |= named(update.objective, update.reduced(values, rows, number, None)[0])
            return found

        return zeros_of(sums, values, batch)

    def advanced(self, values: Values, batch: dict, step: tf.Tensor, replica=None) -> tuple[Changes, Sums]:
        """From values to those that change, and the sums; pure where there is one replica."""
        changes: Changes = {}
        sums: Sums = {"skipped": tf.constant(0.0), "bad": tf.constant(False)}
        for update, rows, number in self._each(batch, step, replica):
            new, found, finite, bad = update(values, rows, number, replica)
            values, changes = replaced(values, new), {kind: changes.get(kind, {}) | of for kind, of in new.items()}
            found = {name: sums.get(name, 0.0) + value for name, value in named(update.objective, found).items()}
            skipped = sums["skipped"] + 1.0 - tf.cast(finite, tf.float32)
            sums |= {**found, "skipped": skipped, "bad": sums["bad"] | bad}
        return changes, sums

    def _each(self, batch: dict, step: tf.Tensor, replica) -> Iterator[tuple[Update, dict, tf.Tensor]]:
        """(update, rows of the batch, number) in order. Of n updates the i-th takes every n-th row, so the same rows on any
        number of replicas.
        """
        batch, number = with_rows(batch, replica), step * self._updates
        for update in self.objectives:
            count = update.objective.updates
            for i in range(count):
                yield update, batch if count == 1 else tf.nest.map_structure(lambda t, i=i, n=count: t[i::n], batch), number
                number += 1


def row_multiple(task, accumulate: int) -> int:
    """What a replica's rows of a batch must be a multiple of, so that every update and every piece has as many."""
    return accumulate * math.lcm(*(objective.updates for objective in task.objectives))


def with_rows(batch: dict, replica, first: tf.Tensor | int = 0) -> dict:
    """With "row", the indices of its rows in the global batch, counted from `first`."""
    rows = rows_of(batch)
    mine = rows * tf.cast(replica.replica_id_in_sync_group, tf.int32) if replica else 0
    return {**batch, "row": tf.cast(first, tf.int32) + mine + tf.range(rows)}


def named(objective, sums: Sums) -> Sums:
    """Under the objective's name, where it has one."""
    return {f"{objective.name}/{name}" if objective.name else name: value for name, value in sums.items()}


def zeros_of(function: Callable, *specs):
    """Zeros like what a function gives for tensors of these specs. Traces; computes nothing."""
    outputs = tf.function(function, autograph=False).get_concrete_function(*specs).structured_outputs
    return tf.nest.map_structure(lambda t: tf.zeros(t.shape, t.dtype), outputs)

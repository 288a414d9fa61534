"""One update for one objective: from a batch to new values of the variables that it trains. B rows of a replica.

The two halves that cost time, `loss_and_gradients` and `updated`, are pure: values of variables go in, new values come out,
so either may be compiled by XLA. Between them stands the only communication between replicas: one sum.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from trainers.engine.contrast import Contrast
from trainers.engine.losses import Sums, all_finite, loss_sums, mean_weight, penalties, total, weight_sums
from trainers.engine.noise import Noise
from trainers.engine.state import Changes, Tensors, TrainState, Values
from trainers.speed.faster_layers import faster_layers
from trainers.speed.plan import Plan

_STEPS_TO_DOUBLE_LOSS_SCALE = 2000


class Update:
    """One objective's update. `number` counts updates of all objectives.

    Args:
      state: the variables.
      index: of the objective in the task.
      plan: makes pure functions fast, and says in how many pieces at most a batch is computed side by side.
      accumulate: pieces that a batch is computed in, one after the other.
      decode: from what the data holds to what the objective takes.
    """

    def __init__(self, state: TrainState, index: int, objective, *, plan: Plan, accumulate: int, decode: Callable) -> None:
        self.state, self.part, self.objective = state, state.parts[index], objective
        self.plan, self.accumulate, self.decode = plan, accumulate, decode
        compute = faster_layers(state.model)(self._loss_and_gradients) if plan.faster_layers else self._loss_and_gradients
        self.loss_and_gradients, self.updated = plan.compile(compute), plan.compile_update(self._updated)
        self.weight_sums = plan.compile_update(self._weight_sums)
        self.contrast = Contrast(self) if objective.across else None

    def __call__(self, values: Values, batch: dict, number: tf.Tensor, replica) -> tuple[Changes, Sums, tf.Tensor, tf.Tensor]:
        """(new values, sums, whether they are finite, whether something is wrong)."""
        sums, gradients, statistics = self.reduced(values, batch, number, replica)
        new, finite = self.updated(values, sums, gradients, statistics)
        bad = ~finite
        if self.part.loss_scale:  # a gradient that overflowed in float16 is mended by a smaller scale
            bad &= ~(all_finite(sums) & (values["loss_scale"][self.part.loss_scale[0]] > 1.0))
        return new, {name: tf.where(finite, value, 0.0) for name, value in sums.items()}, finite, bad

    def reduced(self, values: Values, batch: dict, number: tf.Tensor, replica):
        """(sums, gradients, statistics) of the global batch: the one place where replicas meet."""
        known, denominators = {}, {}
        if self.contrast and (self.pieces(batch) > 1 or replicas_of(replica) > 1):
            known, batch = self.contrast.pass_over(values, batch, number, replica)
        elif self.objective.terms:
            denominators = self._denominators(batch, number, replica)
        sums, gradients, statistics = self._computed(values, batch, denominators, number, replica)
        if replica is not None:
            parts = (sums, gradients, statistics)
            sums, gradients, statistics = replica.all_reduce(tf.distribute.ReduceOp.SUM, parts)
            statistics = _divided(statistics, replica.num_replicas_in_sync)
        return {name: value + sums.get(name, 0.0) for name, value in known.items()} or sums, gradients, statistics

    def means(self, values: Values, sums: Sums, gradients: Tensors) -> Tensors:
        """Gradients of the mean loss, unscaled. A product, which XLA makes in passing, where a quotient costs a pass."""
        scale = mean_weight(sums)
        if self.part.loss_scale:
            scale *= values["loss_scale"][self.part.loss_scale[0]]
        return [g * tf.cast(tf.math.divide_no_nan(1.0, scale), g.dtype) for g in gradients]

    def pieces(self, batch: dict) -> int:
        """That a replica's batch is computed in, one after the other or side by side."""
        return self.accumulate * self._beside(rows_of(batch) // self.accumulate)

    def seeds(self, number: tf.Tensor, piece, pieces: int, replica) -> tuple[Tensors, tf.Tensor]:
        """Of a piece of an update, for the model and for noise."""
        replicas = replicas_of(replica)
        index = tf.cast(replica.replica_id_in_sync_group, number.dtype) if replica else 0
        return self.state.draw_seeds((number * pieces + piece) * replicas + index), self.state.noise_seed(number)

    def prepared(self, batch: dict, seed: tf.Tensor) -> dict:
        noise = Noise(seed, batch["row"], self.plan.compile_update)
        return self.objective.prepare(self.decode(batch), noise, training=True)

    def _beside(self, rows: int) -> int:
        """The plan's pieces, or as many of them as rows can be split into."""
        return max(count for count in range(1, self.plan.pieces + 1) if rows % count == 0)

    def _computed(self, values: Values, batch: dict, denominators: Sums, number: tf.Tensor, replica):
        """What `loss_and_gradients` gives for this replica's part of the batch, piece after piece."""
        count, pieces = self.pieces(batch), in_pieces(batch, self.accumulate)

        def compute(i, statistics):
            now = [statistics.get(index, value) for index, value in enumerate(values["non_trainable"])]
            piece = tf.nest.map_structure(lambda t: t[i], pieces)
            return side_by_side({**values, "non_trainable": now}, piece, i)

        def side_by_side(values, batch, i):
            """Pieces that wait for nothing of each other."""
            beside = count // self.accumulate
            split, found = in_pieces(batch, beside), []
            for j in range(beside):
                seeds = self.seeds(number, i * beside + j, count, replica)
                piece = tf.nest.map_structure(lambda t, j=j: t[j], split) if beside > 1 else batch
                found.append(self.loss_and_gradients(values, piece, denominators, *seeds))
            sums, gradients, statistics = functools.reduce(_added, found)
            return sums, gradients, _divided(statistics, beside)

        def add(i, sums, gradients, statistics):
            more, more_gradients, statistics = compute(i, statistics)
            return i + 1, *_added((sums, gradients), (more, more_gradients)), statistics

        if self.accumulate == 1:
            return side_by_side(values, batch, 0)
        loop = (tf.constant(1, number.dtype), *compute(tf.constant(0, number.dtype), {}))
        return tf.while_loop(lambda i, *_: i < self.accumulate, add, loop, parallel_iterations=1)[1:]

    def _denominators(self, batch: dict, number: tf.Tensor, replica) -> Sums:
        """Weights of an objective's terms over the global batch, which the gradient of their sum needs beforehand."""
        sums = self.weight_sums(batch, self.seeds(number, 0, 1, replica)[1])
        return sums if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, sums)

    def _weight_sums(self, batch: dict, noise_seed: tf.Tensor) -> Sums:
        """Pure."""
        return weight_sums(self.prepared(batch, noise_seed))

    def _loss_and_gradients(self, values: Values, batch: dict, denominators: Sums, seeds: Tensors, noise_seed: tf.Tensor):
        """Pure. (sums, gradients of the summed loss, new values of the non-trainable variables that changed, by index)."""
        trained = [values["trainable"][i] for i in self.part.trainable]
        variables = [self.state.variables["trainable"][i] for i in self.part.trainable]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(trained)
            with self.state.scope(values, seeds) as scope:
                batch = self.prepared(batch, noise_seed)
                outputs = self.objective.forward(self.state.model, batch, training=True)
                if "cotangents" in batch:  # the second pass of a contrast, whose losses and metrics are known
                    sums, loss = self.contrast.stand_in(batch, outputs, penalties(scope, variables))
                else:
                    sums = loss_sums(self.objective, batch, outputs, penalties(scope, variables))
                    loss = total(sums, denominators)
            rows = rows_of(batch)  # in float16 the mean is scaled, not the sum, which overflows in large batches
            if self.part.loss_scale:
                loss = loss / rows * values["loss_scale"][self.part.loss_scale[0]]
        gradients = tape.gradient(loss, trained, unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(g) for g in gradients]  # dense, also of embeddings
        if self.part.loss_scale:
            gradients = [g * rows for g in gradients]
        if "cotangents" not in batch:
            sums |= self.objective.metrics(batch, outputs, training=True)
        now = [scope.get_current_value(v) for v in self.state.variables["non_trainable"]]
        statistics = {i: v for i, (v, old) in enumerate(zip(now, values["non_trainable"], strict=True)) if v is not old}
        return sums, gradients, statistics

    def _updated(self, values: Values, sums: Sums, gradients: Tensors, statistics: dict) -> tuple[Changes, tf.Tensor]:
        """Pure. New values from the sums over the global batch, and whether these are finite; if not, the old values."""
        means, groups = self.means(values, sums, gradients), self.part.groups
        finite = tf.reduce_all([all_finite(sums), *map(_is_finite, gradients)])
        old = [([values["trainable"][i] for i in g.trainable], [values["optimizer"][i] for i in g.slots]) for g in groups]

        def apply():  # clipping, weight decay and the moving average are in here: after the sum, so of the global batch
            rest, new = iter(means), []
            for group, (variables, slots) in zip(groups, old, strict=True):
                new.append(group.optimizer.stateless_apply(slots, [next(rest) for _ in variables], variables))
            return tf.nest.map_structure(tf.convert_to_tensor, [tuple(map(list, pair)) for pair in new])

        # A branch, since with tf.where XLA copies the old values of a program's loop to keep them beside the new.
        now = tf.cond(finite, apply, lambda: old)
        new: Changes = {"trainable": {}, "optimizer": {}}
        for group, (variables, slots) in zip(groups, now, strict=True):
            new["trainable"] |= dict(zip(group.trainable, variables, strict=True))
            new["optimizer"] |= dict(zip(group.slots, slots, strict=True))
        scale = _next_loss_scale([values["loss_scale"][i] for i in self.part.loss_scale], finite)
        new["loss_scale"] = dict(zip(self.part.loss_scale, scale, strict=True))
        changed = dict(statistics)
        for index, (kind, leader), momentum in self.part.followers:
            leading = new.get(kind, statistics).get(leader, values[kind][leader])
            changed[index] = momentum * values["non_trainable"][index] + (1 - momentum) * leading
        new["non_trainable"] = {i: tf.where(finite, value, values["non_trainable"][i]) for i, value in changed.items()}
        return new, finite


def replicas_of(replica) -> int:
    return replica.num_replicas_in_sync if replica else 1


def rows_of(batch: dict) -> int:
    return tf.nest.flatten(batch["w"])[0].shape[0]


def in_pieces(batch: dict, count: int) -> dict:
    """[B, ...] -> [count, B / count, ...]."""
    if count == 1:
        return tf.nest.map_structure(lambda t: tf.expand_dims(t, 0), batch)  # shapes may be unknown
    return tf.nest.map_structure(lambda t: tf.reshape(t, (count, t.shape[0] // count, *t.shape[1:])), batch)


def _added(a, b):
    return tf.nest.map_structure(tf.add, a, b)


def _divided(statistics: dict[int, tf.Tensor], count: int) -> dict[int, tf.Tensor]:
    if count == 1:
        return statistics
    return {i: v / count if v.dtype.is_floating else v // count for i, v in statistics.items()}


def _is_finite(tensor: tf.Tensor) -> tf.Tensor:
    """Whether all numbers are, and their sums along the first axis: sums are fast where a logical "and" is not."""
    return tf.reduce_all(tf.math.is_finite(tf.reduce_sum(tensor, axis=0) if tensor.shape.rank > 1 else tensor))


def _next_loss_scale(loss_scale: Tensors, finite: tf.Tensor) -> Tensors:
    """Halved after a gradient that is not finite, doubled after 2000 that were (Micikevicius et al. 2018, 3.2)."""
    if not loss_scale:
        return []
    scale, good_steps = loss_scale
    double = good_steps + 1 >= _STEPS_TO_DOUBLE_LOSS_SCALE
    grown = tf.where(double, scale * 2, scale)
    counted = tf.where(double, 0.0, good_steps + 1)
    return [tf.where(finite, grown, tf.maximum(scale / 2, 1.0)), tf.where(finite, counted, 0.0)]

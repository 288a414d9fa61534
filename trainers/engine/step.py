"""One step of training, one of evaluation: what happens to a batch on one replica.

The two halves that cost time, `loss_and_gradients` and `updated`, are pure: values of variables go in, new values come out,
so either may be compiled by XLA. Between them stands the only communication between replicas: one sum.
"""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from trainers.engine.state import Tensors, TrainState, Values
from trainers.speed.faster_layers import faster_layers
from trainers.speed.plan import Plan

Sums = dict[str, tf.Tensor]

_STEPS_TO_DOUBLE_LOSS_SCALE = 2000


class TrainStep:
    """One step on one replica: batch in, variables changed, sums of the loss and the metrics out.

    Args:
      state: the variables.
      task: gives losses and metrics.
      plan: makes pure functions fast, and says in how many pieces a batch is computed side by side.
      accumulate: pieces that a batch is computed in, one after the other.
      as_float: from what the data holds to what the model takes.
    """

    def __init__(self, state: TrainState, task, plan: Plan, accumulate: int = 1, as_float: Callable = lambda x: x) -> None:
        self.state, self.task, self.accumulate, self.as_float = state, task, accumulate, as_float
        self.beside = plan.pieces
        compute = self._loss_and_gradients
        if plan.faster_layers:
            compute = faster_layers(state.model)(compute)
        self.loss_and_gradients, self.updated = plan.compile(compute), plan.compile_update(self._updated)

    def __call__(self, step: tf.Tensor, batch: dict) -> Sums:
        """In a replica context. The sums are over the global batch, the same on every replica; with them "bad", whether the
        step was skipped because something is wrong (and not because a float16 gradient overflowed, which is mended).
        """
        new, sums = self._advanced(self.state.read(), batch, step, tf.distribute.get_replica_context())
        self.state.write(new)
        return sums

    def pure(self, values: Values, batch: dict, step: tf.Tensor) -> tuple[Values, Sums]:
        """The same where there is one replica, from values to values; may stand in one program with other steps."""
        new, sums = self._advanced(values, batch, step)
        changed = [new["non_trainable"].get(i, value) for i, value in enumerate(values["non_trainable"])]
        return {**new, "non_trainable": changed}, sums

    def _advanced(self, values: Values, batch: dict, step: tf.Tensor, replica=None) -> tuple[Values, Sums]:
        sums, gradients, statistics = self._reduced(values, batch, step, replica)
        new, finite = self.updated(values, sums, gradients, statistics)
        bad = ~finite
        if values["loss_scale"]:
            bad &= ~(tf.math.is_finite(sums["loss"]) & (values["loss_scale"][0] > 1.0))
        sums = {name: tf.where(finite, value, 0.0) for name, value in sums.items()}
        return new, {**sums, "skipped": 1.0 - tf.cast(finite, tf.float32), "bad": bad}

    def inspect(self, step: tf.Tensor, batch: dict) -> dict[str, tf.Tensor]:
        """In a replica context. Norms of each trainable variable [V]: of its gradient, of the update that this batch would
        bring, and of the variable. Changes nothing.
        """
        values = self.state.read()
        sums, gradients, statistics = self._reduced(values, batch, step, tf.distribute.get_replica_context())
        new, _ = self.updated(values, sums, gradients, statistics)
        updates = [after - before for after, before in zip(new["trainable"], values["trainable"], strict=True)]
        found = {"gradient": _means(values, sums, gradients), "update": updates, "weight": values["trainable"]}
        return {name: tf.stack([tf.norm(tensor) for tensor in tensors]) for name, tensors in found.items()}

    def _reduced(self, values: Values, batch: dict, step: tf.Tensor, replica):
        """(sums, gradients, statistics) of the global batch: the one place where replicas meet."""
        parts = self._compute(values, batch, step, replica)
        if replica is None:
            return parts
        sums, gradients, statistics = replica.all_reduce(tf.distribute.ReduceOp.SUM, parts)
        return sums, gradients, _divided(statistics, replica.num_replicas_in_sync)

    def zero_sums(self, batch: dict) -> Sums:
        """What a call returns for a replica's batch of these specs, all zeros. Traces; computes nothing."""
        values = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), self.state.read())
        pieces = self.accumulate * self.beside
        piece = tf.nest.map_structure(lambda t: tf.TensorSpec((t.shape[0] // pieces, *t.shape[1:]), t.dtype), batch)
        seeds = [tf.TensorSpec(2, tf.int64)] * (len(self.state.seeds) + 1)
        return {**_zeros(self.loss_and_gradients, values, piece, seeds)[0], "skipped": tf.constant(0.0)}

    def _compute(self, values: Values, batch: dict, step: tf.Tensor, replica):
        """What `loss_and_gradients` gives for this replica's part of the batch, piece after piece."""
        pieces = tf.nest.map_structure(lambda t: _in_pieces(t, self.accumulate), batch)

        def compute(i, statistics):
            non_trainable = [statistics.get(place, value) for place, value in enumerate(values["non_trainable"])]
            piece = tf.nest.map_structure(lambda t: t[i], pieces)
            return self._side_by_side({**values, "non_trainable": non_trainable}, piece, step * self.accumulate + i, replica)

        def add(i, sums, gradients, statistics):
            more, more_gradients, statistics = compute(i, statistics)
            return i + 1, *_added((sums, gradients), (more, more_gradients)), statistics

        if self.accumulate == 1:
            return self._side_by_side(values, batch, step, replica)
        loop = (tf.constant(1, step.dtype), *compute(tf.constant(0, step.dtype), {}))
        return tf.while_loop(lambda i, *_: i < self.accumulate, add, loop, parallel_iterations=1)[1:]

    def _side_by_side(self, values: Values, batch: dict, position: tf.Tensor, replica):
        """What `loss_and_gradients` gives for a batch in the plan's pieces, which wait for nothing of each other."""
        replicas = replica.num_replicas_in_sync if replica else 1
        replica_id = tf.cast(replica.replica_id_in_sync_group, position.dtype) if replica else 0
        pieces, parts = tf.nest.map_structure(lambda t: _in_pieces(t, self.beside), batch), []
        for i in range(self.beside):
            seeds = self.state.draw_seeds((position * self.beside + i) * replicas + replica_id)
            piece = tf.nest.map_structure(lambda t, i=i: t[i], pieces) if self.beside > 1 else batch
            parts.append(self.loss_and_gradients(values, piece, seeds))
        sums, gradients, statistics = functools.reduce(_added, parts)
        return sums, gradients, _divided(statistics, self.beside)

    def _loss_and_gradients(self, values: Values, batch: dict, seeds: Tensors):
        """Pure. (sums, gradients of the summed loss, new values of the non-trainable variables that changed, by place)."""
        *model_seeds, task_seed = seeds
        with tf.GradientTape() as tape:
            tape.watch(values["trainable"])
            with self.state.scope(values["trainable"], values["non_trainable"], model_seeds) as scope:
                batch = self.task.prepare({**batch, "x": self.as_float(batch["x"])}, task_seed)
                outputs = self.task.forward(self.state.model, batch, training=True)
                sums = loss_sums(self.state.model, self.task, batch, outputs)
            rows = batch["w"].shape[0]  # in float16 the mean is scaled, not the sum, which overflows in large batches
            loss = sums["loss"] / rows * values["loss_scale"][0] if values["loss_scale"] else sums["loss"]
        gradients = tape.gradient(loss, values["trainable"], unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(g) for g in gradients]  # dense, also of embeddings
        if values["loss_scale"]:
            gradients = [g * rows for g in gradients]
        metrics = self.task.metrics(batch, outputs, training=True)
        now = [scope.get_current_value(v) for v in self.state.variables["non_trainable"]]
        statistics = {i: v for i, (v, old) in enumerate(zip(now, values["non_trainable"], strict=True)) if v is not old}
        return {**sums, **metrics}, gradients, statistics

    def _updated(self, values: Values, sums: Sums, gradients: Tensors, statistics: dict) -> tuple[Values, tf.Tensor]:
        """Pure. New values from the sums over the global batch, and whether these are finite; if not, the old values."""
        means, old = _means(values, sums, gradients), [values[kind] for kind in ("trainable", "optimizer")]
        finite = tf.reduce_all([_is_finite(t) for t in (sums["loss"], *gradients)])

        def apply():  # clipping, weight decay and the moving average are in here: after the sum, so of the global batch
            return list(self.state.optimizer.stateless_apply(values["optimizer"], means, values["trainable"]))

        # A branch, since with tf.where XLA copies the old values of a program's loop to keep them beside the new.
        trainable, optimizer = tf.cond(finite, apply, lambda: old)
        new = {
            "trainable": trainable,
            "optimizer": optimizer,
            "non_trainable": {i: tf.where(finite, value, values["non_trainable"][i]) for i, value in statistics.items()},
            "loss_scale": _next_loss_scale(values["loss_scale"], finite),
        }
        return new, finite


def _in_pieces(tensor: tf.Tensor, count: int) -> tf.Tensor:
    """[B, ...] -> [count, B / count, ...]."""
    return tf.reshape(tensor, (count, tensor.shape[0] // count, *tensor.shape[1:]))


def _added(a, b):
    return tf.nest.map_structure(tf.add, a, b)


def _divided(statistics: dict[int, tf.Tensor], count: int) -> dict[int, tf.Tensor]:
    if count == 1:
        return statistics
    return {i: v / count if v.dtype.is_floating else v // count for i, v in statistics.items()}


def _is_finite(tensor: tf.Tensor) -> tf.Tensor:
    """Whether all numbers are, and their sums along the first axis: sums are fast where a logical "and" is not."""
    return tf.reduce_all(tf.math.is_finite(tf.reduce_sum(tensor, axis=0) if tensor.shape.rank > 1 else tensor))


def _means(values: Values, sums: Sums, gradients: Tensors) -> Tensors:
    """Gradients of the mean loss, unscaled. A product, which XLA makes in passing, where a quotient costs a pass."""
    scale = sums["weight"] * values["loss_scale"][0] if values["loss_scale"] else sums["weight"]
    return [g * tf.cast(tf.math.divide_no_nan(1.0, scale), g.dtype) for g in gradients]


def _next_loss_scale(loss_scale: Tensors, finite: tf.Tensor) -> Tensors:
    """Halved after a gradient that is not finite, doubled after 2000 that were (Micikevicius et al. 2018, 3.2)."""
    if not loss_scale:
        return []
    scale, good_steps = loss_scale
    double = good_steps + 1 >= _STEPS_TO_DOUBLE_LOSS_SCALE
    grown = tf.where(double, scale * 2, scale)
    counted = tf.where(double, 0.0, good_steps + 1)
    return [tf.where(finite, grown, tf.maximum(scale / 2, 1.0)), tf.where(finite, counted, 0.0)]


def loss_sums(model: keras.Model, task, batch: dict, outputs) -> Sums:
    """The summed loss and the summed weight of a batch. One penalty (L1, L2) per global batch remains after the division."""
    weights = tf.cast(batch["w"], tf.float32)
    weight = tf.reduce_sum(weights)
    losses = tf.cast(task.losses(batch, outputs), tf.float32)
    penalty = tf.add_n([tf.cast(loss, tf.float32) for loss in model.losses]) if model.losses else 0.0
    return {"loss": tf.reduce_sum(losses * weights) + penalty * weight, "weight": weight}


def _zeros(function: Callable, *specs):
    outputs = tf.function(function, autograph=False).get_concrete_function(*specs).structured_outputs
    return tf.nest.map_structure(lambda t: tf.zeros(t.shape, t.dtype), outputs)


class EvalStep:
    """Evaluate or predict one batch on one replica, with the averaged weights where the optimizer keeps an average."""

    def __init__(self, state: TrainState, task, plan: Plan, as_float: Callable = lambda x: x) -> None:
        self.state, self.task, self.as_float = state, task, as_float
        self.metric_sums, self.outputs = plan.compile(self._metric_sums), plan.compile(self._outputs)

    def __call__(self, batch: dict) -> Sums:
        """In a replica context. The sums over the global batch of the loss and the metrics."""
        sums = self.metric_sums(*self._values(), batch)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)

    def zero_sums(self, batch: dict) -> Sums:
        """What a call returns for a replica's batch of these specs, all zeros. Traces; computes nothing."""
        return _zeros(self.metric_sums, *self._values(), batch)

    def predict(self, batch: dict):
        """In a replica context. The model's outputs for this replica's part of the batch."""
        return self.outputs(*self._values(), batch)

    def _values(self) -> tuple[Tensors, Tensors]:
        variables = (self.state.evaluated(), self.state.variables["non_trainable"])
        return tuple([tf.convert_to_tensor(v.value) for v in of] for of in variables)

    def _outputs(self, trainable: Tensors, non_trainable: Tensors, batch: dict):
        """Pure."""
        batch = {**batch, "x": self.as_float(batch["x"])}
        with self._scope(trainable, non_trainable):
            return self.task.forward(self.state.model, batch, training=False)

    def _metric_sums(self, trainable: Tensors, non_trainable: Tensors, batch: dict) -> Sums:
        """Pure."""
        batch = {**batch, "x": self.as_float(batch["x"])}
        with self._scope(trainable, non_trainable):
            outputs = self.task.forward(self.state.model, batch, training=False)
            sums = loss_sums(self.state.model, self.task, batch, outputs)
        return {**sums, **self.task.metrics(batch, outputs, training=False)}

    def _scope(self, trainable: Tensors, non_trainable: Tensors) -> keras.StatelessScope:
        return self.state.scope(trainable, non_trainable, [tf.zeros(2, tf.int64) for _ in self.state.seeds])

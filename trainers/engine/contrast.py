"""A loss that looks across the global batch, where the batch lies on replicas or is computed in pieces: two passes.

Gao et al. 2021, Scaling deep contrastive learning batch size under memory limited setup (GradCache). The first pass computes
the outputs of all pieces without a tape, which are gathered from all replicas; their loss and its derivative by the outputs,
the cotangents, are those of the global batch. The second pass differentiates outputs x cotangents piece by piece.
"""

import tensorflow as tf

from trainers.engine.losses import Sums, loss_sums, total
from trainers.engine.state import Tensors, Values
from trainers.speed.faster_layers import faster_layers

_NOT_FOR_LOSSES = ("x", "row", "cotangents")


class Contrast:
    """The two passes of an update (trainers.engine.update.Update)."""

    def __init__(self, update) -> None:
        self.update, plan = update, update.plan
        outputs = faster_layers(update.state.model)(self._outputs) if plan.faster_layers else self._outputs
        self.outputs, self.loss_of_outputs = plan.compile(outputs), plan.compile(self._loss_of_outputs)

    def pass_over(self, values: Values, batch: dict, number: tf.Tensor, replica) -> tuple[Sums, dict]:
        """(sums over the global batch, this replica's batch with the cotangents of its rows)."""
        count = self.update.pieces(batch)
        pieces = tf.nest.map_structure(lambda t: tf.reshape(t, (count, t.shape[0] // count, *t.shape[1:])), batch)

        def compute(i):
            seeds = self.update.seeds(number, i, count, replica)
            return self.outputs(values, tf.nest.map_structure(lambda t: t[i], pieces), *seeds)

        numbers = tf.range(count, dtype=number.dtype)
        kinds = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), compute(numbers[0]))
        found = tf.map_fn(compute, numbers, parallel_iterations=1, fn_output_signature=kinds)
        found = tf.nest.map_structure(lambda t: tf.reshape(t, (-1, *t.shape[2:])), found)
        sums, cotangents = self.loss_of_outputs(*gathered(found, replica))
        return sums, {**batch, "cotangents": tf.nest.map_structure(lambda t: of_replica(t, replica), cotangents)}

    def stand_in(self, batch: dict, outputs, penalty) -> tuple[Sums, tf.Tensor]:
        """(what the penalty adds to the sums, a number whose derivative is that of this piece's share of the loss)."""
        pairs = zip(tf.nest.flatten(outputs), tf.nest.flatten(batch["cotangents"]), strict=True)
        loss = tf.add_n([tf.reduce_sum(tf.cast(o, tf.float32) * tf.cast(c, tf.float32)) for o, c in pairs])
        weights = batch["w"]
        term = next(iter(weights)) if isinstance(weights, dict) else ""
        weight = tf.reduce_sum(tf.cast(weights[term] if term else weights, tf.float32))
        return {f"loss/{term}" if term else "loss": penalty * weight}, loss + penalty * weight

    def _outputs(self, values: Values, batch: dict, seeds: Tensors, noise_seed: tf.Tensor):
        """Pure. (outputs, what else of the batch the losses may look at)."""
        with self.update.state.scope(values, seeds):
            batch = self.update.prepared(batch, noise_seed)
            outputs = self.update.objective.forward(self.update.state.model, batch, training=True)
        return outputs, for_losses(batch)

    def _loss_of_outputs(self, outputs, batch: dict) -> tuple[Sums, list]:
        """Pure. (sums, derivative of the summed loss by the outputs)."""
        objective = self.update.objective
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            sums = loss_sums(objective, batch, outputs)
            loss = total(sums, {name: value for name, value in sums.items() if name.startswith("weight/")})
        cotangents = tape.gradient(loss, outputs, unconnected_gradients="zero")
        return {**sums, **objective.metrics(batch, outputs, training=True)}, cotangents


def for_losses(batch: dict) -> dict:
    """What of a prepared batch is gathered from all replicas."""
    return {name: value for name, value in batch.items() if name not in _NOT_FOR_LOSSES}


def gathered(parts, replica):
    """All replicas' rows, in order."""
    if replica is None or replica.num_replicas_in_sync == 1:
        return parts
    count = replica.num_replicas_in_sync

    def gather(t):  # TensorFlow forgets how many rows there are
        return tf.ensure_shape(replica.all_gather(t, axis=0), (count * t.shape[0], *t.shape[1:]))

    return tf.nest.map_structure(gather, parts)


def of_replica(tensor: tf.Tensor, replica) -> tf.Tensor:
    """This replica's rows of all."""
    if replica is None or replica.num_replicas_in_sync == 1:
        return tensor
    rows = tensor.shape[0] // replica.num_replicas_in_sync
    return tf.gather(tensor, tf.range(rows) + rows * tf.cast(replica.replica_id_in_sync_group, tf.int32))

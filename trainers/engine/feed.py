"""The next batch, for the replicas, and how long it was waited for."""

import time

import tensorflow as tf

# AutoGraph is for a `while` over tensors alone: its reading of all that is called took a second of a run's start.
as_written = tf.autograph.experimental.do_not_convert


@as_written
def next_parts(strategy: tf.distribute.Strategy, iterator):
    """Each replica's part of the next batch. A dataset's own iterator gives whole batches, a strategy's gives parts."""
    batch, replicas = next(iterator), strategy.num_replicas_in_sync
    if replicas == 1 or not isinstance(iterator, tf.data.Iterator):
        return batch

    def part(context):
        return tf.nest.map_structure(lambda t: tf.split(t, replicas)[context.replica_id_in_sync_group], batch)

    return strategy.experimental_distribute_values_from_function(part)


@as_written
def timed_next(strategy: tf.distribute.Strategy, iterator, number: tf.Tensor, every: int):
    """The next batch, and the seconds that it took, estimated from each `every`th.

    By Python's clock, which takes 60 microseconds: TensorFlow's is not allowed under op determinism.
    """
    due = number % every == 0
    before = tf.cond(due, _clock, no_time)
    with tf.control_dependencies([before]):
        batch = next_parts(strategy, iterator)
    with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
        after = tf.cond(due, _clock, no_time)
    return batch, every * (after - before)


def _clock() -> tf.Tensor:
    return tf.ensure_shape(tf.numpy_function(time.perf_counter, [], tf.float64), ())


def no_time() -> tf.Tensor:
    return tf.constant(0.0, tf.float64)

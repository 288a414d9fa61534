"""Batches for the replicas, and how long the next one was waited for."""

import time

import tensorflow as tf

from trainers.engine.strategy import process_of
from trainers.speed.device import on_cpu, on_device

_BLOCK_BYTES = 2**25  # of batches that are handed to a program together

# AutoGraph is for a `while` over tensors alone: its reading of all that is called took a second of a run's start.
no_autograph = tf.autograph.experimental.do_not_convert


@no_autograph
def next_parts(strategy: tf.distribute.Strategy, iterator):
    """Each replica's part of the next batch. A dataset's own iterator gives whole batches, a strategy's gives parts."""
    batch, replicas = next(iterator), strategy.num_replicas_in_sync
    if replicas == 1 or not isinstance(iterator, tf.data.Iterator):
        return batch

    def part(context):
        return tf.nest.map_structure(lambda t: tf.split(t, replicas)[context.replica_id_in_sync_group], batch)

    return strategy.experimental_distribute_values_from_function(part)


@no_autograph
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


class Feed:
    """Batches of a split, spread over the replicas; each process makes its own part.

    Args:
      seed: of the order.
    """

    def __init__(self, strategy: tf.distribute.Strategy, seed: int) -> None:
        self.strategy, self.seed, self.process = strategy, seed, process_of(strategy)

    def iterator(self, data, split: str, batch_size: int, **options):
        """An iterator over Data.batches."""
        replicas, process = self.strategy.num_replicas_in_sync, self.process
        dataset = data.batches(split, batch_size, share=(process.index, process.count), **options)
        if process.count == 1:
            return self._distributed(dataset)
        parts = dataset.rebatch(batch_size // replicas, drop_remainder=True) if replicas > process.count else dataset
        endless = parts.repeat()  # of one that ends, an iterator over many processes makes the shapes unknown
        return iter(self.strategy.distribute_datasets_from_function(lambda context: endless))

    def training(self, data, batch_size: int, step: int):
        """An iterator over training batches from `step` on."""
        return self.iterator(data, "train", batch_size, training=True, seed=self.seed, start_step=step)

    def blocks(self, data, batch_size: int, step: int, most: int, *, resident: bool) -> tuple[int, object, dict]:
        """(batches of a block, an iterator over blocks of training batches from `step` on, tensors that they are rows of).

        Args:
          most: batches of a block, where they are not too large.
          resident: whether blocks hold indices of rows of tensors that stay on the device.
        """
        options = dict(seed=self.seed, start_step=step)
        if resident:
            tensors = on_device(data.tensors("train"), self.strategy)
            return most, self._distributed(data.index_batches("train", batch_size, block=most, **options)), tensors
        batch_bytes = sum(t.dtype.size * t.shape.num_elements() for t in tf.nest.flatten(self.spec(data, batch_size)))
        block = max(1, min(most, _BLOCK_BYTES // batch_bytes))
        return block, self._distributed(data.batches("train", batch_size, training=True, block=block, **options)), {}

    def spec(self, data, batch_size: int) -> dict:
        """Of one replica's part of a batch."""
        whole, replicas = data.batches("train", batch_size, training=False).element_spec, self.strategy.num_replicas_in_sync
        return tf.nest.map_structure(lambda t: tf.TensorSpec((t.shape[0] // replicas, *t.shape[1:]), t.dtype), whole)

    def own_part(self, data, batch_size: int, step: int) -> dict:
        """This process's part of the training batch of `step`."""
        share = (self.process.index, self.process.count)
        options = dict(training=True, seed=self.seed, start_step=step, share=share)
        return next(iter(data.batches("train", batch_size, **options)))

    def _distributed(self, dataset: tf.data.Dataset):
        """An iterator for the replicas of this process.

        On CPUs the dataset's own: TensorFlow's distributed one sets glibc to give memory back at once
        (generator_dataset_op.cc), which makes page faults of XLA's buffers and cost a dense net a third of its speed; and to
        leave one before its end takes seconds now and then, of two logical CPUs up to minutes.
        """
        if on_cpu(self.strategy):
            return iter(dataset)
        return iter(self.strategy.experimental_distribute_dataset(dataset))

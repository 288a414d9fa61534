"""Which examples a batch holds: a function of (seed, epoch, position) alone, so there is no buffer and no state to save."""

import tensorflow as tf

_ROUNDS = 16  # of the cipher; with 4, and in part with 8, neighbours and streams are correlated
_STREAMS = 64  # of random numbers in one epoch; stream 0 is the order


def steps_per_epoch(size: int, batch_size: int) -> int:
    """Batches that hold `size` examples once; the last may be padded."""
    return -(-size // batch_size)


def batch_indices(step, *, size: int, batch_size: int, seed: int, shuffle: bool):
    """The examples of one batch.

    Args:
      step: int64 scalar, counted from the first epoch's first batch.
      size: examples of the split.

    Returns:
      (indices [B] int64, weights [B] float32, epoch int64). After the epoch's last example follow indices of the same batch
      again, with weight 0.
    """
    per_epoch = steps_per_epoch(size, batch_size)
    epoch, first = step // per_epoch, step % per_epoch * batch_size
    real = tf.minimum(size - first, batch_size)
    offset = tf.range(batch_size, dtype=tf.int64)
    positions = first + offset % real
    weights = tf.cast(offset < real, tf.float32)
    return (permuted(positions, size, seed, epoch) if shuffle else positions), weights, epoch


def permuted(positions, size, seed: int, epoch):
    """What stands at `positions` [B] of the epoch's permutation of range(size)."""
    return _index_shuffle(positions, seed, epoch, stream=0, max_index=size - 1)


def permuted_in_windows(positions, size: int, window: int, seed: int, epoch):
    """What stands at `positions` [B] of an epoch of a stream whose windows are permuted one by one."""
    windows, number = steps_per_epoch(size, window), positions // window
    sizes = tf.minimum(size - number * window, window)
    parts = [
        permuted(positions[i : i + 1] % window, sizes[i], seed, epoch * windows + number[i]) + number[i] * window
        for i in range(len(positions))
    ]
    return tf.concat(parts, axis=0)


def uniform(indices, *, seed: int, epoch, stream: int):
    """One number in [0, 1) for each example [B], a function of (seed, epoch, example, stream): for augmentation.

    Args:
      stream: 0 to 62; another for each use.
    """
    bits = _index_shuffle(indices, seed, epoch, stream=stream + 1, max_index=2**30 - 1)
    return tf.cast(bits, tf.float32) / 2**30


def _index_shuffle(indices, seed: int, epoch, *, stream: int, max_index):
    """tf.random.experimental.index_shuffle pads its seed wrongly, hence the raw op. Its keys are drawn first, since keys
    that differ in a few bits give related permutations of small sets.
    """
    seeds = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64) * _STREAMS + stream])
    key = tf.random.stateless_uniform((3,), seeds, minval=None, maxval=None, dtype=tf.uint32)
    keys = tf.broadcast_to(key, (tf.size(indices), 3))
    return tf.raw_ops.RandomIndexShuffle(index=indices, seed=keys, max_index=tf.cast(max_index, tf.int64), rounds=_ROUNDS)

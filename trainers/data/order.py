"""Which examples a batch holds: a function of (seed, epoch, position) alone, so there is no buffer and no state to save."""

import tensorflow as tf

_ROUNDS = 16  # of the cipher; with 4, and in part with 8, neighbours and streams are correlated
_STREAMS = 64  # of random numbers in one epoch; stream 0 is the order


def steps_per_epoch(size: int, batch_size: int) -> int:
    """Batches that hold `size` examples once; the last may be padded."""
    return -(-size // batch_size)


def batch_indices(steps, *, size: int, batch_size: int, seed: int, shuffle: bool):
    """The examples of one batch, or of many.

    Args:
      steps: int64, a scalar or [K], counted from the first epoch's first batch.
      size: examples of the split.

    Returns:
      (indices [B] int64, weights [B] float32, epoch int64), each with K in front where `steps` has it. After an epoch's last
      example follow indices of the same batch again, with weight 0.
    """
    per_epoch = steps_per_epoch(size, batch_size)
    epochs, first = steps // per_epoch, steps % per_epoch * batch_size
    real = tf.minimum(size - first, batch_size)[..., None]
    offset = tf.range(batch_size, dtype=tf.int64)
    positions = first[..., None] + offset % real
    weights = tf.cast(offset < real, tf.float32)
    return (permuted(positions, size, seed, epochs) if shuffle else positions), weights, epochs


def permuted(positions, size, seed: int, epochs):
    """What stands at `positions` [B] of the epoch's permutation of range(size), or at [K, B] of those of the epochs [K]."""
    return _index_shuffle(positions, seed, epochs, stream=0, max_index=size - 1)


def permuted_in_windows(positions, size: int, window: int, seed: int, epoch):
    """What stands at `positions` [B] of an epoch of a stream whose windows are permuted one by one."""
    windows, number = steps_per_epoch(size, window), positions // window
    sizes = tf.minimum(size - number * window, window)
    parts = [
        permuted(positions[i : i + 1] % window, sizes[i], seed, epoch * windows + number[i]) + number[i] * window
        for i in range(len(positions))
    ]
    return tf.concat(parts, axis=0)


def uniform(indices, *, seed: int, epochs, stream: int):
    """One number in [0, 1) for each example, a function of (seed, epoch, example, stream): for augmentation.

    Args:
      indices: of the examples, [B] in one epoch or [K, B] in the epochs [K].
      stream: 0 to 62; another for each use.
    """
    bits = _index_shuffle(indices, seed, epochs, stream=stream + 1, max_index=2**30 - 1)
    return tf.cast(bits, tf.float32) / 2**30


def _index_shuffle(indices, seed: int, epochs, *, stream: int, max_index):
    """tf.random.experimental.index_shuffle pads its seed wrongly, hence the raw op. Its keys are drawn first, since keys
    that differ in a few bits give related permutations of small sets.
    """
    numbers = tf.cast(epochs, tf.int64) * _STREAMS + stream
    distinct, which = tf.unique(tf.reshape(numbers, (-1,)))  # of many batches most are of one epoch
    keys = tf.map_fn(lambda number: _key(seed, number), distinct, fn_output_signature=tf.TensorSpec((3,), tf.uint32))
    keys = tf.reshape(tf.gather(keys, which), (*numbers.shape, *[1] * (len(indices.shape) - len(numbers.shape)), 3))
    keys = tf.reshape(tf.broadcast_to(keys, (*tf.unstack(tf.shape(indices)), 3)), (-1, 3))
    max_index = tf.cast(max_index, tf.int64)
    flat = tf.raw_ops.RandomIndexShuffle(index=tf.reshape(indices, (-1,)), seed=keys, max_index=max_index, rounds=_ROUNDS)
    return tf.reshape(flat, tf.shape(indices))


def _key(seed: int, number):
    return tf.random.stateless_uniform(
        (3,), tf.stack([tf.constant(seed, tf.int64), number]), minval=None, maxval=None, dtype=tf.uint32
    )

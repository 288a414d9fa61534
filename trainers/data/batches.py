"""Examples -> batches {"x", "y", "w"} of one static shape. B batch.

The rows `mine` of each batch are made, those of one host among many; w is 0 where a row repeats another to fill the last batch.
"""

import tensorflow as tf

from trainers.data.order import batch_indices, permuted, steps_per_epoch, uniform
from trainers.data.spec import Batches, Stream

_TOGETHER, _BYTES_TOGETHER = 32, 2**25  # batches gathered at once, and how large they may be together


def batches_of_arrays(
    tensors: dict, size: int, batch_size: int, *, training, seed, start_step, augment, mine, block
) -> tf.data.Dataset:
    """Many batches are gathered at once: 50,000 a second of 64 images of MNIST, and 8,500 one by one, on 2 cores."""
    batch_bytes = batch_size * sum(t.dtype.size * t.shape[1:].num_elements() for t in tf.nest.flatten(tensors))
    together = block or max(1, min(_TOGETHER, int(_BYTES_TOGETHER / batch_bytes)))

    def make(first):
        steps = first + tf.range(together, dtype=tf.int64)
        indices, weights, epochs = batch_indices(steps, size=size, batch_size=batch_size, seed=seed, shuffle=training)
        indices, weights = indices[:, mine], weights[:, mine]
        found = tf.nest.map_structure(lambda t: tf.gather(t, indices), tensors)
        weights *= found.pop("w", 1.0)
        if augment:
            found["x"] = _augmented(augment, found["x"], indices, seed, epochs)
        return {"x": found["x"], "y": found["y"], "w": weights}

    last = tf.int64.max - together if training else steps_per_epoch(size, batch_size)
    blocks = tf.data.Dataset.range(start_step, last, together).map(make, num_parallel_calls=tf.data.AUTOTUNE)
    if block:
        return blocks
    return blocks.unbatch() if training else blocks.unbatch().take(last - start_step)


def indices_of_batches(size: int, batch_size: int, *, seed: int, start_step: int, block: int) -> tf.data.Dataset:
    """What batches_of_arrays gathers in training, where the arrays are gathered from elsewhere: {"indices", "w"}, each
    [block, B], int32 and float32.
    """

    def make(first):
        steps = first + tf.range(block, dtype=tf.int64)
        indices, weights, _ = batch_indices(steps, size=size, batch_size=batch_size, seed=seed, shuffle=True)
        return {"indices": tf.cast(indices, tf.int32), "w": weights}

    steps = tf.data.Dataset.range(start_step, tf.int64.max - block, block)
    return steps.map(make, num_parallel_calls=tf.data.AUTOTUNE)


def _augmented(augment, images, indices, seed, epochs):
    """[K, B, ...] of the epochs [K]."""
    flat = tf.reshape(images, (-1, *images.shape[2:]))

    def numbers(stream):
        return tf.reshape(uniform(indices, seed=seed, epochs=epochs, stream=stream), (-1,))

    return tf.reshape(augment(flat, numbers), tf.concat([tf.shape(indices), images.shape[2:]], axis=0))


def batches_of_stream(split: Stream, batch_size: int, *, training, seed, start_step, augment, mine) -> tf.data.Dataset:
    examples = split.dataset.enumerate()  # (index, example)
    in_windows, windows = examples.batch(split.window).enumerate(), steps_per_epoch(len(split), split.window)

    def pad(indices, examples, epoch):
        real = tf.shape(indices, tf.int64)[0]
        places = tf.range(batch_size, dtype=tf.int64)[mine]
        rows = places % real
        indices, examples = tf.nest.map_structure(lambda t: tf.gather(t, rows), (indices, examples))
        if augment:
            examples["x"] = augment(examples["x"], lambda stream: uniform(indices, seed=seed, epochs=epoch, stream=stream))
        return {"x": examples["x"], "y": examples["y"], "w": tf.cast(places < real, tf.float32)}

    def shuffled(window, batch, epoch):
        size = tf.shape(batch[0], tf.int64)[0]
        order = permuted(tf.range(size), size, seed, epoch * windows + window)
        return tf.nest.map_structure(lambda t: tf.gather(t, order), batch)

    def epoch_batches(epoch):
        if training:
            batches = in_windows.map(lambda window, batch: shuffled(window, batch, epoch)).rebatch(batch_size)
        else:
            batches = examples.batch(batch_size)
        return batches.map(lambda i, e: pad(i, e, epoch), num_parallel_calls=tf.data.AUTOTUNE)

    first, skipped = divmod(start_step, steps_per_epoch(len(split), batch_size))
    epochs = tf.data.Dataset.range(first, tf.int64.max if training else 1)
    return epochs.flat_map(epoch_batches).skip(skipped)


def padded(batches: Batches, batch_size: int, *, training: bool, start_step: int, mine: slice) -> tf.data.Dataset:
    def pad(batch):
        real, places = tf.shape(batch["w"])[0], tf.range(batch_size)[mine]
        padded = tf.nest.map_structure(lambda t: tf.gather(t, places % real), batch)
        return {**padded, "w": tf.where(places < real, padded["w"], 0.0)}

    own = batches.batch_size == batch_size
    dataset = batches.dataset if own else batches.dataset.rebatch(batch_size)
    if training:
        steps = batches.steps if own else steps_per_epoch(len(batches), batch_size)
        dataset = dataset.skip(start_step % steps).concatenate(dataset.repeat())
    return dataset.map(pad, num_parallel_calls=tf.data.AUTOTUNE)

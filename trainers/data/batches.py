"""Examples -> batches {"x", "y", "w"} of one static shape. B batch, K batches at once.

The rows `mine` of each batch are made, those of one host among many; w is 0 where a row repeats another to fill the last batch.
"""

import tensorflow as tf

from trainers.data.order import batch_indices, permuted, steps_per_epoch, uniform
from trainers.data.spec import Batches, Indexed, Stream
from trainers.nests import weighted

_TOGETHER, _BYTES_TOGETHER = 32, 2**25  # batches gathered at once, and how large they may be together


def batches_of_arrays(
    tensors: dict, size: int, batch_size: int, *, training, seed, start_step, augment, mine, block
) -> tf.data.Dataset:
    """Many batches are gathered at once: 50,000 a second of 64 images of MNIST, and 8,500 one by one, on 2 cores."""

    def finish(found, weights, indices, epochs):
        if augment:
            flat = tf.nest.map_structure(lambda t: tf.reshape(t, (-1, *t.shape[2:])), found["x"])
            flat = augment(flat, lambda n: tf.reshape(uniform(indices, seed=seed, epochs=epochs, stream=n), (-1,)))
            shape = tf.shape(indices)
            found["x"] = tf.nest.map_structure(lambda t: tf.reshape(t, tf.concat([shape, t.shape[1:]], axis=0)), flat)
        return {"x": found["x"], "y": found["y"], "w": weighted(weights, found.get("w"))}

    return _gathered(tensors, size, batch_size, finish, training, seed, start_step, mine, block)


def batches_of_indexed(
    rows: dict, split: Indexed, batch_size: int, *, training, seed, start_step, augment, mine
) -> tf.data.Dataset:
    """Only what is in the batches is read. rows: of the split, as tensors."""

    def finish(found, weights, indices, epochs):
        epochs = tf.broadcast_to(epochs[:, None], tf.shape(indices))
        return {"example": found, "w": weights, "index": indices, "epoch": epochs}

    dataset = _gathered(rows, len(split), batch_size, finish, training, seed, start_step, mine, None)
    return _read(dataset, split, len(range(batch_size)[mine]), augment, seed)


def _gathered(tensors, size, batch_size, finish, training, seed, start_step, mine, block) -> tf.data.Dataset:
    """What finish(rows [K, B, ...] of `tensors`, weights [K, B], indices [K, B], epochs [K]) makes of batches, one by one or in
    blocks.
    """
    batch_bytes = batch_size * sum(t.dtype.size * t.shape[1:].num_elements() for t in tf.nest.flatten(tensors))
    together = block or max(1, min(_TOGETHER, _BYTES_TOGETHER // max(batch_bytes, 1)))  # text has no size

    def make(first):
        steps = first + tf.range(together, dtype=tf.int64)
        indices, weights, epochs = batch_indices(steps, size=size, batch_size=batch_size, seed=seed, shuffle=training)
        indices, weights = indices[:, mine], weights[:, mine]
        return finish(tf.nest.map_structure(lambda t: tf.gather(t, indices), tensors), weights, indices, epochs)

    last = tf.int64.max - together if training else steps_per_epoch(size, batch_size)
    blocks = tf.data.Dataset.range(start_step, last, together).map(make, num_parallel_calls=tf.data.AUTOTUNE)
    if block:
        return blocks
    return blocks.unbatch() if training else blocks.unbatch().take(last - start_step)


def indices_of_batches(size: int, batch_size: int, *, seed: int, start_step: int, block: int) -> tf.data.Dataset:
    """What batches_of_arrays gathers in training, where the arrays are gathered from elsewhere: {"indices", "w"}, each
    [block, B], int32 and float32; w is 0 for padding and else 1.
    """

    def make(first):
        steps = first + tf.range(block, dtype=tf.int64)
        indices, weights, _ = batch_indices(steps, size=size, batch_size=batch_size, seed=seed, shuffle=True)
        return {"indices": tf.cast(indices, tf.int32), "w": weights}

    steps = tf.data.Dataset.range(start_step, tf.int64.max - block, block)
    return steps.map(make, num_parallel_calls=tf.data.AUTOTUNE)


def batches_of_stream(split: Stream, batch_size: int, *, training, seed, start_step, augment, mine) -> tf.data.Dataset:
    """What comes before the first batch is skipped before it is shuffled and read."""
    windows, per_epoch = steps_per_epoch(len(split), split.window), steps_per_epoch(len(split), batch_size)
    first_epoch, skipped = divmod(start_step, per_epoch)

    def elements(start):
        """(index, element) from the example `start` on."""
        return tf.data.Dataset.zip(tf.data.Dataset.range(start, len(split)), split.dataset.skip(start))

    def shuffled(epoch, start):
        """(indices, elements), windows of the epoch without what comes before `start`."""

        def shuffle(indices, window):
            number, size = indices[0] // split.window, tf.shape(indices, tf.int64)[0]
            order = permuted(tf.range(size), size, seed, epoch * windows + number)
            order = order[tf.maximum(start - number * split.window, 0) :]
            return tf.nest.map_structure(lambda t: tf.gather(t, order), (indices, window))

        return elements(start // split.window * split.window).batch(split.window).map(shuffle).rebatch(batch_size)

    def pad(indices, found, epoch):
        real, places = tf.shape(indices, tf.int64)[0], tf.range(batch_size, dtype=tf.int64)[mine]
        indices, found = tf.nest.map_structure(lambda t: tf.gather(t, places % real), (indices, found))
        weights = tf.cast(places < real, tf.float32)
        return {"example": found, "w": weights, "index": indices, "epoch": tf.fill(tf.shape(indices), epoch)}

    def epoch_batches(epoch):
        start = tf.where(epoch == first_epoch, tf.constant(skipped * batch_size, tf.int64), 0)
        batches = shuffled(epoch, start) if training else elements(start).batch(batch_size)
        return batches.map(lambda indices, found: pad(indices, found, epoch), num_parallel_calls=tf.data.AUTOTUNE)

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max if training else 1)
    return _read(epochs.flat_map(epoch_batches), split, len(range(batch_size)[mine]), augment, seed)


def _read(dataset: tf.data.Dataset, split: Indexed | Stream, size: int, augment, seed: int) -> tf.data.Dataset:
    """Batches of `size` rows {"example", "w", "index", "epoch"} -> batches: read, encoded, augmented."""
    if split.read:
        rows = dataset.unbatch().map(
            lambda row: {**row, "example": split.read(row["example"])}, num_parallel_calls=tf.data.AUTOTUNE
        )
        dataset = rows.batch(size, drop_remainder=True)

    def finish(batch):
        example = {"y": (), "w": None, **batch["example"]}
        found = split.encode(example) if split.encode else example
        x, y = tf.nest.map_structure(lambda t: tf.ensure_shape(t, (size, *t.shape[1:])), (found["x"], found["y"]))
        if augment:
            x = augment(x, lambda n: uniform(batch["index"], seed=seed, epochs=batch["epoch"][0], stream=n))
        w = None if example["w"] is None else tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), example["w"])
        return {"x": x, "y": y, "w": weighted(batch["w"], w)}

    return dataset.map(finish, num_parallel_calls=tf.data.AUTOTUNE)


def padded(batches: Batches, batch_size: int, *, training: bool, start_step: int, mine: slice) -> tf.data.Dataset:
    def pad(batch):
        real, places = tf.shape(tf.nest.flatten(batch)[0])[0], tf.range(batch_size)[mine]
        found = tf.nest.map_structure(lambda t: tf.gather(t, places % real), batch)
        return {**found, "w": weighted(tf.cast(places < real, tf.float32), found["w"])}

    own = batches.batch_size == batch_size
    dataset = batches.dataset if own else batches.dataset.rebatch(batch_size)
    if training:
        steps = batches.steps if own else steps_per_epoch(len(batches), batch_size)
        dataset = batches.from_step(dataset, start_step, steps)
    else:
        dataset = dataset.skip(start_step)
    return dataset.map(pad, num_parallel_calls=tf.data.AUTOTUNE)

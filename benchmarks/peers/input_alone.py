"""Batches a second without a net: our pipeline, and tf.data as tutorials write it."""

import tensorflow as tf

from benchmarks.peers.ours import make_data
from benchmarks.peers.trial import Trial, rate
from benchmarks.peers.workloads import Examples, Workload

_SHUFFLE_BUFFER = 10_000


def build(workload: Workload, examples: Examples, measure: str, *, tutorial: bool = False) -> Trial:
    if tutorial:
        dataset = tf.data.Dataset.from_tensor_slices((examples.x, examples.y)).shuffle(_SHUFFLE_BUFFER)
        dataset = dataset.batch(workload.batch).map(lambda x, y: {"x": tf.cast(x, tf.float32) / 255, "y": y})
        dataset = dataset.repeat().prefetch(tf.data.AUTOTUNE)
    else:
        dataset = make_data(workload, examples, measure).batches("train", workload.batch, training=True)
    iterator, speed = iter(dataset), 0.0

    @tf.function
    def take(count):
        total = tf.constant(0, tf.int64)
        for _ in tf.range(count):
            total += tf.cast(next(iterator)["y"][0], tf.int64)
        return total

    def run(seconds: float) -> dict:
        import time

        nonlocal speed
        count = max(1, round(speed * seconds))
        began = time.perf_counter()
        take(tf.constant(count, tf.int64)).numpy()
        found = dict(steps=count, seconds=time.perf_counter() - began, loss=0.0)
        speed = rate(found)
        return found

    run(0.0)
    run(0.0)
    run(0.1)
    return Trial(run, "shuffle buffer" if tutorial else "one gather a batch", 0)

"""Batches a second without a net: our pipeline, and tf.data as tutorials write it."""

import tensorflow as tf

from benchmarks.peers.ours import make_data
from benchmarks.peers.trial import Trial, rate
from benchmarks.peers.workloads import Examples, Workload

_SHUFFLE_BUFFER = 10_000
_BLOCK = 32  # batches at a time, as the plan xla_loop takes them; still bytes, which its step makes floats


def build(workload: Workload, examples: Examples, measure: str, *, tutorial: bool = False) -> Trial:
    if tutorial:
        dataset = tf.data.Dataset.from_tensor_slices((examples.x, examples.y)).shuffle(_SHUFFLE_BUFFER)
        dataset = dataset.batch(workload.batch).map(lambda x, y: {"x": tf.cast(x, tf.float32) / 255, "y": y})
        dataset, together = dataset.repeat().prefetch(tf.data.AUTOTUNE), 1
    else:
        data, together = make_data(workload, examples, measure), _BLOCK
        dataset = data.batches("train", workload.batch, training=True, block=together)
    iterator, speed = iter(dataset), 0.0

    @tf.function
    def take(count):
        total = tf.constant(0, tf.int64)
        for _ in tf.range(count):
            total += tf.cast(tf.reshape(next(iterator)["y"], [-1])[0], tf.int64)
        return total

    def run(seconds: float) -> dict:
        import time

        nonlocal speed
        count = max(1, round(speed * seconds / together))
        began = time.perf_counter()
        take(tf.constant(count, tf.int64)).numpy()
        found = dict(steps=count * together, seconds=time.perf_counter() - began, loss=0.0)
        speed = rate(found)
        return found

    run(0.0)
    run(0.0)
    run(0.1)
    return Trial(run, "floats" if tutorial else f"bytes, {together} batches at once", 0)

"""tf.GradientTape as tutorials write it: no tf.function. It computes no accuracy; ours and fit do."""

import itertools

import keras
import tensorflow as tf

from benchmarks.peers.trial import Trial, repeat
from benchmarks.peers.workloads import Examples, Workload, build_model, trainable_parameters

_SHUFFLE_BUFFER = 10_000


def build(workload: Workload, examples: Examples, measure: str) -> Trial:
    model, optimizer = build_model(workload), keras.optimizers.Adam(1e-3)
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if measure == "memory":
        dataset = tf.data.Dataset.from_tensor_slices(examples.ready(workload.batch)).batch(workload.batch)
        batches = itertools.cycle(list(dataset))
    else:  # normalised once, before the clock runs, as tutorials do
        dataset = tf.data.Dataset.from_tensor_slices((examples.normalised(), examples.y)).shuffle(_SHUFFLE_BUFFER)
        batches = iter(dataset.batch(workload.batch, drop_remainder=True).repeat())

    def step():
        x, y = next(batches)
        with tf.GradientTape() as tape:
            loss = loss_function(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return Trial(repeat(step, float), "no tf.function", trainable_parameters(model))

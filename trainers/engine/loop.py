"""The device's loop: many steps of a distributed iterator without returning to Python."""

from collections.abc import Callable

import tensorflow as tf

Sums = dict[str, tf.Tensor]


def make_train_loop(strategy: tf.distribute.Strategy, train_step: Callable) -> Callable:
    """loop(iterator, first_step, count, sums) -> sums plus those of `count` steps.

    The sums are carried through, so their rounding does not depend on how many steps one call makes.
    """

    @tf.function
    def train_loop(iterator, first_step: tf.Tensor, count: tf.Tensor, sums: Sums) -> Sums:
        for i in tf.range(count):
            new = strategy.run(train_step, args=(first_step + i, next(iterator)))
            sums = _add(strategy, sums, new)
        return sums

    return train_loop


def make_eval_loop(strategy: tf.distribute.Strategy, eval_step: Callable) -> Callable:
    """loop(iterator, count, sums) -> sums plus those of `count` batches."""

    @tf.function
    def eval_loop(iterator, count: tf.Tensor, sums: Sums) -> Sums:
        for _ in tf.range(count):
            new = strategy.run(eval_step, args=(next(iterator),))
            sums = _add(strategy, sums, new)
        return sums

    return eval_loop


def make_predict(strategy: tf.distribute.Strategy, predict_step: Callable) -> Callable:
    """predict(iterator) -> outputs of its next batch, in the order of the batch."""

    @tf.function
    def predict(iterator):
        outputs = strategy.run(predict_step, args=(next(iterator),))
        parts = strategy.experimental_local_results(outputs)
        return tf.nest.map_structure(lambda *tensors: tf.concat(tensors, axis=0), *parts)

    return predict


def _add(strategy: tf.distribute.Strategy, sums: Sums, new: Sums) -> Sums:
    """Every replica returns the same global sums, so the first one's are taken."""
    return {name: sums[name] + strategy.experimental_local_results(new[name])[0] for name in sums}

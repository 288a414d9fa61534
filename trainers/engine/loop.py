"""The device's loop: many steps of a distributed iterator without returning to Python."""

from collections.abc import Callable

import tensorflow as tf

Sums = dict[str, tf.Tensor]

_NOTED = 32  # places for the numbers of bad steps; a loop ends when they are full


def no_bad_steps(in_a_row: int = 0) -> dict[str, tf.Tensor]:
    """What a training loop has seen of steps whose loss or gradient was not finite: the last ones' numbers [32], how many
    they were, and how many of them in a row up to now.
    """
    return {
        "steps": tf.zeros(_NOTED, tf.int64),
        "count": tf.constant(0, tf.int64),
        "in_a_row": tf.constant(in_a_row, tf.int64),
    }


def make_train_loop(strategy: tf.distribute.Strategy, train_step: Callable) -> Callable:
    """loop(iterator, first_step, count, sums, bad, limit) -> (step reached, sums plus those of the steps made, bad steps).

    It makes `count` steps, fewer if `limit` of them in a row are bad or 32 in all. The sums are carried
    through, so their rounding does not depend on how many steps one call makes.
    """

    @tf.function
    def train_loop(iterator, first_step: tf.Tensor, count: tf.Tensor, sums: Sums, bad: dict, limit: tf.Tensor):
        step = first_step
        while step < first_step + count and bad["in_a_row"] < limit and bad["count"] < _NOTED:
            new = strategy.run(train_step, args=(step, next(iterator)))
            sums, bad = _add(strategy, sums, new), _noted(strategy, bad, step, new["bad"])
            step += 1
        return step, sums, bad

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
    """predict(iterator) -> outputs of its next batch, in the order of the batch, of all hosts' replicas."""

    @tf.function
    def predict(iterator):
        outputs = strategy.run(predict_step, args=(next(iterator),))
        return tf.nest.map_structure(lambda t: strategy.gather(t, axis=0), outputs)

    return predict


def make_inspection(strategy: tf.distribute.Strategy, inspect: Callable) -> Callable:
    """inspect(iterator, step) -> what a step's `inspect` says of the next batch."""

    @tf.function
    def inspection(iterator, step: tf.Tensor) -> dict[str, tf.Tensor]:
        found = strategy.run(inspect, args=(step, next(iterator)))
        return {name: _first(strategy, value) for name, value in found.items()}

    return inspection


def _add(strategy: tf.distribute.Strategy, sums: Sums, new: Sums) -> Sums:
    """Every replica returns the same global sums, so the first one's are taken."""
    return {name: sums[name] + _first(strategy, new[name]) for name in sums}


def _noted(strategy: tf.distribute.Strategy, bad: dict, step: tf.Tensor, is_bad) -> dict:
    is_bad = _first(strategy, is_bad)
    place = tf.range(_NOTED, dtype=tf.int64) == bad["count"]
    return {
        "steps": tf.where(place & is_bad, step, bad["steps"]),
        "count": bad["count"] + tf.cast(is_bad, tf.int64),
        "in_a_row": tf.where(is_bad, bad["in_a_row"] + 1, 0),
    }


def _first(strategy: tf.distribute.Strategy, value):
    return strategy.experimental_local_results(value)[0]

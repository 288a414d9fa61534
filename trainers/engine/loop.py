"""The device's loop: many steps of a distributed iterator without returning to Python."""

from collections.abc import Callable

import tensorflow as tf

from trainers.engine.feed import next_parts, no_autograph, no_time, timed_next
from trainers.nests import weighted

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


class TrainLoop:
    """loop(first_step, count, sums, bad, limit) -> (step reached, sums plus those of the steps made, bad steps, seconds that
    the device waited for the iterator).

    It makes `count` steps, fewer if `limit` of them in a row are bad or 32 in all. The sums are carried
    through, so their rounding does not depend on how many steps one call makes.
    """

    def __init__(self, strategy: tf.distribute.Strategy, train_step: Callable) -> None:
        self._strategy, self._train_step, self._iterator = strategy, no_autograph(train_step), None

    def start(self, iterator) -> None:
        """Go on with the batches of an iterator."""
        self._iterator = iterator

    def __call__(self, first_step: int, count: int, sums: Sums, bad: dict, limit: int):
        return self._loop(self._iterator, *_int64(first_step, count), sums, bad, *_int64(limit))

    @tf.function
    def _loop(self, iterator, first_step: tf.Tensor, count: tf.Tensor, sums: Sums, bad: dict, limit: tf.Tensor):
        step, waited = first_step, no_time()
        end = first_step + count
        while _goes_on(step, end, bad, limit):
            batch, seconds = timed_next(self._strategy, iterator, step, every=64)
            new = self._strategy.run(self._train_step, args=(step, batch))
            new = {name: _first(self._strategy, value) for name, value in new.items()}
            sums, bad = _added(sums, new), _noted(bad, step, new["bad"])
            step, waited = step + 1, waited + seconds
        return step, sums, bad, waited


class BlockLoop:
    """TrainLoop on one device, where a batch of the iterator is a block of `steps` batches and one program makes as many
    steps of it as it may. What is left of a block is for the next call.

    Args:
      train_step: its `pure` makes a step from values to values.
      compile: of a pure function (Plan.compile).
    """

    def __init__(self, strategy: tf.distribute.Strategy, train_step, compile: Callable, steps: int) -> None:
        self._strategy, self._train_step, self._steps, self._program = strategy, train_step, steps, compile(self._made)
        self._iterator, self._resident, self._block, self._used = None, {}, None, 0

    def start(self, iterator, resident: dict) -> None:
        """Go on with the blocks of an iterator. They hold batches, or the {"indices", "w"} of their rows in the tensors
        `resident`, if there are some.
        """
        self._iterator, self._resident, self._block, self._used = iterator, resident, next(iterator), 0

    def __call__(self, first_step: int, count: int, sums: Sums, bad: dict, limit: int):
        state = (self._iterator, self._resident, self._block, *_int64(self._used, first_step, count))
        self._block, used, *found = self._loop(*state, sums, bad, *_int64(limit))
        self._used = int(used)
        return found

    @tf.function
    def _loop(self, iterator, resident: dict, block, used, first_step, count, sums: Sums, bad: dict, limit):
        step, end, waited = first_step, first_step + count, tf.constant(0.0, tf.float64)
        while _goes_on(step, end, bad, limit):
            if used == self._steps:
                block, seconds = timed_next(self._strategy, iterator, step, every=1)
                used, waited = tf.constant(0, tf.int64), waited + seconds
            before = step
            step, sums, bad = self._strategy.run(self._run, args=(resident, block, used, step, end, sums, bad, limit))
            used += step - before
        return block, used, step, sums, bad, waited

    @no_autograph
    def _run(self, *arguments):
        """In a replica context."""
        values, step, sums, bad = self._program(self._train_step.state.read(), *arguments)
        self._train_step.state.write(values)
        return step, sums, bad

    def _made(self, values, resident, block, used, first_step, end, sums, bad, limit):
        """Pure. As many steps as the block and `end` allow."""
        last = tf.minimum(end, first_step + self._steps - used)

        def goes_on(step, values, sums, bad):
            return _goes_on(step, last, bad, limit)

        def make(step, values, sums, bad):
            place = used + step - first_step  # gathered: XLA takes the bounds of a slice for constants and compiles for each
            batch = tf.nest.map_structure(lambda t: tf.gather(t, place), block)
            values, new = self._train_step.pure(values, _gathered(resident, batch) if resident else batch, step)
            return step + 1, values, _added(sums, new), _noted(bad, step, new["bad"])

        step, values, sums, bad = tf.while_loop(goes_on, make, (first_step, values, sums, bad))
        return values, step, sums, bad


@no_autograph
def _goes_on(step: tf.Tensor, end: tf.Tensor, bad: dict, limit: tf.Tensor) -> tf.Tensor:
    return (step < end) & (bad["in_a_row"] < limit) & (bad["count"] < _NOTED)


@no_autograph
def _gathered(resident: dict, batch: dict) -> dict:
    found = tf.nest.map_structure(lambda t: tf.gather(t, batch["indices"]), resident)
    return {**found, "w": weighted(batch["w"], found.get("w"))}


def _int64(*numbers: int) -> list[tf.Tensor]:
    return [tf.constant(number, tf.int64) for number in numbers]


def make_eval_loop(strategy: tf.distribute.Strategy, eval_step: Callable) -> Callable:
    """loop(iterator, first, count, sums) -> sums plus those of `count` batches, the first of which has the number `first`."""

    eval_step = no_autograph(eval_step)

    @tf.function
    def eval_loop(iterator, first: tf.Tensor, count: tf.Tensor, sums: Sums) -> Sums:
        for number in tf.range(first, first + count):
            new = strategy.run(eval_step, args=(number, next_parts(strategy, iterator)))
            sums = _added(sums, {name: _first(strategy, value) for name, value in new.items()})
        return sums

    return eval_loop


def make_map(strategy: tf.distribute.Strategy, step: Callable) -> Callable:
    """function(iterator, number) -> what `step` gives for its next batch, in the order of the batch, of all hosts' replicas."""

    @tf.function(autograph=False)
    def of_next(iterator, number: tf.Tensor):
        outputs = strategy.run(step, args=(number, next_parts(strategy, iterator)))
        return tf.nest.map_structure(lambda t: _gathered_rows(strategy, t), outputs)

    return of_next


def _gathered_rows(strategy: tf.distribute.Strategy, value) -> tf.Tensor:
    """Collectives on CPUs know no bfloat16, so it is gathered as float32, which holds it."""
    parts = strategy.experimental_local_results(value)
    if parts[0].dtype != tf.bfloat16:
        return strategy.gather(value, axis=0)
    wide = strategy.run(lambda t: tf.cast(t, tf.float32), args=(value,))
    return tf.cast(strategy.gather(wide, axis=0), tf.bfloat16)


def make_inspection(strategy: tf.distribute.Strategy, inspect: Callable) -> Callable:
    """inspect(iterator, step) -> what a step's `inspect` says of the next batch."""

    @tf.function(autograph=False)
    def inspection(iterator, step: tf.Tensor) -> dict[str, tf.Tensor]:
        found = strategy.run(inspect, args=(step, next_parts(strategy, iterator)))
        return {name: _first(strategy, value) for name, value in found.items()}

    return inspection


@no_autograph
def _added(sums: Sums, new: Sums) -> Sums:
    return {name: sums[name] + new[name] for name in sums}


@no_autograph
def _noted(bad: dict, step: tf.Tensor, is_bad: tf.Tensor) -> dict:
    place = tf.range(_NOTED, dtype=tf.int64) == bad["count"]
    return {
        "steps": tf.where(place & is_bad, step, bad["steps"]),
        "count": bad["count"] + tf.cast(is_bad, tf.int64),
        "in_a_row": tf.where(is_bad, bad["in_a_row"] + 1, 0),
    }


@no_autograph
def _first(strategy: tf.distribute.Strategy, value):
    """Every replica returns the same global sums, so the first one's are taken."""
    return strategy.experimental_local_results(value)[0]

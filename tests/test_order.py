"""Which examples stand in a batch, and random numbers for each."""

import numpy as np
import pytest
import tensorflow as tf

from trainers.data.order import batch_indices, permuted, steps_per_epoch, uniform


def epoch_of(size: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """The examples of one epoch in order, without padding."""
    per_epoch, seen = steps_per_epoch(size, batch_size), []
    for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
        step = tf.constant(step, tf.int64)
        indices, weights, found = batch_indices(step, size=size, batch_size=batch_size, seed=seed, shuffle=True)
        assert (indices.shape, int(found)) == ((batch_size,), epoch)
        seen += indices.numpy()[weights.numpy() > 0].tolist()
    return np.asarray(seen)


@pytest.mark.parametrize(("size", "batch_size"), [(1, 4), (7, 3), (64, 64), (100, 32), (1437, 64)])
def test_each_epoch_has_every_example_once(size, batch_size):
    for epoch in (0, 1, 5):
        assert sorted(epoch_of(size, batch_size, 0, epoch)) == list(range(size))


def test_epochs_and_seeds_differ_and_the_same_seed_does_not():
    first = epoch_of(100, 32, seed=3, epoch=0)
    assert np.array_equal(first, epoch_of(100, 32, seed=3, epoch=0))
    assert not np.array_equal(first, epoch_of(100, 32, seed=3, epoch=1))
    assert not np.array_equal(first, epoch_of(100, 32, seed=4, epoch=0))
    assert np.array_equal(first, epoch_of(100, 10, seed=3, epoch=0)), "the batch size does not enter the order"


def test_padding_repeats_examples_of_the_batch_with_weight_0():
    indices, weights, _ = batch_indices(tf.constant(3, tf.int64), size=100, batch_size=32, seed=0, shuffle=True)
    assert weights.numpy().tolist() == [1.0] * 4 + [0.0] * 28
    assert indices.numpy().tolist() == indices.numpy()[:4].tolist() * 8


def chi_square(counts: np.ndarray) -> float:
    return float(((counts - counts.mean()) ** 2 / counts.mean()).sum())


@pytest.mark.parametrize("size", [5, 20])
def test_permutations_of_small_sets_are_fair(size):
    """Over 2,000 epochs each example stands at each place equally often; 4 rounds of the cipher gave 27,000 for size 20."""
    orders = np.array([permuted(tf.range(size, dtype=tf.int64), size, 0, epoch).numpy() for epoch in range(2000)])
    found = np.mean([chi_square(np.bincount(orders[:, place], minlength=size)) for place in range(size)])
    assert found < 2 * (size - 1), "expected: size - 1"


def test_random_numbers_are_uniform_and_independent():
    """One for each example: no relation between neighbours, streams, epochs or seeds."""
    indices = tf.range(20_000, dtype=tf.int64)
    streams = np.array([
        uniform(indices, seed=seed, epochs=epoch, stream=stream) for seed in (0, 1) for epoch in (0, 1) for stream in (0, 1, 2)
    ])  # fmt: skip
    assert streams.min() >= 0
    assert streams.max() < 1
    for stream in streams:
        assert chi_square(np.histogram(stream, bins=20, range=(0, 1))[0]) < 50
        assert abs(np.corrcoef(stream[1:], stream[:-1])[0, 1]) < 0.03
    between = np.corrcoef(streams) - np.eye(len(streams))
    assert np.abs(between).max() < 0.03


def test_a_number_belongs_to_the_example_not_to_its_place():
    some = uniform(tf.constant([5, 9], tf.int64), seed=0, epochs=2, stream=1)
    all_of_them = uniform(tf.range(10, dtype=tf.int64), seed=0, epochs=2, stream=1)
    assert some.numpy().tolist() == tf.gather(all_of_them, [5, 9]).numpy().tolist()

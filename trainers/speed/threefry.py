"""Random bits by additions, rotations and exclusive ors alone, of which XLA makes one fast loop for a CPU.

Threefry-2x32 of 20 rounds: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3.
"""

import tensorflow as tf
from tensorflow import bitwise

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_ROUNDS = 20
_PARITY = 0x1BD11BDA

Pair = tuple[tf.Tensor, tf.Tensor]


def threefry(key: Pair, counter: Pair) -> Pair:
    """Two words of random bits for each pair of counters; all of them uint32."""
    keys = (*key, bitwise.bitwise_xor(bitwise.bitwise_xor(*key), _PARITY))
    a, b = counter[0] + keys[0], counter[1] + keys[1]
    for i in range(_ROUNDS):
        a += b
        b = bitwise.bitwise_xor(_rotated(b, _ROTATIONS[i % 8]), a)
        if i % 4 == 3:
            n = i // 4 + 1
            a, b = a + keys[n % 3], b + keys[(n + 1) % 3] + n
    return a, b


def random_16_bits(seed: tf.Tensor, count: int) -> tf.Tensor:
    """[count] numbers from 0 to 65,535, a function of 32 bits of each number of the seed [2]."""
    key = tuple(tf.unstack(tf.cast(seed, tf.uint32)))
    counter = tf.cast(tf.range(-(-count // 4)), tf.uint32)
    words = tf.concat(threefry(key, (counter, tf.zeros_like(counter))), axis=0)
    halves = tf.concat([bitwise.bitwise_and(words, 0xFFFF), bitwise.right_shift(words, 16)], axis=0)
    return tf.cast(halves[:count], tf.int32)


def _rotated(word: tf.Tensor, by: int) -> tf.Tensor:
    return bitwise.bitwise_or(bitwise.left_shift(word, by), bitwise.right_shift(word, 32 - by))

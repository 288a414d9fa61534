"""From an objective's losses to sums. B rows."""

from collections.abc import Sequence

import keras
import tensorflow as tf

Sums = dict[str, tf.Tensor]


def loss_sums(objective, batch: dict, outputs, penalty=0.0) -> Sums:
    """ "loss" and "weight" of a batch: the weighted sum of its losses, and that of the weights; of each term, "loss/TERM" and
    "weight/TERM". `penalty` (L1, L2) is a part of the mean, so one of each global batch remains after the division.

    Raises:
      ValueError: losses whose shapes are not those of w; they would be broadcast.
    """
    losses, weights = objective.losses(batch, outputs), batch["w"]
    if isinstance(weights, dict) != isinstance(losses, dict) or (isinstance(weights, dict) and set(weights) != set(losses)):
        raise ValueError(f"losses must have the terms of w, {_terms(weights)}. Received: {_terms(losses)}")
    if not isinstance(weights, dict):
        return _sums("", losses, weights, penalty)
    found: Sums = {}
    for i, term in enumerate(weights):
        found |= _sums(f"/{term}", losses[term], weights[term], 0.0 if i else penalty)
    return found


def _sums(term: str, losses, weights, penalty) -> Sums:
    losses, weights = (tf.cast(tf.convert_to_tensor(t), tf.float32) for t in (losses, weights))
    if losses.shape != weights.shape:
        raise ValueError(f"losses must have the shape of w, {tuple(weights.shape)}. Received: {tuple(losses.shape)}")
    weight = tf.reduce_sum(weights)
    return {f"loss{term}": tf.reduce_sum(losses * weights) + penalty * weight, f"weight{term}": weight}


def _terms(value) -> str:
    return ", ".join(map(str, value)) if isinstance(value, dict) else "no terms"


def weight_sums(batch: dict) -> Sums:
    """Of each term of w where it has some; else nothing."""
    if not isinstance(batch["w"], dict):
        return {}
    return {f"weight/{term}": tf.reduce_sum(tf.cast(w, tf.float32)) for term, w in batch["w"].items()}


def total(sums: Sums, denominators: Sums) -> tf.Tensor:
    """What a gradient is taken of: the summed loss; of terms, which have their global denominators, their means."""
    if "loss" in sums:
        return sums["loss"]
    return tf.add_n([tf.math.divide_no_nan(sums[f"loss{name[6:]}"], weight) for name, weight in denominators.items()])


def mean_weight(sums: Sums) -> tf.Tensor:
    """What the gradient of `total` is divided by."""
    return sums["weight"] if "weight" in sums else tf.constant(1.0)


def all_finite(sums: Sums) -> tf.Tensor:
    return tf.reduce_all([tf.math.is_finite(value) for name, value in sums.items() if name.split("/")[0] == "loss"])


def penalties(scope: keras.StatelessScope, variables: Sequence[keras.Variable]):
    """The regularizers of these variables, and what layers handed to `add_loss` in the scope."""
    found = [v.regularizer(scope.get_current_value(v)) for v in variables if v.regularizer is not None]
    found = [tf.cast(loss, tf.float32) for loss in (*found, *scope.losses)]
    return tf.add_n([tf.reduce_sum(loss) for loss in found]) if found else 0.0

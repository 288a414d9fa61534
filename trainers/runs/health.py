"""Is training healthy? Gradient norms, update-to-weight ratios, dead units; and a line of advice where they are not."""

import logging

import keras
import numpy as np
import tensorflow as tf

from trainers.engine.learner import Learner

log = logging.getLogger("trainers")

_VANISHING = 1e-4  # a layer's gradient norm as a share of the largest layer's
_EXPLODING = 100.0  # norm of the whole gradient of the mean loss
_RATIO = 1e-1  # of an update's norm to the variable's; 1e-3 is usual (Karpathy, cs231n, "Ratio of weights:updates")
_DEAD = 0.5  # share of a layer's ReLU units
_GAP = 1.5  # validation loss over training loss


def health():
    """Hook: adds to the training metrics, for the batch of the next step, "gradient_norm", "gradient_norm/LAYER",
    "update_ratio/LAYER" and, in functional models, "dead_units/LAYER", the share of ReLU units that are 0 for all its examples.
    """
    inspect, said, train_loss = None, set(), None

    def advise(kind: str, text: str) -> None:
        if kind not in said:
            said.add(kind)
            log.warning("health: %s", text)

    def hook(event: str, learner: Learner) -> None:
        nonlocal inspect, train_loss
        if event != "metrics":
            return
        if learner.split == "train":
            inspect = inspect or _inspection(learner)
            found = inspect()
            learner.metrics.update(found)
            _advise_on_layers(found, advise)
            train_loss = learner.metrics.get("loss")  # of several objectives there is no one loss
        elif train_loss is not None and learner.progress.evaluations_without_best >= 3:
            loss = learner.metrics["loss"]
            if loss > _GAP * train_loss:
                advise("gap", f"overfitting: validation loss {loss:.3g}, training loss {train_loss:.3g}, and no better one in "
                       f"{learner.progress.evaluations_without_best} evaluations. Try dropout, weight decay, augmentation or "
                       "patience")  # fmt: skip

    return hook


def _inspection(learner: Learner):
    """inspect() -> what is added to the metrics."""
    names = [variable.path.rpartition("/")[0] or variable.path for variable in learner.state.variables["trainable"]]
    probe, units = _probe(learner.model)

    def inspect() -> dict[str, float]:
        norms, x = learner.inspect()
        squares = {kind: dict.fromkeys(names, 0.0) for kind in norms}
        for kind, values in norms.items():
            for name, value in zip(names, values, strict=True):
                squares[kind][name] += float(value) ** 2
        found = {"gradient_norm": sum(squares["gradient"].values()) ** 0.5}
        found |= {f"gradient_norm/{name}": value**0.5 for name, value in squares["gradient"].items()}
        for name, value in squares["update"].items():
            found[f"update_ratio/{name}"] = (value / squares["weight"][name]) ** 0.5 if squares["weight"][name] else np.nan
        if probe is not None:
            activations = tf.nest.flatten(probe(x, training=False))
            for name, value in zip(units, activations, strict=True):
                alive = np.any(np.reshape(value, (-1, value.shape[-1])) != 0, axis=0)
                found[f"dead_units/{name}"] = float(1 - alive.mean())
        return found

    return inspect


def _probe(model: keras.Model) -> tuple[keras.Model | None, list[str]]:
    """A model that gives the outputs of all layers that end in ReLU, and their names."""
    if not getattr(model, "outputs", None):
        return None, []
    activations = {layer: getattr(getattr(layer, "activation", None), "__name__", "") for layer in model.layers}
    found = [layer for layer, name in activations.items() if name == "relu" or isinstance(layer, keras.layers.ReLU)]
    probe = keras.Model(model.inputs, [layer.output for layer in found]) if found else None
    return probe, [layer.name for layer in found]


def _advise_on_layers(found: dict[str, float], advise) -> None:
    layers = {name.partition("/")[2]: value for name, value in found.items() if name.startswith("gradient_norm/")}
    largest, total = max(layers.values(), default=0.0), found["gradient_norm"]
    if total > _EXPLODING:
        advise("exploding", f"exploding gradients: their norm is {total:.3g}. Try optimizer.global_clipnorm=1.0 or a lower "
               "learning rate")  # fmt: skip
    for name, value in layers.items():
        if value < _VANISHING * largest:
            advise(f"vanishing {name}", f"vanishing gradients: {name} has {value:.3g}, the largest layer {largest:.3g}. Try "
                   "normalisation, residual connections or another initialisation")  # fmt: skip
    for key, value in found.items():
        kind, _, name = key.partition("/")
        if kind == "update_ratio" and value > _RATIO:
            advise(key, f"one update changes {name} by {value:.0%} of its size. Try a lower learning rate or a warm-up")
        if kind == "dead_units" and value > _DEAD:
            advise(key, f"dead ReLUs: {value:.0%} of {name}'s units are 0 for a whole batch. Try a lower learning rate, "
                   "normalisation or another activation")  # fmt: skip

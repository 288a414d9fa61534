"""What several tasks ask of a model. C outputs."""

from collections.abc import Sequence

import keras

from trainers.speed.keras_inside import made_by


def check_single_output(model: keras.Model, accepted: Sequence[int], *, logits: bool = False) -> None:
    """ValueError if a model does not give one tensor of so many numbers for an example.

    A subclass of keras.Model does not say what it gives; it passes.

    Args:
      accepted: numbers C.
      logits: whether softmax or sigmoid at its end is an error.
    """
    if not getattr(model, "outputs", None):
        return
    activation = last_activation(model)
    if logits and activation in ("softmax", "sigmoid"):
        raise ValueError(
            f"the model ends in {activation}, where the task expects logits. Build it without (keras.applications: "
            "classifier_activation=None), or give the task from_logits=False"
        )
    if len(model.outputs) > 1 or model.outputs[0].shape[-1] not in accepted:
        shapes = ", ".join(str(output.shape) for output in model.outputs)
        raise ValueError(f"the task needs one output of {accepted[0]} numbers. Received: a model that gives {shapes}")


def last_activation(model: keras.Model) -> str | None:
    """The name of the activation that a functional model of one output ends in."""
    layer = made_by(model.outputs[0])
    if isinstance(layer, keras.Model):
        return last_activation(layer)
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)

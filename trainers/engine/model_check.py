"""Does a model fit the data and the task?"""

import keras

from trainers.speed.keras_inside import made_by


def check_model(model: keras.Model, input_shape, task) -> None:
    """ValueError if the model does not take x of this shape, or gives other than what the task needs.

    A subclass of keras.Model does not say what it takes and gives; it passes.

    Args:
      input_shape: of one example; a dict of shapes where x is one.
      task: with num_outputs, other_outputs and, where probabilities are an option, from_logits.
    """
    if not getattr(model, "outputs", None):
        return
    activation = _last_activation(model)
    if activation in ("softmax", "sigmoid") and getattr(task, "from_logits", False):
        raise ValueError(
            f"the model ends in {activation}, where the task expects logits. Build it without (keras.applications: "
            "classifier_activation=None), or give the task from_logits=False"
        )
    takes = [tensor.shape[1:] for tensor in model.inputs]
    if len(takes) == 1 and not _fits(takes[0], input_shape):
        raise ValueError(f"the model takes x of shape {takes[0]}. Received: data with x of shape {input_shape}")
    if len(model.outputs) > 1 or model.outputs[0].shape[-1] not in (task.num_outputs, *task.other_outputs):
        shapes = ", ".join(str(output.shape) for output in model.outputs)
        raise ValueError(f"the task needs one output of {task.num_outputs} numbers. Received: a model that gives {shapes}")


def _fits(wanted: tuple, found) -> bool:
    """Whether x of shape `found` may go where `wanted` has None for any size."""
    same_rank = isinstance(found, tuple) and len(wanted) == len(found)
    return same_rank and all(w in (None, f) for w, f in zip(wanted, found, strict=True))


def _last_activation(model: keras.Model) -> str | None:
    layer = made_by(model.outputs[0])
    if isinstance(layer, keras.Model):
        return _last_activation(layer)
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)

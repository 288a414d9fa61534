"""Does a model fit the data and the task?"""

import keras


def check_model(model: keras.Model, spec, task) -> None:
    """ValueError if the model does not take x as the data gives it, or gives other than what the task needs.

    A subclass of keras.Model does not say what it takes; it passes.

    Args:
      spec: of the data, with `input_shape` of one example; a nest of shapes where x is one.
    """
    task.check(model, spec)
    if getattr(model, "inputs", None):
        given = model.inputs if isinstance(model, keras.Sequential) else model.input
        takes = keras.tree.map_structure(lambda tensor: tuple(tensor.shape[1:]), given)
        takes = takes[0] if isinstance(takes, list) and len(takes) == 1 else takes
        if not _fits(takes, spec.input_shape):
            raise ValueError(f"the model takes x of shape {takes}. Received: data with x of shape {spec.input_shape}")


def _fits(wanted, found) -> bool:
    """Whether x of shape `found` may go where `wanted` has None for any size. Both are shapes or nests of shapes."""
    if isinstance(wanted, list | dict) or (isinstance(wanted, tuple) and any(isinstance(w, tuple) for w in wanted)):
        if isinstance(wanted, dict):
            return isinstance(found, dict) and set(wanted) <= set(found) and all(_fits(w, found[k]) for k, w in wanted.items())
        if isinstance(found, dict):  # Keras matches these by the names of the inputs
            return len(found) == len(wanted)
        return len(wanted) == len(found) and all(map(_fits, wanted, found))
    same_rank = isinstance(found, tuple | list) and len(wanted) == len(found)
    return same_rank and all(w in (None, f) for w, f in zip(wanted, found, strict=True))

"""The private names of Keras that trainers needs, each behind one name. tests/test_keras_inside.py fails when one changes;
setup.cfg bounds Keras to the versions that were tested.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras.src.backend import AutocastScope, get_autocast_scope

# The method with which a recurrent layer computes all its steps: (sequences [B, T, D], initial_state, mask [B, T] or None,
# training=False) -> (last output, outputs, states).
TIME_LOOP = "inner_loop"


def all_layers(model: keras.Model) -> list[keras.Layer]:
    """The model, its layers, and the layers within these; `model.layers` has the outermost alone."""
    return model._flatten_layers()


def own_trainable(layer: keras.Layer) -> list[keras.Variable]:
    """Variables that a layer itself holds (not those of layers within it) and that are trained unless it is frozen;
    `layer.trainable_variables` of a frozen layer is empty.
    """
    return layer._trainable_variables


def averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The moving averages of an optimizer built with use_ema=True, in the order of its variables."""
    return optimizer._model_variables_moving_average


def made_by(tensor: keras.KerasTensor) -> keras.Operation:
    """The layer or operation that a symbolic tensor of a functional model comes from."""
    return tensor._keras_history.operation


def mask_of(outputs) -> Any:
    """The mask [B, T] that layers passed on with their outputs; None if there is none."""
    return getattr(outputs, "_keras_mask", None)


def given_to_compile(model: keras.Model) -> dict:
    """The arguments of a compiled model's `compile`, as they were given; `get_compile_config` has them serialised."""
    return model._compile_config.config


def is_seed(variable: keras.Variable) -> bool:
    """Whether a variable is the state of a keras.random.SeedGenerator."""
    return variable.path.endswith("seed_generator_state")


def autocast_dtype() -> str | None:
    """What float variables are read as while a layer of mixed precision computes; None outside of one."""
    scope = get_autocast_scope()
    return scope and scope.dtype


@contextlib.contextmanager
def autocast(dtype: str | None) -> Iterator[None]:
    """Read float variables as `dtype` while it is open; None for as they are."""
    with AutocastScope(dtype):
        yield

"""Train any Keras model on CPU, GPU, TPU and many hosts with one compiled loop.

    from trainers import Trainer

    history = Trainer(model, task="classify", optimizer="adam").fit((x, y), validation_data=(x_val, y_val), epochs=5)

Importing this package loads neither TensorFlow nor Keras.
"""

import importlib

_WHERE = {
    "Config": "trainers.config",
    "load_config": "trainers.config",
    "Trainer": "trainers.trainer",
    "make_strategy": "trainers.engine.strategy",
    "run": "trainers.runs.run",
}
__all__ = ["Config", "Trainer", "load_config", "make_strategy", "run"]


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module 'trainers' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)

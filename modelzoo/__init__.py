"""Keras 3 model builders by name: dense, convolutional, recurrent and Transformer nets, pure `keras.ops`.

    import modelzoo

    modelzoo.list_models("mlp*")
    model = modelzoo.create_model("mlp", input_shape=(28, 28, 1), num_classes=10)

Keras is loaded at the first use, not by the import.
"""

import importlib
import importlib.util
import os

__version__ = "0.1.0"
__all__ = ["ModelInfo", "create_model", "list_models", "model_info", "register_model"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'modelzoo' has no attribute {name!r}")
    check_backend()
    return getattr(importlib.import_module("modelzoo.registry"), name)


def check_backend() -> None:
    """ModuleNotFoundError, which says what to install, if Keras is to compute with TensorFlow and it is not there."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow" and not importlib.util.find_spec("tensorflow"):
        raise ModuleNotFoundError(
            "TensorFlow is not installed. Install one of: pip install 'keras-modelzoo[cpu]', '[gpu]' or '[tpu]' "
            "(in a clone: pip install -e '.[cpu]'); or set KERAS_BACKEND to jax or torch to use the builders alone",
            name="tensorflow",
        )

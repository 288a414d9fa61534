"""Keras 3 model builders by name: dense, convolutional, recurrent and Transformer nets, pure `keras.ops`.

    import modelzoo

    modelzoo.list_models("mlp*")
    model = modelzoo.create_model("mlp", input_shape=(28, 28, 1), num_classes=10)
    model = modelzoo.mlp((28, 28, 1), num_classes=10)  # the builder itself: every registered name is an attribute too

Keras is loaded at the first use, not by the import.
"""

import difflib
import importlib
import importlib.util
import os
import sys

__version__ = "0.2.0"
__all__ = ["ModelInfo", "create_model", "list_models", "model_info", "register_model"]


def __getattr__(name: str):
    if name in __all__:
        check_backend()
        return getattr(importlib.import_module("modelzoo.registry"), name)
    if not name.startswith("_"):
        names = _builders()
        if name in names:
            check_backend()
            return importlib.import_module("modelzoo.registry").find_entry(name).builder
        nearest = ", ".join(difflib.get_close_matches(name, [*names, *__all__], n=4))
        advice = f". Nearest: {nearest}" if nearest else ". See modelzoo.list_models()"
        raise AttributeError(f"module 'modelzoo' has no attribute {name!r}{advice}")
    raise AttributeError(f"module 'modelzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_builders()})


def _builders() -> list[str]:
    """Names of the registered builders; without Keras, unless a file computes a name."""
    entered = getattr(sys.modules.get("modelzoo.registry"), "_entries", {})  # a user's own too
    try:
        return sorted({*importlib.import_module("modelzoo.listing").listed(), *entered})
    except ValueError:
        check_backend()
        return importlib.import_module("modelzoo.registry").list_models()


def check_backend() -> None:
    """ModuleNotFoundError, which says what to install, if Keras is to compute with TensorFlow and it is not there."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow" and not importlib.util.find_spec("tensorflow"):
        raise ModuleNotFoundError(
            "TensorFlow is not installed. Install one of: pip install 'keras-modelzoo[cpu]', '[gpu]' or '[tpu]' "
            "(in a clone: pip install -e '.[cpu]'); or set KERAS_BACKEND to jax or torch to use the builders alone",
            name="tensorflow",
        )

"""For programs: `import tensorflow` without the lines that it writes to stderr before any setting can stop it, and sooner."""

import contextlib
import gc
import importlib.util
import os
from collections.abc import Iterator

from modelzoo import check_backend
from modelzoo.stderr import stderr_held


def import_tensorflow() -> None:
    """Import TensorFlow; what it writes meanwhile is shown only if that fails.

    Where libtpu is installed nothing is held back, since a wrong libtpu aborts the process and says why.
    """
    check_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    held = contextlib.nullcontext() if importlib.util.find_spec("libtpu") else stderr_held()
    with held, _no_garbage_collection():
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Modules stay until the process ends, and going through their 700,000 objects again and again takes half a second: it is
    not done while they are made, nor later.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()

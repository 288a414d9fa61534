"""For programs: `import tensorflow` without the lines that it writes to stderr before any setting can stop it."""

import importlib.util
import os
import tempfile


def import_tensorflow() -> None:
    """Import TensorFlow; what it writes meanwhile is shown only if that fails.

    Where libtpu is installed nothing is held back, since a wrong libtpu aborts the process and says why.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if importlib.util.find_spec("libtpu"):
        import tensorflow

        return
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)

"""Files at gs:// and other addresses that TensorFlow reads (tf.io.gfile): whatever else reads files gets a local copy."""

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf


def is_remote(path: str | Path) -> bool:
    return "://" in str(path)


def join(folder: str | Path, name: str) -> str:
    return f"{str(folder).rstrip('/')}/{name}"


def local(path: str | Path) -> Path:
    """`path` itself, or of an address a copy of the file or folder that lasts as long as this process.

    Raises:
      FileNotFoundError: nothing is at the address.
      OSError: it cannot be reached.
    """
    if not is_remote(path):
        return Path(path).expanduser()
    folder = Path(tempfile.mkdtemp(prefix="modelzoo_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return fetch(str(path), folder)


def fetch(address: str, folder: Path) -> Path:
    """Copy a file, or a folder and all that is in it, into a local folder; where the copy is.

    Raises:
      FileNotFoundError: nothing is at the address.
      OSError: it cannot be reached.
    """
    copy = folder / address.rstrip("/").rpartition("/")[2]
    with told(f"cannot read {address}"):
        if not tf.io.gfile.exists(address):
            raise FileNotFoundError(f"no such file or folder: {address}")
        if not tf.io.gfile.isdir(address):
            tf.io.gfile.copy(address, copy)
            return copy
        copy.mkdir()
        for name in tf.io.gfile.listdir(address):
            fetch(join(address, name.rstrip("/")), copy)
    return copy


def send(file: Path, address: str) -> None:
    """Copy a local file to an address, over what is there."""
    tf.io.gfile.makedirs(address.rpartition("/")[0])
    tf.io.gfile.copy(str(file), address, overwrite=True)


def remove(address: str) -> None:
    tf.io.gfile.remove(address)


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """TensorFlow's errors about files as OSError."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(f"{what}: {error.message}") from error

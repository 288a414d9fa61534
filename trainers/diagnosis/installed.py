"""Distributions that matter here, their versions, and what is known of them together."""

import importlib.util
import json
import platform
import re
from importlib import metadata
from pathlib import Path

TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")  # one module in three distributions
NAMES = (*TENSORFLOWS, "keras", "libtpu", "tensorflow-datasets", "protobuf", "numpy", "jax", "keras-modelzoo", "modelzoo")
TABLE = Path(__file__).parent.parent / "versions.json"


def installed() -> dict[str, str]:
    """Version of Python and of each of NAMES that is there."""
    found = {"python": platform.python_version()}
    for name in NAMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def modelzoo_elsewhere() -> str | None:
    """Where `import modelzoo` leads, if not to the package beside this one."""
    spec, ours = importlib.util.find_spec("modelzoo"), Path(__file__).parents[2] / "modelzoo"
    origin = Path(spec.origin) if spec and spec.origin else None
    return None if origin is None or origin.parent.resolve() == ours.resolve() else str(origin)


def is_there(module: str) -> bool:
    """Whether a module could be imported; nothing is."""
    return importlib.util.find_spec(module) is not None


def known(versions: dict[str, str]) -> list[dict]:
    """The rows of versions.json that these versions are; the tested ones first."""
    rows = json.loads(TABLE.read_text())
    return [row for row in rows if all(satisfies(versions.get(name), wanted) for name, wanted in row["with"].items())]


def satisfies(version: str | None, wanted: str) -> bool:
    """Whether a version is `wanted`: "2.20.0", "3.11.*" or ">=0.0.43"."""
    if version is None:
        return False
    if wanted.startswith(">="):
        return _numbers(version) >= _numbers(wanted)
    return version.startswith(wanted[:-1]) if wanted.endswith("*") else version == wanted


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]

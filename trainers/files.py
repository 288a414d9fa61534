"""Files that are whole or not there, whatever happens while they are written."""

import json
import os
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes) -> None:
    """Write beside it, make sure that it is on the disk, then rename."""
    unfinished = path.with_name(f"unfinished_{path.name}")
    unfinished.write_bytes(content)
    put_in_place(unfinished, path)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Give a file that is complete its name; both survive a loss of power."""
    sync(unfinished)
    unfinished.replace(path)
    sync(path.parent)


def write_json(path: Path, values: Any) -> None:
    """As `write_whole`, readable by people."""
    write_whole(path, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> dict:
    """What stands in a file of JSON.

    Raises:
      ValueError: it is no JSON object.
    """
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, it is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged, it is no JSON object")
    return values


def sync(path: Path) -> None:
    """Make sure that what was written to a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

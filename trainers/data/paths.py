"""Where a file of data is."""

from pathlib import Path

from trainers.remote import is_remote, join, local


def find_path(path: str, data_dir: str | None) -> Path:
    """`path` as it stands, or under the data directory; a local copy of what is at an address.

    Raises:
      FileNotFoundError: at neither place.
    """
    if is_remote(path):
        return local(path)
    places = [Path(path).expanduser()]
    if data_dir and not is_remote(data_dir) and not places[0].is_absolute():
        places.append(Path(data_dir).expanduser() / path)
    for place in places:
        if place.exists():
            return place
    if data_dir and is_remote(data_dir):
        return local(join(data_dir, path))
    raise FileNotFoundError(f"no such file or folder: {' or '.join(map(str, places))}")

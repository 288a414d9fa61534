"""Where a file of data is."""

from pathlib import Path


def find_path(path: str, data_dir: str | None) -> Path:
    """`path` as it stands, or under the data directory.

    Raises:
      FileNotFoundError: at neither place.
    """
    places = [Path(path).expanduser()]
    if data_dir and not places[0].is_absolute():
        places.append(Path(data_dir).expanduser() / path)
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"no such file or folder: {' or '.join(map(str, places))}")

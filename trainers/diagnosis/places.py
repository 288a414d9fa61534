"""Files that tell something: the TPU's lock, and the data sets that are prepared."""

import os
from pathlib import Path

LOCK = Path("/tmp/libtpu_lockfile")  # libtpu's own; one process at a time may use a TPU


def lock_holders(lock: Path = LOCK, processes: Path = Path("/proc")) -> list[tuple[int, str]]:
    """(process, command) of those that have the file open; other users' processes are seen by root alone."""
    holders = []
    for folder in sorted(processes.glob("[0-9]*"), key=lambda folder: int(folder.name)):
        try:
            if any(_leads_to(link, lock) for link in (folder / "fd").iterdir()):
                command = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
                holders.append((int(folder.name), command))
        except OSError:  # ended meanwhile, or not ours to read
            continue
    return holders


def _leads_to(link: Path, lock: Path) -> bool:
    try:
        return os.path.samefile(link, lock)
    except OSError:
        return False


def prepared_data(data_dir: str | None) -> tuple[Path, list[str]]:
    """The folder where tensorflow-datasets looks, and NAME/VERSION or NAME/CONFIG/VERSION of each set in it."""
    folder = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    files = [file for depth in ("*/*", "*/*/*") for file in folder.glob(f"{depth}/dataset_info.json")]
    return folder, sorted(str(file.parent.relative_to(folder)) for file in files if "incomplete" not in str(file))

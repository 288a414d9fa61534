"""A run at an address (gs://...): it stands in a local folder, and the address gets what is new after each checkpoint.

A bucket can neither rename a folder nor lock one, and a run needs both. What is sent goes in an order that leaves a whole run
at the address at any moment: of a checkpoint the manifest comes last, without which it counts as damaged. Nothing keeps two
machines from one address.
"""

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainers.engine.learner import Hook
from trainers.remote import fetch, join, remove, send, told
from trainers.runs.checkpoint import MANIFEST
from trainers.runs.workdir import CHECKPOINTS, CONFIG, SUMMARY

log = logging.getLogger("trainers")


@contextlib.contextmanager
def kept_at(address: str) -> Iterator[tuple[Path, Hook]]:
    """(a local folder with the run that is at the address, a hook that sends what is new once there is a checkpoint).

    At the end, be it by an error, the address has all that the folder has. If that fails the folder stays.

    Raises:
      OSError: the address cannot be read or written.
    """
    folder = Path(tempfile.mkdtemp(prefix="modelzoo_"))
    with contextlib.suppress(FileNotFoundError):
        fetch(address, folder)
    workdir = folder / address.rstrip("/").rpartition("/")[2]
    log.info("%s is worked on in %s", address, workdir)
    sent = _files(workdir)

    def send_what_is_new() -> None:
        nonlocal sent
        now = _files(workdir)
        with told(f"cannot write to {address}, but all of it is in {workdir}"):
            for name in sorted(now, key=_rank):
                if now[name] != sent.get(name):
                    send(workdir / name, join(address, name))
            for name in sorted(sent.keys() - now.keys(), key=_rank, reverse=True):  # of a checkpoint the manifest first
                remove(join(address, name))
        sent = now

    def hook(event: str, learner) -> None:
        made = _files(workdir, f"{CHECKPOINTS}/*/{MANIFEST}") if event == "loop" else {}
        if any(sent.get(name) != stamp for name, stamp in made.items()):
            send_what_is_new()

    try:
        yield workdir, hook
    finally:
        send_what_is_new()
        shutil.rmtree(folder)
        if sent:
            log.info("all of it is at %s, and no longer in %s", address, workdir)


def _rank(name: str) -> tuple:
    """In the order in which a run writes: what was learnt of the data, the config that says there is a run, a checkpoint, its
    manifest, the sign of a finished run.
    """
    return name == SUMMARY, name.endswith(f"/{MANIFEST}"), name.startswith(f"{CHECKPOINTS}/"), name == CONFIG, name


def _files(workdir: Path, pattern: str = "**/*") -> dict[str, tuple[int, int]]:
    """Name in the folder -> (bytes, time of the last change), of what is complete."""
    found = {}
    for path in workdir.glob(pattern):
        name = path.relative_to(workdir)
        if path.is_file() and not any(p.startswith(("unfinished", ".")) or p.endswith(".old") for p in name.parts):
            stat = path.stat()
            found[name.as_posix()] = (stat.st_size, stat.st_mtime_ns)
    return found

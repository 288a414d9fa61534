"""Try a config on many hosts before renting them: so many processes on this machine, as one cluster.

    python -m trainers.launch --workers=2 -- --config=digits_mlp --workdir=runs/two_workers

What follows -- is for trainers.train. The first worker is the chief, whose output is shown; the others' goes to
WORKDIR.worker1.log and so on, or is dropped where no --workdir is given. If a worker dies, the others are ended, and the same
command goes on from the last checkpoint. SIGTERM and Ctrl-C are handed on to all.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

_GRACE_SECONDS = 30.0  # that the others have to end by themselves after one has died


def main(argv: list[str] | None = None) -> int:
    """Exit code: the first that is not 0 of a worker's."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.launch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("flags", nargs="*", help="after --: the flags of trainers.train")
    given = parser.parse_args(argv)
    if given.workers < 1:
        parser.error(f"--workers must be positive. Received: {given.workers}")
    cluster = ",".join(f"localhost:{port}" for port in _free_ports(given.workers))
    workers = [_start(given.flags, cluster, task) for task in range(given.workers)]

    def hand_on(number: int, frame) -> None:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    return _wait(workers)


def _start(flags: list[str], cluster: str, task: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "trainers.train", *flags, f"--cluster={cluster}", f"--task={task}"]
    output = None if task == 0 else _log_file(flags, task)
    # A session of its own: Ctrl-C in a terminal reaches a worker once, from us.
    return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)


def _log_file(flags: list[str], task: int):
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--workdir", "-workdir", nargs="?")  # trainers.train tells that it lacks a value
    workdir = parser.parse_known_args(flags)[0].workdir
    if not workdir:
        return subprocess.DEVNULL
    name = workdir.rstrip("/")
    path = Path(f"{name.rpartition('/')[2] if '://' in name else name}.worker{task}.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _wait(workers: list[subprocess.Popen]) -> int:
    """Until all have ended; some time after one has failed the others are killed."""
    failed_at, code = None, 0
    while any(worker.poll() is None for worker in workers):
        failed = [worker for worker in workers if worker.poll() not in (None, 0)]
        if failed and failed_at is None:
            failed_at, code = time.monotonic(), failed[0].returncode
            print(f"worker {workers.index(failed[0])} ended with {code}; waiting for the others to end", file=sys.stderr)
        if failed_at is not None and time.monotonic() - failed_at > _GRACE_SECONDS:
            for worker in workers:
                worker.kill()
        time.sleep(0.1)
    code = code or next((worker.returncode for worker in workers if worker.returncode), 0)
    return code if code >= 0 else 128 - code  # a process killed by signal N, as a shell has it


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())

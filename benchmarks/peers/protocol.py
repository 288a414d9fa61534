"""The parent's end: a peer in a process of its own, that computes only when it is asked and else waits on a pipe."""

import dataclasses
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peers import Peer
from benchmarks.peers.workloads import Workload

ROOT = Path(__file__).parents[2]
BUILD_LIMIT = 600  # seconds; torch.compile of a large net and the trial of many settings take minutes
# All compute on the CPU, where this measures; what a library logs is read only if it fails.
_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2",
}  # fmt: skip


class PeerError(Exception):
    """One line of why a peer is out."""


class Process:
    """A peer's process; `wait_until_ready` before anything else, `close` at the end."""

    def __init__(self, peer: Peer) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers", peer.module, json.dumps(peer.arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            env={**os.environ, **_ENVIRONMENT, **peer.environment, "PYTHONPATH": path},
        )  # fmt: skip

    def wait_until_ready(self, limit: float = BUILD_LIMIT) -> None:
        """Until its libraries are imported.

        Raises:
          PeerError: a library is missing, or the like.
        """
        self._answer(limit)

    def build(self, key: str, workload: Workload, examples: Path | None, measure: str, limit: float = BUILD_LIMIT) -> dict:
        """{"settings", "parameters", "loss", ...} of a net that is built, tuned and has made its first steps."""
        path = None if examples is None else str(examples)
        request = dict(do="build", key=key, workload=dataclasses.asdict(workload), examples=path, measure=measure)
        return self._ask(limit, request)

    def run(self, key: str, seconds: float) -> dict:
        """{"steps", "seconds", "loss"} of training on for about so many seconds."""
        return self._ask(60 + 20 * seconds, dict(do="run", key=key, seconds=seconds))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            try:
                file.close()
            except BrokenPipeError:  # a request that it never read
                continue

    def _ask(self, limit: float, request: dict) -> dict:
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(self._ending()) from None
        return self._answer(limit)

    def _answer(self, limit: float) -> dict:
        began = time.monotonic()
        if not select.select([self._process.stdout], [], [], limit)[0]:
            self._process.kill()
            raise PeerError(f"no answer in {time.monotonic() - began:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(self._ending())
        found = json.loads(line)
        if "error" in found:
            raise PeerError(found["error"])
        return found

    def _ending(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"ended with exit code {code}" + (f": {lines[-1][:150]}" if lines else "")

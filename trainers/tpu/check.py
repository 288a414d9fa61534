"""One config on one slice of TPUs: does its step compile, does it fit, what is the least time it can take?"""

import dataclasses
import re

from trainers.config import Config
from trainers.data.spec import Spec
from trainers.tpu.chips import Slice
from trainers.tpu.compiling import compile_for, program_job
from trainers.tpu.largest import Largest, largest_batch
from trainers.tpu.lowering import Step, lowered

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the compiler said of a step on one device.

    Attributes:
      error: None where it compiles and fits.
      wanted: bytes of the device's memory; None where the compiler does not say.
      memory: the compiler's bytes by name; empty where it refused.
      seconds: of compiling, also where the answer came from the cache.
    """

    slice: Slice
    step: Step
    error: str | None
    wanted: int | None
    memory: dict[str, int]
    seconds: float
    cached: bool

    @property
    def fits(self) -> bool:
        return self.error is None


def check(config: Config, spec: Spec, where: Slice, batch: int, *, timeout_s: float) -> Finding:
    """Compile the config's step over `batch` examples on one device.

    Raises:
      ValueError: what is wrong with the config or the model.
      TooSlow: the compiler exceeds its time limit.
    """
    step, program = lowered(config, spec, batch)
    found = compile_for(where.kind, program_job(program.hlo, program.aliases, program.key), timeout_s=timeout_s)
    memory = found.get("memory", {})
    if found["ok"]:
        wanted = memory["arguments"] + memory["outputs"] - memory["aliased"] + memory["temporaries"] + memory["code"]
        error = None
    else:
        wanted, error = _wanted(found["error"]), _told(found["error"])
    return Finding(where, step, error, wanted, memory, found["seconds"], found["cached"])


def search(config: Config, spec: Spec, found: Finding, *, timeout_s: float, seconds: float) -> Largest:
    """The largest batch of a device that fits, beginning with what was found of one; within so many seconds."""
    where, held = found.slice, found.step.bytes

    def wanted_at(batch: int, left: float) -> tuple[int | None, bool]:
        again = batch == found.step.batch
        now = found if again else check(config, spec, where, batch, timeout_s=min(timeout_s, left))
        return now.wanted, now.fits

    return largest_batch(
        wanted_at,
        found.step.batch,
        fixed=held["parameters"] + held["optimizer"] + held["gradients"],
        usable=int(where.chip.usable_gib * GIB),
        unit=config.accumulate * (8 if found.step.batch >= 8 else 1),
        seconds=seconds,
    )


_FULL = re.compile(r"\(([\d.]+)([KMGT]?)\) exceeds available HBM|Used ([\d.]+)([KMGT]?) of \S+ hbm", re.IGNORECASE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _wanted(error: str) -> int | None:
    """Bytes, of an error that says there is too little memory."""
    found = _FULL.search(error)
    if not found:
        return None
    number, unit = [part for part in found.groups() if part is not None][:2]
    return int(float(number) * _UNITS[unit.upper()])


def _told(error: str) -> str:
    """One line: the operation and our line where the compiler names them, and what it says."""
    operation = re.search(r'op_name="([^"]+)"', error)
    line = re.search(r'source_file="([^"]+)" source_line=(\d+)', error)
    where = f"operation {operation[1]}: " if operation else ""
    at = f" (at {line[1]}:{line[2]})" if line and "site-packages" not in line[1] else ""
    text = re.sub(r"\s*(HLO module: \S+|See https?://\S+.*)", "", " ".join(error.split()))
    return f"{where}{text[:500]}{at}"

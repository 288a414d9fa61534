"""What is wrong, from what was found: each fault in one line, with the command that mends it."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from trainers.diagnosis.installed import TENSORFLOWS, known
from trainers.diagnosis.probes import Probe


@dataclasses.dataclass(frozen=True)
class Fault:
    """A name to test for, what is wrong, and the command that mends it."""

    name: str
    what: str
    mend: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """All that the faults are found from."""

    versions: dict[str, str]
    probes: dict[str, Probe] = dataclasses.field(default_factory=dict)
    chips: list[str] = dataclasses.field(default_factory=list)
    lock: Path = Path("/tmp/libtpu_lockfile")
    holders: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    modelzoo_elsewhere: str | None = None
    importlib_resources: bool = True
    nvidia: bool = False

    @property
    def tensorflows(self) -> list[str]:
        return [name for name in TENSORFLOWS if name in self.versions]

    def fault_of(self, probe: str) -> str | None:
        return self.probes[probe].fault if probe in self.probes else None


_TPU_WHEELS = "tensorflow-tpu==2.20.0 libtpu==0.0.21.1"
_CPU_AGAIN = "pip uninstall -y tensorflow-tpu libtpu && pip install tensorflow-cpu"


def find_faults(facts: Facts) -> list[Fault]:
    """All of them, those of the installation first."""
    return [*_of_packages(facts), *_of_tensorflow(facts), *_of_tpu(facts)]


def _of_packages(facts: Facts) -> Iterator[Fault]:
    python = tuple(int(number) for number in facts.versions["python"].split(".")[:2])
    if not (3, 11) <= python <= (3, 13):
        yield Fault("python", f"Python {facts.versions['python']} is none of 3.11 to 3.13", "python3.11 -m venv .venv")
    if "modelzoo" in facts.versions:
        mend = "pip uninstall -y modelzoo && pip install --force-reinstall --no-deps -e ."
        yield Fault("other modelzoo", f"modelzoo {facts.versions['modelzoo']} of PyPI is another project's", mend)
    elif facts.modelzoo_elsewhere:
        place = facts.modelzoo_elsewhere.removesuffix("/__init__.py")
        yield Fault("other modelzoo", f"`import modelzoo` finds {place}, not ours", f"mv '{place}' '{place}.other'")
    if "tensorflow-datasets" in facts.versions and not facts.importlib_resources:
        mend = "pip install importlib_resources"
        yield Fault("importlib_resources", "tensorflow-datasets needs it and does not install it", mend)
    if len(facts.tensorflows) > 1:
        # Each has overwritten files of the others, and removing one removes files of the one that stays.
        keep = _TPU_WHEELS if "tensorflow-tpu" in facts.tensorflows else facts.tensorflows[-1]
        mend = f"pip uninstall -y {' '.join(facts.tensorflows)} && pip install {keep}"
        yield Fault("several TensorFlows", f"one module from {len(facts.tensorflows)}: {', '.join(facts.tensorflows)}", mend)
    if not facts.tensorflows:
        yield Fault("no TensorFlow", "none of its distributions is installed", "pip install -e '.[cpu]'")
    for row in known(facts.versions):
        if not row["works"]:
            what = ", ".join(f"{name} {facts.versions[name]}" for name in row["with"])
            yield Fault("versions", f"{what}: {row['found']}", row["mend"])


def _of_tensorflow(facts: Facts) -> Iterator[Fault]:
    explained = any(fault.name in ("several TensorFlows", "no TensorFlow", "versions") for fault in _of_packages(facts))
    broken, no_xla = facts.fault_of("tensorflow"), facts.fault_of("xla")
    asks = "libtpu" in facts.versions and not facts.chips and "TPU_SKIP_MDS_QUERY" not in os.environ
    if broken and asks and not facts.probes["tensorflow"].in_time:
        what = "importing TensorFlow waits for the metadata server of a TPU machine, which this is not"
        yield Fault("metadata server", what, "export TPU_SKIP_MDS_QUERY=1")
    elif broken and not explained:
        name = facts.tensorflows[0]
        mend = f"pip install --force-reinstall '{name}=={facts.versions[name]}'"
        yield Fault("TensorFlow", f"it cannot be imported: {broken}", mend)
    if no_xla and "tensorflow-tpu" in facts.versions:
        if not facts.chips:
            yield Fault("no XLA", "tensorflow-tpu has no XLA for the CPU", "python -m trainers.train --plan=graph ...")
    elif no_xla:
        yield Fault("no XLA", f"XLA does not compile: {no_xla}", "python -m trainers.train --plan=graph ...")
    found = facts.probes["tensorflow"].found if "tensorflow" in facts.probes else None
    if facts.nvidia and found and not found["devices"]["GPU"]:
        names = " ".join(facts.tensorflows)
        mend = f"pip uninstall -y {names} && pip install 'tensorflow[and-cuda]=={found['version']}'"
        yield Fault("GPU unseen", "this machine has an NVIDIA GPU that TensorFlow does not see", mend)


def _of_tpu(facts: Facts) -> Iterator[Fault]:
    if "tensorflow-tpu" not in facts.versions:
        if facts.chips:
            names = " ".join(facts.tensorflows) or "tensorflow"
            mend = f"pip uninstall -y {names} && pip install {_TPU_WHEELS}"
            yield Fault("TPU unused", f"this machine has a TPU ({facts.chips[0]}), and no tensorflow-tpu", mend)
        return
    for process, command in facts.holders:
        yield Fault("TPU in use", f"process {process} has the TPU: {command[:100]}", f"kill {process}")
    name, broken = os.environ.get("TPU_NAME"), facts.fault_of("tpu")
    if not facts.chips and name in (None, "", "local"):
        if "TPU_WORKER_HOSTNAMES" in os.environ or "TPU_ACCELERATOR_TYPE" in os.environ:
            yield Fault(
                "TPU name", "a TPU machine is named in the environment, and TPU_NAME is not set", "export TPU_NAME=NAME"
            )
        else:
            yield Fault("no TPU", "tensorflow-tpu is installed, and this machine has no TPU", _CPU_AGAIN)
    elif broken and not facts.holders:
        stale = facts.lock.exists()
        mend = f"rm -f {facts.lock}" if stale else "gcloud compute tpus tpu-vm describe NAME --zone=ZONE"
        yield Fault("TPU", f"{'left lock, or ' if stale else ''}it does not start: {broken}", mend)

"""What is installed, what works, and how to mend what does not. A minute at most; uses nothing but Python itself.

    python -m trainers.doctor
    python -m trainers.doctor --json > doctor.json

Each device is tried in a process of its own with a time limit, so a library that aborts or hangs is named, too. Exits 1 if
something is wrong, with one line and the command that mends it for each fault.
"""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from trainers import tpu_host
from trainers.diagnosis.faults import Facts, Fault, find_faults
from trainers.diagnosis.installed import installed, is_there, known, modelzoo_elsewhere
from trainers.diagnosis.places import LOCK, lock_holders, prepared_data
from trainers.diagnosis.probes import probe


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"error: {message}. --help shows what there is\n")


def main(argv: list[str] | None = None) -> int:
    """Exit code: 1 if a fault was found."""
    parser = _Parser(
        prog="python -m trainers.doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--seconds", type=float, default=60.0, help="that each try may take (60)")
    parser.add_argument("--data_dir", help="where data sets are looked for, as the other commands have it")
    given = parser.parse_args(argv)
    facts = examine(given.seconds)
    faults = find_faults(facts)
    folder, sets = prepared_data(given.data_dir)
    report = {
        "versions": facts.versions,
        "tested": [row["tried"] for row in known(facts.versions) if row["works"]],
        **{name: dataclasses.asdict(result) for name, result in facts.probes.items()},
        "tpu_chips": facts.chips,
        "tpu_lock": [{"process": process, "command": command} for process, command in facts.holders],
        "data": {"folder": str(folder), "sets": sets},
        "faults": [dataclasses.asdict(fault) for fault in faults],
    }
    print(json.dumps(report, indent=1) if given.json else _told(report, faults))
    return 1 if faults else 0


def examine(seconds: float) -> Facts:
    """Look at this machine; `seconds` for each try."""
    versions, chips = installed(), tpu_host.local_chips()
    probes = {}
    if is_there("tensorflow"):
        probes["tensorflow"] = probe("tensorflow", seconds)
        if probes["tensorflow"].found:
            probes["xla"] = probe("xla", seconds)
            if "libtpu" in versions and (chips or os.environ.get("TPU_NAME")):
                probes["tpu"] = probe("tpu", seconds)
    return Facts(
        versions=versions,
        probes=probes,
        chips=chips,
        holders=lock_holders() if LOCK.exists() else [],
        modelzoo_elsewhere=modelzoo_elsewhere(),
        importlib_resources=is_there("importlib_resources"),
        nvidia=Path("/proc/driver/nvidia/version").exists(),
    )


def _told(report: dict, faults: list[Fault]) -> str:
    versions = "  ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [f"installed  {versions}", f"tested     {'; '.join(report['tested']) or 'not in this combination'}"]
    for name in ("tensorflow", "xla", "tpu"):
        if name in report:
            lines.append(f"{name:<10} {_result(name, report[name])}")
    data = report["data"]
    lines.append(f"TPU chips  {', '.join(report['tpu_chips']) or 'none'}")
    lines.append(f"data sets  {', '.join(data['sets']) or 'none'} in {data['folder']}")
    for fault in faults:
        lines.append(f"FAULT      {fault.name}: {fault.what}. Mend: {fault.mend}")
    return "\n".join([*lines, f"{len(faults)} faults" if faults else "no fault found"])


def _result(name: str, result: dict) -> str:
    if result["fault"]:
        return result["fault"]
    if name == "xla":
        return "compiles"
    devices = result["found"]["devices"]
    if name == "tpu":
        return f"{len(devices)} cores"
    return ", ".join(f"{len(found)} {kind} ({found[0]})" if found else f"no {kind}" for kind, found in devices.items())


if __name__ == "__main__":
    sys.exit(main())

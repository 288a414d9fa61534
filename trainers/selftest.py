"""Check on this device that the loop keeps its promises, in about 3 minutes.

    python -m trainers.selftest --strategy=auto
    python -m trainers.selftest --strategy=cpu:2 --output=selftest.json

One replica equals N, resuming gives the same bits, evaluation is exact under padding, every model makes a step, every plan
gives the same losses; and how fast a dense net trains, as a share of the device's peak where that is known. Prints a table and
writes one JSON file, which is what to attach to a report. Exits 1 if a check fails.
"""

import json
import sys

from absl import flags

from trainers import cli as shared

OUTPUT = flags.DEFINE_string("output", "selftest.json", "The file to write.")
flags.declare_key_flag("strategy")
flags.declare_key_flag("tpu")
flags.declare_key_flag("debug")


def main(arguments: list[str]) -> None:
    from pathlib import Path

    from trainers.runs.selftest import selftest

    if arguments:
        raise ValueError(f"selftest takes flags alone. Received: {' '.join(arguments)}")
    found = selftest(shared.strategy())
    for check in found["checks"]:
        print(f"{'ok  ' if check['ok'] else 'FAIL'} {check['name']:<36} {check['found']} (wanted: {check['wanted']})")
    speed = found["throughput"]
    if speed:
        share = "unknown peak" if speed["share_of_peak"] is None else f"{speed['share_of_peak']:.1%} of the peak"
        print(
            f"     {found['device']}, {found['replicas']} replicas: {speed['examples_per_second']:,} examples/s, "
            f"{speed['tera_operations_per_second']} Tflop/s, {share}"
        )
    Path(OUTPUT.value).write_text(json.dumps(found, indent=1) + "\n")
    failed = sum(not check["ok"] for check in found["checks"])
    print(f"{len(found['checks']) - failed} of {len(found['checks'])} checks passed; {OUTPUT.value} has them all")
    if failed:
        sys.exit(1)


cli = shared.entry_point(main)
if __name__ == "__main__":
    cli()

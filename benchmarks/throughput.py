"""Steps per second of the same nets trained by us and by others, side by side on this machine's CPU.

    python -m benchmarks.throughput [--quick] [--workloads=mlp,cifar] [--peers=ours,ours:xla,fit] [--data_dir=DIR]

Every peer runs in a process of its own, with the fastest settings it is known to have, and computes only when it is its turn;
the turns alternate, and the table has medians over the rounds. "memory" is the step alone, on batches that are ready; "input"
begins with decoded examples: shuffle, batch, normalise, train. Decoding is never measured. Results go to benchmarks/results/.
A workload took some 8 minutes on 2 cores (the ResNet and the Transformer of 6 layers much longer: give them fewer --peers),
with --quick 3; `pip install -e '.[cpu,bench]'` brings the peers.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers import INPUTS, LIBRARIES, PEERS, QUICK, Peer, find_peer, workloads
from benchmarks.peers.protocol import PeerError, Process
from benchmarks.peers.workloads import WORKLOADS, Workload
from benchmarks.throughput_report import RESULTS, describe_machine, draw, print_tables, read_results, write_results

_LIMITED = ("mlp", "cifar", "lstm", "transformer")
_BATCHES, _WIDTHS, _DEPTHS = (16, 64, 256, 512), (0.5, 1, 2, 4), (1, 2, 4)


def probe() -> float:
    """Milliseconds of fixed matrix products in NumPy: how fast this machine is just now."""
    a = np.full((768, 768), 0.5, np.float32)
    began = time.perf_counter()
    for _ in range(10):
        a @ a
    return 1e3 * (time.perf_counter() - began)


def measure(peers: dict[str, Peer], jobs: dict[str, tuple[Workload, Path | None, str]], rounds: int, seconds: float) -> dict:
    """Every peer trains every job (workload, examples, measure); within a job the peers take turns.

    Returns:
      {job: {"probe_ms": [...], "peers": {peer: {"settings", "trials": [...]} or {"error": one line}}}}
    """
    running, found = {}, {job: {"probe_ms": [], "peers": {name: {} for name in peers}} for job in jobs}
    errors = {}
    try:
        running = {name: Process(peer) for name, peer in peers.items()}  # their imports overlap
        for name, process in running.items():
            try:
                process.wait_until_ready()
            except PeerError as error:
                errors[name] = str(error)
        for job, what in jobs.items():
            ready = {name: process for name, process in running.items() if name not in errors}
            _measure_job(ready, job, what, rounds, seconds, found[job])
            for name, error in errors.items():
                found[job]["peers"][name] = {"error": error}
    finally:
        for process in running.values():
            process.close()
    return found


def _measure_job(running: dict[str, Process], job: str, what: tuple, rounds: int, seconds: float, found: dict) -> None:
    rows = found["peers"]

    def attempt(name: str, call: Callable, *arguments) -> dict | None:
        try:
            return call(*arguments)
        except PeerError as error:
            rows[name]["error"] = str(error)
            print(f"    {job}, {name}: {error}", flush=True)

    for name, process in running.items():
        began = time.perf_counter()
        built = attempt(name, process.build, job, *what)
        if built:
            rows[name].update(settings=built["settings"], parameters=built["parameters"], loss=built["loss"], trials=[])
            print(f"    {job}, {name}: {built['settings']} (tuned in {time.perf_counter() - began:.0f} s)", flush=True)
    for turn in range(rounds):
        found["probe_ms"].append(probe())
        order = list(running)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:  # nobody is always after the same one
            if "error" not in rows[name]:
                trial = attempt(name, running[name].run, job, seconds)
                rows[name]["trials"] += [trial] if trial else []
    check(rows)


def check(rows: dict[str, dict]) -> None:
    """Writes an error or a warning into the rows of peers that did not train the same net, or not really."""
    counts = [row["parameters"] for row in rows.values() if row.get("parameters")]
    for row in rows.values():
        if "error" in row or "trials" not in row:
            continue
        losses = [row["loss"], *(trial["loss"] for trial in row["trials"])]
        if row["parameters"] and row["parameters"] != counts[0]:
            row["error"] = f"another net: {row['parameters']} parameters, not {counts[0]}"
        elif not np.isfinite(losses).all():
            row["error"] = "the loss is not finite"
        elif row["parameters"] and not (np.diff(losses) < 0).any():
            row["warning"] = "the loss never fell"


def measure_workload(name: str, given: argparse.Namespace) -> dict:
    """Both measures of one workload, and the limit of what could be."""
    workload = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as folder:
        examples, data = workloads.read_data(workload, given.data_dir)
        path = Path(folder) / "examples.npz"
        workloads.save_examples(examples, path)
        size = len(examples.y)
        del examples
        print(f"  {name}, batch {workload.batch}, {size} examples, {data}", flush=True)
        peers = {peer: find_peer(peer) for peer in given.peers}
        jobs = {kind: (workload, path, kind) for kind in ("memory", "input")}
        found = measure(peers, jobs, given.rounds, given.seconds)
    result = dict(workload=dataclasses.asdict(workload), data=data, examples=size, measures=found)
    if name in _LIMITED:
        rounds = min(given.rounds, 3)
        result["limit"] = measure(LIBRARIES, {"products": (workload, None, "products")}, rounds, given.seconds)["products"]
    return result


def scaling_jobs(names: list[str]) -> dict[str, tuple[Workload, None, str]]:
    """One argument at a time, the rest as it is."""
    jobs = {}
    for name in [n for n in ("mlp", "transformer") if n in names]:
        base = WORKLOADS[name]
        for batch in _BATCHES:
            jobs[f"{name}, batch {batch}"] = dataclasses.replace(base, batch=batch)
        for factor in _WIDTHS:
            width = int(128 * factor)
            change = {"widths": (width,)} if name == "mlp" else {"embed_dim": width}
            jobs[f"{name}, width {width}"] = dataclasses.replace(base, model={**base.model, **change})
        for depth in _DEPTHS:
            change = {"widths": (128,) * depth} if name == "mlp" else {"depth": depth}
            jobs[f"{name}, depth {depth}"] = dataclasses.replace(base, model={**base.model, **change})
    return {job: (workload, None, "memory") for job, workload in jobs.items()}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four workloads, seven peers, short trials, no scaling")
    parser.add_argument("--workloads", help=f"some of {','.join(WORKLOADS)}")
    parser.add_argument("--peers", help=f"some of {','.join(PEERS)},ours:PLAN; the first is what the others are compared with")
    parser.add_argument("--data_dir", help="where tfds has prepared mnist, cifar10, imdb_reviews; else random data may be used")
    parser.add_argument("--rounds", type=int, help="turns of each peer")
    parser.add_argument("--seconds", type=float, help="of a turn")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON and the chart")
    parser.add_argument("--show", type=Path, nargs="+", help="print and draw JSONs of earlier runs; measure nothing")
    given = parser.parse_args(arguments)
    given.workloads = given.workloads.split(",") if given.workloads else list(workloads.QUICK if given.quick else WORKLOADS)
    given.peers = given.peers.split(",") if given.peers else list(QUICK if given.quick else PEERS)
    given.rounds = (3 if given.quick else 5) if given.rounds is None else given.rounds
    given.seconds = (0.7 if given.quick else 2.0) if given.seconds is None else given.seconds
    if given.rounds < 1 or given.seconds <= 0:
        raise ValueError(f"rounds and seconds must be positive. Received: {given.rounds} and {given.seconds}")
    for name in given.workloads:
        if name not in WORKLOADS:
            raise ValueError(f"unknown workload {name!r}. Accepted: {', '.join(WORKLOADS)}")
    for name in given.peers:
        find_peer(name)
    for path in given.show or []:
        if not path.is_file():
            raise ValueError(f"--show names no file: {path}")
    return given


def run(given: argparse.Namespace, path: Path) -> dict:
    """All that was asked for, as it is kept in the JSON; that is written again after each workload."""
    found = dict(machine=describe_machine(), rounds=given.rounds, seconds=given.seconds, workloads={})
    for name in given.workloads:
        found["workloads"][name] = measure_workload(name, given)
        write_results(found, path)
    if "ours" in given.peers and "mlp" in given.workloads:
        job = {"input alone": (WORKLOADS["mlp"], None, "input")}
        found["input_alone"] = measure(INPUTS, job, given.rounds, given.seconds)["input alone"]
        if not given.quick:
            peers = {name: PEERS[name] for name in ("ours", "ours_cpu:2")}
            found["scaling"] = measure(peers, scaling_jobs(given.workloads), min(given.rounds, 3), min(given.seconds, 1.0))
    write_results(found, path)
    return found


def main() -> int:
    try:
        given = parse()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.show:
        found = read_results(*given.show)
    else:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        path = given.out / time.strftime("throughput-%Y%m%d-%H%M%S.json")
        found = run(given, path)
        print(f"written: {path}")
    print_tables(found)
    print(f"drawn: {draw(found, given.out / 'throughput.png')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

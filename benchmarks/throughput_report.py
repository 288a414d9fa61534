"""What benchmarks.throughput found: tables in the terminal, one JSON a run, a chart."""

import importlib.metadata
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from benchmarks.peers import find_peer
from benchmarks.peers.trial import rate

RESULTS = Path(__file__).parent / "results"
MEASURES = {"memory": "batches ready in memory: the step alone", "input": "with input: shuffle, batch, normalise, train"}
_PACKAGES = ("keras-modelzoo", "tensorflow", "tensorflow-cpu", "keras", "torch", "jax", "jaxlib", "numpy")
_COLOURS = ("#4e79a7", "#a0cbe8", "#f28e2b", "#bab0ac", "#59a14f", "#8cd17d", "#b6992d", "#499894", "#e15759", "#ff9d9a",
            "#79706e", "#d37295", "#b07aa1")  # fmt: skip


def describe_machine() -> dict:
    """CPU, cores, load, versions, date."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), cpu)
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return dict(
        cpu=cpu, cores=os.cpu_count(), load_at_start=os.getloadavg(), versions=versions, date=time.strftime("%Y-%m-%d %H:%M")
    )


def write_results(found: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def read_results(*paths: Path) -> dict:
    """One JSON, or several runs of some workloads each as one; machine and date are the first's."""
    runs = [json.loads(path.read_text()) for path in paths]
    workloads = {name: result for run in runs for name, result in run["workloads"].items()}
    return {**{key: value for run in reversed(runs) for key, value in run.items()}, "workloads": workloads}


def rates(row: dict) -> np.ndarray:
    """Steps per second of each round; none for a peer that is out."""
    return np.array([] if "error" in row else [rate(trial) for trial in row["trials"]])


def ratios(row: dict, reference: dict) -> np.ndarray:
    """reference / row, round by round."""
    mine, other = rates(row), rates(reference)
    return other / mine if len(mine) and len(mine) == len(other) else np.array([])


def limit_of(limit: dict) -> float:
    """Steps per second if a step were nothing but its products, each by the library that makes it fastest; 0 for unknown."""
    rows = [row for row in limit["peers"].values() if "error" not in row and row["trials"]]
    if not rows:
        return 0.0
    # [libraries, products]: seconds, the fastest round of each
    spent = np.array([np.min([[p[3] for p in trial["products"]] for trial in row["trials"]], axis=0) for row in rows])
    times = np.array([product[2] for product in rows[0]["trials"][0]["products"]])
    return 1 / float((spent.min(0) * times).sum())


def label_of(name: str) -> str:
    try:
        return find_peer(name).label
    except ValueError:  # the JSON of another version
        return name


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(values: np.ndarray) -> str:
    return f"{np.median(values):.2f} ({values.min():.2f} to {values.max():.2f})" if len(values) else ""


def print_tables(found: dict, console=None) -> None:
    """To the terminal, or to a rich Console."""
    from rich.console import Console

    console = console or Console()
    console.width = console.width if console.is_terminal else 140
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    console.print(f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}; {versions}")
    console.print(f"load average at the start: {', '.join(f'{load:.2f}' for load in machine['load_at_start'])}")
    console.print(f"{found['rounds']} rounds of {found['seconds']} s; medians, and the least to the most in brackets")
    for name, result in found["workloads"].items():
        limit = limit_of(result["limit"]) if "limit" in result else 0.0
        for kind, measured in result["measures"].items():
            title = f"{name}, batch {result['workload']['batch']}, {result['data']}; {MEASURES[kind]}"
            console.print(_table(title, measured, limit))
    if "input_alone" in found:
        console.print(_table("input alone, MNIST's size, batches of 64", found["input_alone"], 0.0, unit="batches/s"))
    if "scaling" in found:
        console.print(_scaling_table(found["scaling"]))


def _table(title: str, measured: dict, limit: float, unit: str = "steps/s"):
    from rich.table import Table

    rows, probe = measured["peers"], np.array(measured["probe_ms"])
    reference_name, reference = next(iter(rows.items()))
    noise = f"NumPy probe {np.median(probe):.1f} ms ({probe.min():.1f} to {probe.max():.1f})" if len(probe) else ""
    at_most = f"; products alone, best library: {_number(limit)} {unit}" if limit else ""
    table = Table(title=title, caption=noise + at_most, title_justify="left")
    for column in ("peer", unit, f"{reference_name} / peer", "of the limit", "settings"):
        table.add_column(column, justify="left" if column in ("peer", "settings") else "right")
    for name, row in rows.items():
        mine = rates(row)
        if not len(mine):
            table.add_row(label_of(name), "-", "", "", row.get("error", "no trial"))
            continue
        share = f"{np.median(mine) / limit:.0%}" if limit else ""
        said = "; ".join(filter(None, [row["settings"], row.get("warning")]))
        compared = "" if name == reference_name else _spread(ratios(row, reference))
        table.add_row(label_of(name), f"{_number(np.median(mine))} (to {_number(mine.max())})", compared, share, said)
    return table


def _scaling_table(scaling: dict):
    from rich.table import Table

    peers = list(next(iter(scaling.values()))["peers"])
    table = Table("net", *(f"{label_of(name)}, ms a step" for name in peers), title="scaling", title_justify="left")
    for job, measured in scaling.items():
        found = [rates(measured["peers"][name]) for name in peers]
        table.add_row(job, *(f"{1e3 / np.median(r):.2f}" if len(r) else "-" for r in found))
    return table


def draw(found: dict, path: Path, baseline: str = "fit") -> Path | str:
    """A bar for each peer and workload: how many times as fast as fit at its default. Says why where there is none."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        return "nothing, since matplotlib is not installed"
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(found["workloads"])
    peers = list(dict.fromkeys(p for result in found["workloads"].values() for p in result["measures"]["memory"]["peers"]))
    if baseline not in peers:
        return f"nothing, since {baseline} was not measured"
    height = 1.2 + len(names) * (0.25 * len(peers) + 0.5)
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(13, height), sharex=True, sharey=True, layout="constrained")
    for axis, (kind, said) in zip(axes, MEASURES.items(), strict=True):
        _draw_bars(axis, [found["workloads"][name]["measures"][kind]["peers"] for name in names], names, peers, baseline)
        axis.set_title(said, fontsize=11)
    low, high = axes[0].get_xlim()
    axes[0].set_xlim(min(low, 0.5) / 1.5, max(high, 2) * 1.5)  # room for the numbers
    machine = found["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}"
    figure.suptitle(f"Steps per second / those of Keras fit at its default\n{where}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _draw_bars(axis, rows: list[dict], names: list[str], peers: list[str], baseline: str) -> None:
    thick = 0.85 / len(peers)
    for i, peer in enumerate(peers):
        found = [ratios(row[baseline], row[peer]) if peer in row else np.array([]) for row in rows]
        values = np.array([np.median(ratio) if len(ratio) else np.nan for ratio in found])
        places = np.arange(len(rows)) + (i - (len(peers) - 1) / 2) * thick
        axis.barh(places, values - 1, thick * 0.92, left=1, color=_COLOURS[i % len(_COLOURS)], label=label_of(peer))
        for place, value in zip(places, values, strict=True):
            if np.isnan(value):
                continue
            side = dict(xytext=(-3, 0), ha="right") if value < 1 else dict(xytext=(3, 0), ha="left")
            weight = "bold" if peer.startswith("ours") else "normal"
            text = f"{value:.2f}" if value < 10 else f"{value:.0f}"
            axis.annotate(text, (value, place), textcoords="offset points", va="center", fontsize=7, weight=weight, **side)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(np.arange(len(rows)), names, fontsize=11)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)

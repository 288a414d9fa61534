"""Draw the curves of a run from its metrics.jsonl.

    python -m docs.curves runs/digits_mlp docs/digits_mlp.svg

One panel for each metric that both the training and the validation lines have. Needs matplotlib (`pip install -e '.[docs]'`).
"""

import argparse
import json
from pathlib import Path

_NOT_METRICS = {"step", "epoch", "split", "learning_rate", "examples_per_second"}


def read_curves(run: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """{metric: {split: [(epoch, value), ...]}} of the metrics that every split of metrics.jsonl has."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for name in line.keys() - _NOT_METRICS:
            curves.setdefault(name, {}).setdefault(line["split"], []).append((line["epoch"], line[name]))
    splits = {line["split"] for line in lines}
    return {name: curves[name] for name in sorted(curves) if curves[name].keys() == splits}


def draw(run: Path, picture: Path) -> None:
    """Write the curves to a .svg or .png file."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "modelzoo"  # the same run gives the same file
    from matplotlib import pyplot

    curves = read_curves(run)
    figure, panels = pyplot.subplots(1, len(curves), figsize=(4.2 * len(curves), 2.6), squeeze=False, layout="constrained")
    for panel, (name, splits) in zip(panels[0], curves.items(), strict=True):
        for split, points in sorted(splits.items()):
            panel.plot(*zip(*points, strict=True), label=split)
        panel.set(title=name, xlabel="epoch")
        panel.grid(alpha=0.3)
    panels[0][-1].legend()
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m docs.curves", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("picture", type=Path, help=".svg or .png to write")
    given = parser.parse_args()
    draw(given.run, given.picture)

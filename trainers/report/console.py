"""A progress bar, and a line for each evaluation."""

import math

from tqdm import tqdm

_SHOWN = ("loss", "accuracy", "mae", "f1", "roc_auc", "r2")  # what there is of these, the first three in a line


def console():
    """Hook: a bar on a terminal (none where the output is a file or a pipe); a line at each evaluation anywhere."""
    bar, train = None, {}

    def hook(event: str, host) -> None:
        nonlocal bar
        progress, timetable = host.progress, host.timetable
        if event == "start":
            total = timetable.total_steps
            bar = tqdm(total=total, initial=progress.step, unit="step", disable=None, dynamic_ncols=True, leave=False)
        elif event == "loop":
            found = {name: readable(value) for name, value in {**train, **_shown(host.running_metrics)}.items()}
            bar.set_postfix({**found, "examples/s": f"{progress.examples_per_second:,.0f}"}, refresh=False)
            bar.update(progress.step - bar.n)
        elif event == "metrics":
            is_train, is_last = host.split == "train", host.split == "validation" or "validation" not in host.data.spec.examples
            if is_train:
                train.update(_shown(host.metrics))
            if is_last:
                parts = [f"epoch {host.epoch:g}/{math.ceil(timetable.total_steps / timetable.steps_per_epoch)}"]
                parts += [f"train: {_text(train)}"] + [f"{host.split}: {_text(host.metrics)}"] * (not is_train)
                parts += [f"{progress.examples_per_second:,.0f} examples/s"] + ["best"] * (host.is_best and not is_train)
                bar.write("  ".join(parts))
        elif event in ("end", "interrupted"):
            bar.close()

    return hook


def readable(value: float) -> str:
    """Four decimals; fewer for large numbers."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"


def _shown(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in _SHOWN if name in metrics}


def _text(metrics: dict[str, float]) -> str:
    return " ".join(f"{name} {readable(value)}" for name, value in list(_shown(metrics).items())[:3])

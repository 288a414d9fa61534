"""A progress bar, and a line for each evaluation."""

import math

from tqdm import tqdm

_SHOWN = ("loss", "accuracy", "f1", "roc_auc", "mse", "mae", "r2")


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
            found = {name: f"{value:.4f}" for name, value in {**train, **_running(host)}.items()}
            bar.set_postfix({**found, "examples/s": f"{progress.examples_per_second:,.0f}"}, refresh=False)
            bar.update(progress.step - bar.n)
        elif event == "metrics" and host.split == "train":
            train.update(_shown(host.metrics))
        elif event == "metrics":
            parts = [f"epoch {host.epoch:g}/{math.ceil(timetable.total_steps / timetable.steps_per_epoch)}"]
            parts += [f"{split}: {_text(metrics)}" for split, metrics in (("train", train), (host.split, host.metrics))]
            bar.write(
                "  ".join([*parts, f"{progress.examples_per_second:,.0f} examples/s", "best" if host.is_best else ""]).rstrip()
            )
        elif event == "end":
            bar.close()

    return hook


def _running(host) -> dict[str, float]:
    """Training metrics since they were last reported."""
    sums = host.progress.sums
    return _shown(host.task.finish(sums)) if sums else {}


def _shown(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in _SHOWN if name in metrics}


def _text(metrics: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in list(_shown(metrics).items())[:3])

"""A progress bar, and a line for each evaluation."""

import logging
import math

from tqdm import tqdm

log = logging.getLogger("trainers")

_MUCH_WAITING = 0.1
_SHOWN = ("loss", "accuracy", "mae", "f1", "roc_auc", "r2")  # what there is of these, the first three in a line


def console():
    """Hook: a bar on a terminal (none where the output is a file or a pipe); a line at each evaluation anywhere."""
    bar, train = None, {}

    def hook(event: str, learner) -> None:
        nonlocal bar
        progress, timetable = learner.progress, learner.timetable
        if event == "start":
            total = timetable.total_steps
            bar = tqdm(total=total, initial=progress.step, unit="step", disable=None, dynamic_ncols=True, leave=False)
        elif event == "loop":
            found = {name: readable(value) for name, value in {**train, **_shown(learner.running_metrics)}.items()}
            bar.set_postfix({**found, **_speed(learner)}, refresh=False)
            bar.update(progress.step - bar.n)
        elif event == "metrics":
            is_train = learner.split == "train"
            is_last = not is_train or "validation" not in learner.data.spec.examples
            if is_train:
                train.update(_shown(learner.metrics))
            if is_last:
                parts = [f"epoch {learner.epoch:g}/{math.ceil(timetable.total_steps / timetable.steps_per_epoch)}"]
                parts += [f"train: {_text(train)}"] + [f"{learner.split}: {_text(learner.metrics)}"] * (not is_train)
                parts += [f"{value} {name}" for name, value in _speed(learner).items()]
                bar.write("  ".join(parts + ["best"] * (learner.is_best and not is_train)))
        elif event == "end" and progress.share_waited > _MUCH_WAITING and progress.seconds > 1:
            advice = learner.data.input_advice("train")
            log.warning("%.0f%% of the time went into waiting for input: %s", 100 * progress.share_waited, advice)
        if event in ("end", "interrupted"):
            bar.close()

    return hook


def _speed(learner) -> dict[str, str]:
    found = {"examples/s": f"{learner.progress.examples_per_second:,.0f}"}
    if learner.progress.share_waited >= 0.01:
        found["waiting for input"] = f"{learner.progress.share_waited:.0%}"
    return found if learner.share_of_peak is None else {**found, "of peak": f"{learner.share_of_peak:.0%}"}


def readable(value: float) -> str:
    """Four decimals; fewer for large numbers."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"


def _shown(metrics: dict[str, float]) -> dict[str, float]:
    losses = [name for name in metrics if "loss" in name.split("/")]  # of several objectives or terms
    return {name: metrics[name] for name in dict.fromkeys((*_SHOWN, *losses)) if name in metrics}


def _text(metrics: dict[str, float]) -> str:
    return " ".join(f"{name} {readable(value)}" for name, value in list(_shown(metrics).items())[:3])

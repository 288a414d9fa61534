"""What every peer hands back, and how the fastest of several settings is found."""

import dataclasses
import gc
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

# seconds -> {"steps", "seconds", "loss"}; the clock is read when the device is done
Run = Callable[[float], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Trial:
    """A net that is ready to be trained.

    Attributes:
      run: trains on for about so many seconds.
      settings: those that won, for the table.
      parameters: trainable numbers.
    """

    run: Run
    settings: str
    parameters: int


def rate(found: dict) -> float:
    """Steps per second."""
    return found["steps"] / found["seconds"]


def repeat(step: Callable[[], Any], loss_of: Callable[[Any], float], *, steps: int = 1) -> Run:
    """Calls `step`, which makes `steps` steps, until time is up. `loss_of` waits for what it gave last."""

    def run(seconds: float) -> dict:
        began, count = time.perf_counter(), 0
        while not count or time.perf_counter() - began < seconds:
            last = step()
            count += steps
        loss = float(loss_of(last))
        return dict(steps=count, seconds=time.perf_counter() - began, loss=loss)

    return run


def fastest(candidates: dict[str, Callable[[], Run]], seconds: float = 0.4) -> tuple[str, Run]:
    """The name and the run of the candidate that makes the most steps per second; one that fails is out.

    The winner is made anew unless it was the last: candidates may share a model, which was left with the last one's settings.

    Raises:
      Exception: that of the last candidate, if all fail.
    """
    speeds, failure = {}, None
    for name, make in candidates.items() if len(candidates) > 1 else ():
        run = None  # the threads and worker processes of the one before end
        gc.collect()
        try:
            run = _warmed(make(), seconds)
            speeds[name] = rate(run(seconds))
        except Exception as error:  # whatever a library raises where it does not support a setting
            failure = error
    if len(candidates) > 1 and not speeds:
        raise failure
    best = max(speeds, key=speeds.get) if speeds else next(iter(candidates))
    return best, run if speeds and best == name else _warmed(candidates[best](), seconds)


def _warmed(run: Run, seconds: float) -> Run:
    """Traced, compiled, and with an idea of its speed."""
    for share in (0.0, 1 / 8, 1 / 4):
        began = time.perf_counter()
        run(share * seconds)
        if share and time.perf_counter() - began > seconds:  # slow enough for its speed to be known
            break
    return run


def epochs_of(size: int, batch: int, seed: int = 0) -> Iterable[np.ndarray]:
    """Indices of batches without end, every epoch in another order; what does not fill a batch is left out."""
    rng = np.random.default_rng(seed)
    for _ in itertools.count():
        order = rng.permutation(size)
        yield from order[: size // batch * batch].reshape(-1, batch)

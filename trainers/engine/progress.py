"""What a run remembers besides its variables, and when things happen in it."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

_SECONDS_PER_LOOP = 0.5  # between two looks at the host: progress, signals


@dataclasses.dataclass
class Progress:
    """What a run must remember besides its variables.

    Attributes:
      step: steps made.
      best: the best value of the monitored metric, of `best_step`.
      evaluations_without_best: since then.
      seconds, examples: of training with its wait for input, without tracing, compiling, evaluation and saving.
      waited: those of `seconds` in which the device waited for the next batch.
      bad_in_a_row: steps up to now whose loss or gradient was not finite.
      bad_steps: all of them since metrics were last reported, each as the step that it would have made.
      sums: of the loss and the training metrics since they were last reported; empty if nothing was trained since.
      best_weights: values of the evaluated variables at `best_step`; empty for none.
    """

    step: int = 0
    best: float = math.nan
    best_step: int = 0
    evaluations_without_best: int = 0
    seconds: float = 0.0
    examples: int = 0
    waited: float = 0.0
    bad_in_a_row: int = 0
    bad_steps: list[int] = dataclasses.field(default_factory=list)
    sums: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    best_weights: list[np.ndarray] = dataclasses.field(default_factory=list)

    @property
    def examples_per_second(self) -> float:
        return self.examples / self.seconds if self.seconds else 0.0

    @property
    def share_waited(self) -> float:
        """Of the time of training, for input."""
        return min(self.waited / self.seconds, 1.0) if self.seconds else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timetable:
    """When things happen, all in steps.

    Attributes:
      total_steps, steps_per_epoch: of the run, of one pass over the training split.
      eval_every_steps, log_every_steps, save_every_steps: None for never before the end.
      monitor: metric of the validation split that says which weights are best; None where the last are.
      patience: evaluations without a better one until training stops; None for never.
      on_nan: what happens after `most_bad_steps` in a row whose loss or gradient was not finite: "stop" with an error,
        "rollback" to the best checkpoint and on with the next batch, or "continue". Each such step is skipped in any case.
      stops: further steps at which the host is asked.
      first_step: from which the periods are counted.
    """

    total_steps: int
    steps_per_epoch: int
    eval_every_steps: int | None = None
    log_every_steps: int | None = None
    save_every_steps: int | None = None
    monitor: str | None = "loss"
    patience: int | None = None
    on_nan: str = "stop"
    most_bad_steps: int = 3
    stops: Sequence[int] = ()
    first_step: int = 0

    def steps_to_next_stop(self, step: int) -> int:
        """How many steps may be made from `step` without asking the host."""
        periods = [every for every in (self.eval_every_steps, self.log_every_steps, self.save_every_steps) if every]
        made = step - self.first_step
        ends = [self.total_steps, *(step - made % every + every for every in periods), *(s for s in self.stops if s > step)]
        return min(ends) - step


class Pace:
    """How many steps the device may make before the host is asked again: about _SECONDS_PER_LOOP's."""

    def __init__(self) -> None:
        self.steps, self.seconds = 1, 0.0
        self._traced = False

    def measure(self, steps: int, seconds: float) -> bool:
        """Learn from a loop; False for the first, which traced and compiled and says nothing of the pace."""
        traced, self._traced, self.seconds = self._traced, True, seconds
        if traced:
            self.steps = max(1, min(self.steps * 2, int(steps * _SECONDS_PER_LOOP / seconds)))
        return traced

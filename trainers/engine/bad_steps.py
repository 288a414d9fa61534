"""Steps that were skipped because a loss or a gradient was not finite: said, counted, and acted on where they are too many."""

import logging
from collections.abc import Callable

log = logging.getLogger("trainers")

_MOST_LOGGED = 10


class BadSteps:
    """Args:
    examples_of_step: step (the first is 1) -> indices of its examples, None if unknown.
    """

    def __init__(self, examples_of_step: Callable[[int], list[int] | None]) -> None:
        self._examples_of_step, self._logged = examples_of_step, 0

    def look_at(self, found: dict, progress) -> None:
        """Note what a loop found (trainers.engine.loop.no_bad_steps) in the progress."""
        count = int(found["count"])
        progress.bad_in_a_row = int(found["in_a_row"])
        for step in sorted((found["steps"].numpy()[:count] + 1).tolist()):
            progress.bad_steps.append(step)
            self._logged += 1
            if self._logged <= _MOST_LOGGED:
                examples, rest = self._examples_of_step(step), " (more such steps are in metrics.jsonl alone)"
                log.warning(
                    "step %d: loss or gradient is not finite; skipped. Its examples: %s%s",
                    step, examples, rest if self._logged == _MOST_LOGGED else "",
                )  # fmt: skip

    def act(self, progress, timetable, roll_back: Callable[[], None]) -> None:
        """After too many in a row.

        Raises:
          FloatingPointError: the timetable says to stop, or there is nothing to roll back to.
        """
        if progress.bad_in_a_row < timetable.most_bad_steps:
            return
        what = f"{progress.bad_in_a_row} steps in a row, up to step {progress.step},"
        what = f"{what} had a loss or gradient that is not finite and changed nothing"
        if timetable.on_nan == "stop" or (timetable.on_nan == "rollback" and not progress.best_step):
            raise FloatingPointError(f"{what}. Try a lower learning rate or optimizer.global_clipnorm=1.0")
        if self._logged <= _MOST_LOGGED:
            log.warning("%s; on_nan: %s", what, timetable.on_nan)
        if timetable.on_nan == "rollback":
            roll_back()
        progress.bad_in_a_row = 0

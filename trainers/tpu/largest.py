"""The largest batch that fits, by trying."""

import dataclasses
import time
from collections.abc import Callable

from trainers.tpu.compiling import TooSlow

MOST_EXAMPLES = 2**20  # tried on one device
_CLOSE = 8  # the search ends when what fits and what does not differ by this part


@dataclasses.dataclass(frozen=True)
class Largest:
    """Examples on one device.

    Attributes:
      fits: the most that compiled; None where none did.
      too_many: the fewest that did not; None where all did.
      ended: whether time was over before the two were close.
    """

    fits: int | None
    too_many: int | None
    ended: bool


def largest_batch(
    wanted_at: Callable[[int, float], tuple[int | None, bool]],
    start: int,
    *,
    fixed: int,
    usable: int,
    unit: int,
    seconds: float,
) -> Largest:
    """The largest batch of one device that compiles, to 1/8: bisection whose guesses lie on the line through what is known.

    Args:
      wanted_at: (batch, seconds left) -> bytes that the device would need, None if unknown, and whether it compiles.
      start: the first to try.
      fixed: bytes that are needed at any batch.
      usable: bytes that a device has.
      unit: batches are multiples of this.
      seconds: after which no other is tried.
    """
    began, known = time.monotonic(), {0: fixed}
    low, high, batch = 0, MOST_EXAMPLES + 1, start
    while (left := seconds - (time.monotonic() - began)) > 0:
        try:
            wanted, fits = wanted_at(batch, left)
        except TooSlow:
            break
        if wanted is not None:
            known[batch] = wanted
        low, high = (max(low, batch), high) if fits else (low, min(high, batch))
        if high - low <= max(high // _CLOSE, unit):
            return Largest(low or None, high if high <= MOST_EXAMPLES else None, ended=False)
        batch = _next(known, low, high, usable, unit)
    return Largest(low or None, high if high <= MOST_EXAMPLES else None, ended=True)


def _next(known: dict[int, int], low: int, high: int, usable: int, unit: int) -> int:
    """Just below where the line through the two nearest batches known reaches what is usable, within what is not decided."""
    nearest = sorted(known, key=lambda batch: abs(known[batch] - usable))[:2]
    slope = (known[nearest[0]] - known[nearest[-1]]) / (nearest[0] - nearest[-1]) if len(nearest) > 1 else 0
    if slope > 0:
        guess = 0.98 * (nearest[0] + (usable - known[nearest[0]]) / slope)
    else:
        guess = 8 * low if high > MOST_EXAMPLES else (low * high) ** 0.5
    if high > MOST_EXAMPLES and guess >= MOST_EXAMPLES:
        return MOST_EXAMPLES
    guess = max(guess, low + low // _CLOSE)  # where the line is right, this is the one that is too large
    guess = min(guess, high - (high - low) // _CLOSE)
    return max(int(guess) // unit * unit, low + unit)

"""Examples that two splits share."""

import itertools
import logging
from collections.abc import Hashable

log = logging.getLogger("trainers")


def warn_of_shared(examples: dict[str, list[Hashable]]) -> None:
    """Say how many examples of one split are in another, too."""
    for first, second in itertools.combinations(examples, 2):
        known = set(examples[first])
        shared = sum(example in known for example in examples[second])
        if shared:
            log.warning("%d of %d examples of split %s stand in split %s too", shared, len(examples[second]), second, first)

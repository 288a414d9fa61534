"""Train, validation and test parts of examples that come in one piece."""

import collections

import numpy as np
from sklearn.model_selection import train_test_split

from trainers.data.spec import Split


def complete(given: dict[str, Split], *, validation: float, test: float, seed: int, stratify: bool) -> dict[str, Split]:
    """The splits `given`, "train" among them, and those that it must give up because they are not."""
    train = given["train"]
    shares = {name: 0.0 if name in given else share for name, share in (("validation", validation), ("test", test))}
    labels = train.y if stratify else np.zeros(len(train))
    parts = split_indices(labels, **shares, seed=seed, stratify=stratify)
    return {**given, **{name: train.take(indices) for name, indices in parts.items()}}


def split_indices(labels, *, validation: float, test: float, seed: int, stratify: bool) -> dict[str, np.ndarray]:
    """Indices of each part, shuffled by `seed`; with `stratify`, each label has its share of every part.

    Args:
      labels: [N], what to stratify by.
      validation, test: shares of all examples; 0 for no such part.

    Raises:
      ValueError: a share outside [0, 1), too few examples, or a label that only one example has.
    """
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be a share from 0 to 1. Received: {share!r}")
    labels = np.asarray(labels)
    if stratify:
        rare = [str(label) for label, count in collections.Counter(labels.tolist()).items() if count < 2]
        if rare:
            raise ValueError(f"each class needs two examples or more. Received: one of {', '.join(map(repr, rare[:5]))}")
    rest, parts = np.arange(len(labels)), {}
    for name, share in (("test", test), ("validation", validation)):
        count = round(share * len(labels))
        if share and not 0 < count < len(rest):
            raise ValueError(f"{len(labels)} examples are too few for a {name} part of {share:.0%}")
        if share:
            rest, parts[name] = _drawn(rest, labels, count, seed, stratify)
    return {"train": rest, **parts}


def _drawn(indices, labels, count: int, seed: int, stratify: bool):
    classes = len(set(labels[indices].tolist()))
    enough = count >= classes and len(indices) - count >= classes
    rare = min(collections.Counter(labels[indices].tolist()).values()) < 2
    by = labels[indices] if stratify and enough and not rare else None
    kept, drawn = train_test_split(indices, test_size=count, random_state=seed, shuffle=True, stratify=by)
    return kept, drawn

"""Arrays of numbers, as they are or standardised. N examples."""

import zipfile
from pathlib import Path

import numpy as np

from trainers.data.encoders.base import Encoder


class ArrayEncoder(Encoder):
    """[N, ...] numbers -> float32 (bytes stay bytes).

    Args:
      standardize: subtract the training split's mean and divide by its standard deviation, for each feature.
      mean, std: as fitted.
    """

    name = "array"

    def __init__(self, standardize: bool = False, mean: list | None = None, std: list | None = None) -> None:
        self.standardize, self.mean, self.std = standardize, mean, std

    def fit(self, raw) -> None:
        if self.standardize:
            values = np.asarray(list(raw), np.float64)
            std = values.std(axis=0)
            self.mean, self.std = values.mean(axis=0).tolist(), np.where(std > 0, std, 1.0).tolist()

    def encode(self, raw):
        x = raw if isinstance(raw, dict) else np.asarray(raw)
        if isinstance(x, dict):
            return {key: self.encode(value) for key, value in x.items()}
        if self.mean is not None:
            if x.shape[1:] != np.shape(self.mean):
                raise ValueError(f"an example must have the shape {np.shape(self.mean)}. Received: {x.shape[1:]}")
            x = (x - np.asarray(self.mean)) / np.asarray(self.std)
        return x.astype(np.float32) if np.issubdtype(x.dtype, np.floating) or x.dtype == bool else x

    def read(self, path: Path) -> list:
        """A .npy of [N, ...], or the array "x" of a .npz."""
        try:
            found = np.load(path, allow_pickle=False)
            return list(found if isinstance(found, np.ndarray) else found["x"])
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is no .npy, and no .npz with an array 'x'") from error

    @property
    def state(self) -> dict:
        return {"standardize": self.standardize, "mean": self.mean, "std": self.std}

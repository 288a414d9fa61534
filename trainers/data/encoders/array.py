"""Arrays of numbers, as they are or standardised. N examples, T rows of an example."""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainers.data.encoders.base import Encoder, bytes_as_float
from trainers.data.encoders.sequences import are_sequences, longest, padded


class ArrayEncoder(Encoder):
    """[N, ...] numbers -> float32; integers and bytes stay what they are, and bytes become float32 in the step. A nest of
    arrays is encoded one by one.

    Lists of N arrays [t, ...] with t of their own, such as the boxes [t, 4] of images, become [N, T, ...], padded with 0.

    Args:
      standardize: subtract the training split's mean and divide by its standard deviation, for each feature.
      mean, std: as fitted.
      length: T; None for the longest of the training split. Longer examples lose their end.
    """

    name = "array"

    def __init__(
        self, standardize: bool = False, mean: list | None = None, std: list | None = None, length: int | None = None
    ) -> None:
        self.standardize, self.mean, self.std, self.length = standardize, mean, std, length

    def fit(self, raw) -> None:
        if self.length is None and are_sequences(raw):
            self.length = longest(raw)
        if self.standardize:
            values = np.asarray(list(raw), np.float64)
            std = values.std(axis=0)
            self.mean, self.std = values.mean(axis=0).tolist(), np.where(std > 0, std, 1.0).tolist()

    def encode(self, raw):
        if isinstance(raw, dict | tuple):
            return tf.nest.map_structure(self.encode, raw)
        x = padded([np.asarray(row) for row in raw], self.length, 0) if are_sequences(raw) and self.length else np.asarray(raw)
        if x.dtype.kind not in "biuf":
            raise ValueError(f"an array must hold numbers. Received: {x.dtype}, {x[0]!r} in example 0")
        if self.mean is not None:
            if x.shape[1:] != np.shape(self.mean):
                raise ValueError(f"an example must have the shape {np.shape(self.mean)}. Received: {x.shape[1:]}")
            x = (x - np.asarray(self.mean)) / np.asarray(self.std)
        return x.astype(np.float32) if np.issubdtype(x.dtype, np.floating) or x.dtype == bool else x

    def decode(self, values):
        return bytes_as_float(values, 1)

    def read(self, path: Path) -> list:
        """A .npy of [N, ...], or the array "x" of a .npz."""
        try:
            found = np.load(path, allow_pickle=False)
            return list(found if isinstance(found, np.ndarray) else found["x"])
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is no .npy, and no .npz with an array 'x'") from error

    @property
    def state(self) -> dict:
        return {"standardize": self.standardize, "mean": self.mean, "std": self.std, "length": self.length}


class NumberEncoder(Encoder):
    """Numbers to predict, [N, ...] -> float32. Their mean and deviation are the spec's, and the task standardises: a report is
    in the numbers' own units.
    """

    name = "number"

    def encode(self, raw) -> np.ndarray:
        return np.asarray(raw).astype(np.float32)

    def facts(self, values) -> dict:
        y = np.asarray(values if isinstance(values, np.ndarray) else list(values), np.float64)
        y = y.reshape(len(y), -1)
        std = y.std(axis=0)
        return {"target_mean": tuple(y.mean(axis=0).tolist()), "target_std": tuple(np.where(std > 0, std, 1.0).tolist())}

    @property
    def state(self) -> dict:
        return {}

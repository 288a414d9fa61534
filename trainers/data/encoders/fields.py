"""Fields of x and of y, each with an encoder of its own."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trainers.data.encoders.array import ArrayEncoder, NumberEncoder
from trainers.data.encoders.base import Encoder
from trainers.data.encoders.image import ImageEncoder
from trainers.data.encoders.label import ClassesEncoder, LabelEncoder
from trainers.data.encoders.mask import MaskEncoder
from trainers.data.encoders.table import TableEncoder
from trainers.data.encoders.text import TextEncoder


class Fields(Encoder):
    """A dict or tuple of fields -> the same of what their encoders give.

    Args:
      fields: a dict or tuple of what `make_encoder` takes.
    """

    name = "fields"

    def __init__(self, fields: dict | tuple | list) -> None:
        if isinstance(fields, dict) and not all(isinstance(key, str) for key in fields):
            raise ValueError(f"names of fields must be text. Received: {list(fields)}")
        self.fields = (
            {k: make_encoder(e) for k, e in fields.items()} if isinstance(fields, dict) else tuple(map(make_encoder, fields))
        )

    def items(self) -> list[tuple]:
        """(name or place, encoder) of each field."""
        return list(self.fields.items() if isinstance(self.fields, dict) else enumerate(self.fields))

    def map(self, function: Callable) -> dict | tuple:
        """function(name or place, encoder) of each field."""
        found = [function(key, encoder) for key, encoder in self.items()]
        return dict(zip(self.fields, found, strict=True)) if isinstance(self.fields, dict) else tuple(found)

    def fit(self, raw) -> None:
        self._checked(raw)
        self.map(lambda key, encoder: _named(key, encoder.fit, raw[key]))

    def encode(self, raw) -> dict | tuple:
        self._checked(raw)
        return self.map(lambda key, encoder: _named(key, encoder.encode, raw[key]))

    def decode(self, values) -> dict | tuple:
        return self.map(lambda key, encoder: encoder.decode(values[key]))

    def facts(self, values) -> dict:
        """For each attribute a dict (or tuple) of what the fields say, None where one says nothing."""
        found = self.map(lambda key, encoder: encoder.facts(values[key]))
        attributes = {name for key, _ in self.items() for name in found[key]}
        return {name: self.map(lambda key, _: found[key].get(name)) for name in attributes}  # noqa: B023

    def read(self, path: Path) -> dict:
        """A .npz with an array for each field, by name."""
        try:
            with np.load(path, allow_pickle=False) as found:
                return {name: found[name] for name in self.fields}
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} must be a .npz with the arrays {', '.join(map(str, self.fields))}: {error}") from error

    def _checked(self, raw) -> None:
        """Examples that have these fields. What is not in memory is asked when it is read."""
        if isinstance(raw, dict | tuple):
            names = set(raw) if isinstance(raw, dict) else set(range(len(raw)))
            if names != {key for key, _ in self.items()}:
                wanted = ", ".join(str(key) for key, _ in self.items())
                raise ValueError(f"there must be the fields {wanted}. Received: {', '.join(map(str, raw))}")

    @property
    def state(self) -> dict:
        return {"fields": self.map(lambda _, encoder: saved(encoder))}


def _named(key, function: Callable, raw):
    try:
        return function(raw)
    except ValueError as error:
        raise ValueError(f"field {key!r}: {error}") from error


ENCODERS = {
    encoder.name: encoder
    for encoder in (
        ArrayEncoder, ClassesEncoder, Fields, ImageEncoder, LabelEncoder, MaskEncoder, NumberEncoder, TableEncoder, TextEncoder,
    )
}  # fmt: skip


def make_encoder(given) -> Encoder:
    """An encoder as it is; of what `saved` gave, the same again; of a dict or tuple of these, Fields."""
    if isinstance(given, Encoder):
        return given
    if isinstance(given, dict) and isinstance(given.get("name"), str):  # a field called "name" is no text
        state = dict(given)
        return ENCODERS[state.pop("name")](**state)
    if isinstance(given, dict | tuple | list):
        return Fields(given)
    raise ValueError(f"a field needs an encoder. Received: {given!r}")


def saved(encoder: Encoder) -> dict:
    """An encoder for JSON, which `make_encoder` takes."""
    return {"name": encoder.name, **encoder.state}

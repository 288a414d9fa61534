"""From what people have to x: one kind of input a file. What an encoder learns from the training split is kept with the run."""

from trainers.data.encoders.array import ArrayEncoder
from trainers.data.encoders.base import Encoder
from trainers.data.encoders.image import ImageEncoder
from trainers.data.encoders.table import TableEncoder
from trainers.data.encoders.text import TextEncoder

ENCODERS = {encoder.name: encoder for encoder in (ArrayEncoder, ImageEncoder, TableEncoder, TextEncoder)}
__all__ = ["ENCODERS", "ArrayEncoder", "Encoder", "ImageEncoder", "TableEncoder", "TextEncoder"]

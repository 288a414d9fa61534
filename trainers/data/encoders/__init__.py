"""From what people have to the fields of x and y: one kind a file. What is learnt of the training split is kept."""

from trainers.data.encoders.array import ArrayEncoder, NumberEncoder
from trainers.data.encoders.base import Encoder
from trainers.data.encoders.fields import ENCODERS, Fields, make_encoder, saved
from trainers.data.encoders.image import ImageEncoder
from trainers.data.encoders.label import ClassesEncoder, LabelEncoder
from trainers.data.encoders.mask import MaskEncoder
from trainers.data.encoders.table import TableEncoder
from trainers.data.encoders.text import TextEncoder

__all__ = [
    "ENCODERS", "ArrayEncoder", "ClassesEncoder", "Encoder", "Fields", "ImageEncoder", "LabelEncoder", "MaskEncoder",
    "NumberEncoder", "TableEncoder", "TextEncoder", "make_encoder", "saved",
]  # fmt: skip

"""Image files. H height, W width, C channels."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from trainers.data.encoders.base import Encoder, bytes_as_float

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def is_images(x) -> bool:
    """Whether an array is taken for images: bytes [N, H, W, C] with 1, 3 or 4 channels."""
    return isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 4 and x.shape[-1] in MODES


class ImageEncoder(Encoder):
    """Files or arrays -> uint8 [N, H, W, C], resized (bilinear, antialiased) where the size differs.

    Args:
      shape: (H, W, C); C is 1 (grey), 3 (RGB) or 4 (RGBA).
    """

    name = "image"

    def __init__(self, shape: tuple[int, int, int]) -> None:
        if len(shape) != 3 or shape[-1] not in MODES:
            raise ValueError(f"an image's shape is (height, width, channels) with 1, 3 or 4 channels. Received: {tuple(shape)}")
        self.shape = tuple(shape)

    def encode(self, raw) -> np.ndarray:
        if isinstance(raw, np.ndarray):
            return raw
        images = np.empty((len(raw), *self.shape), np.uint8)
        for i, path in enumerate(raw):
            images[i] = self._load(Path(path))
        return images

    def decode(self, values):
        return bytes_as_float(values, 255)

    def read(self, path: Path) -> list[Path]:
        self._load(path)
        return [path]

    def _load(self, path: Path) -> np.ndarray:
        height, width, channels = self.shape
        try:
            with Image.open(path) as image:
                image = image.convert(MODES[channels])
                if image.size != (width, height):
                    image = image.resize((width, height), Image.Resampling.BILINEAR)
                return np.asarray(image, np.uint8).reshape(self.shape)
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path} is no image that can be read: {error}") from error

    @property
    def state(self) -> dict:
        return {"shape": list(self.shape)}

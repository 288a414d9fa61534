"""Image files. H height, W width, C channels."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from trainers.data.encoders.base import Encoder, bytes_as_float

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def is_images(x) -> bool:
    """Whether an array is taken for images: bytes [N, H, W, C] with 1, 3 or 4 channels."""
    return isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 4 and x.shape[-1] in MODES


class ImageEncoder(Encoder):
    """Files or arrays -> uint8 [N, H, W, C], resized (bilinear, antialiased) where the size differs. Of files with 16 bits a
    pixel, 65535 becomes 255.

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
        for i, image in enumerate(raw):
            images[i] = image if isinstance(image, np.ndarray) else read_image(Path(image), self.shape)
        return images

    def decode(self, values):
        return bytes_as_float(values, 255)

    def read(self, path: Path) -> list[Path]:
        read_image(path, self.shape)
        return [path]

    @property
    def state(self) -> dict:
        return {"shape": list(self.shape)}


def read_image(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 [H, W, C].

    Raises:
      ValueError: no image that can be read.
    """
    height, width, channels = shape
    try:
        with Image.open(path) as image:
            image = _eight_bits(image).convert(MODES[channels])
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(image, np.uint8).reshape(shape)
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from error


def read_images(paths: Iterable[Path], shape: tuple[int, int, int]) -> list[np.ndarray | ValueError]:
    """As read_image, each, or the error in its place. Several at a time."""

    def read(path: Path) -> np.ndarray | ValueError:
        try:
            return read_image(path, shape)
        except ValueError as error:
            return error

    with ThreadPoolExecutor() as threads:
        return list(threads.map(read, paths))


def image_header(path: Path) -> tuple[int, int, str] | None:
    """Height, width and Pillow's mode; None if it is no image that can be read."""
    try:
        with Image.open(path) as image:
            return image.height, image.width, image.mode
    except _UNREADABLE:
        return None


# SyntaxError: of some damaged PNG files.
_UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image whose pixels are of 16 bits, in bytes; Pillow's `convert` would cut them off at 255."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(
            f"its pixels are from {pixels.min():g} to {pixels.max():g} (mode {image.mode}). Supported: 8 and 16 bits"
        )
    return Image.fromarray(np.round(pixels / 257).astype(np.uint8))

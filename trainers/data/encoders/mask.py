"""A class for each pixel. N examples, H height, W width."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from trainers.data.encoders.label import LabelEncoder


class MaskEncoder(LabelEncoder):
    """Files whose pixels are class numbers (grey or with a palette), or arrays, -> bytes [N, H, W] that become int32 in the
    step; 255 is no class, and becomes -1. Resized to the nearest pixel where the size differs.

    Args:
      shape: (H, W).
      num_classes: at most 255.
      class_names: by number, for reports.
    """

    name = "mask"

    def __init__(self, shape: tuple[int, int], num_classes: int, class_names: Iterable[str] | None = None) -> None:
        if len(shape) != 2 or not 0 < num_classes <= 255:
            raise ValueError(
                f"a mask has a shape (height, width) and 1 to 255 classes. Received: {tuple(shape)}, {num_classes}"
            )
        super().__init__(class_names, num_classes)
        self.shape = tuple(shape)

    def fit(self, raw) -> None:
        pass

    def encode(self, raw) -> np.ndarray:
        masks = raw if isinstance(raw, np.ndarray) else np.stack([self._load(Path(path)) for path in raw])
        if masks.shape[1:] != self.shape:
            raise ValueError(f"a mask must have the shape {self.shape}. Received: {masks.shape[1:]}")
        return super().encode(masks)

    def read(self, path: Path) -> list[Path]:
        self._load(path)
        return [path]

    def _load(self, path: Path) -> np.ndarray:
        height, width = self.shape
        try:
            with Image.open(path) as image:
                if image.mode not in ("1", "L", "P"):
                    raise ValueError(f"{path} must be grey or have a palette, with class numbers. Received: mode {image.mode}")
                return np.asarray(image.resize((width, height), Image.Resampling.NEAREST), np.uint8)
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path} is no image that can be read: {error}") from error

    @property
    def state(self) -> dict:
        return {"shape": list(self.shape), "num_classes": self.num_classes, "class_names": self.class_names}

"""Random changes of images, by name, for a whole batch at once; each a function of (seed, epoch, example).

B batch, H height, W width, C channels. Images are uint8 or float32.
"""

import math
from collections.abc import Callable

import tensorflow as tf


def flip(images, u, on: bool):
    """Mirror left and right with probability 1/2."""
    mirrored = on & (u[0] < 0.5)
    return tf.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def crop(images, u, padding: int):
    """Pad with zeros on every side, then cut out the old size at a random place (He et al. 2016, 4.2)."""
    height, width = images.shape[1:3]
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    rows, columns = (tf.cast(u[i] * (2 * padding + 1), tf.int32) for i in (0, 1))
    padded = tf.gather(padded, rows[:, None] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(padded, columns[:, None] + tf.range(width), axis=2, batch_dims=1)


def rotate(images, u, degrees: float):
    """Turn about the middle by up to `degrees` either way, bilinear, zeros outside."""
    height, width = images.shape[1:3]
    angle = (2 * u[0] - 1) * math.radians(degrees)
    cos, sin, zero = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    transforms = [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images, transforms=tf.stack(transforms, axis=1), output_shape=tf.constant([height, width]),
        fill_value=0.0, interpolation="BILINEAR", fill_mode="CONSTANT",
    )  # fmt: skip


AUGMENTATIONS = {"flip": flip, "crop": crop, "rotate": rotate}
_NUMBERS = 2  # random numbers that each may use


def make_augment(config: dict) -> Callable:
    """augment(images, uniform) -> images, for a config like {"flip": True, "crop": 4, "rotate": 10.0}, in this order.

    Args:
      config: name -> its one argument.

    Raises:
      ValueError: an unknown name.
    """
    for name in config:
        if name not in AUGMENTATIONS:
            raise ValueError(f"unknown augmentation {name!r}. Accepted: {', '.join(AUGMENTATIONS)}")

    def augment(images, uniform: Callable):
        """`uniform(stream)` gives one number in [0, 1) for each image."""
        for i, (name, function) in enumerate(AUGMENTATIONS.items()):
            if config.get(name):
                images = function(images, [uniform(i * _NUMBERS + k) for k in range(_NUMBERS)], config[name])
        return images

    return augment

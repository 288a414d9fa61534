"""Image files read within tf.data, in C++ where the pixels are those of the encoder. H height, W width, C channels."""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from trainers.data.encoders.image import ImageEncoder

_PNG, _BIT_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # a PNG's first bytes; the place of the bits of a channel
_LUMA = (19595, 38470, 7471)  # of 65536, ITU-R 601 as Pillow rounds it


def file_reader(encoder: ImageEncoder) -> Callable:
    """read(path) -> uint8 [H, W, C], as the encoder reads files: JPEG and PNG of 8 bits in C++, all others by Pillow. A size
    that differs is resized, where the two differ by 2 of 255 at most.
    """

    def by_pillow(path):
        return encoder.encode([Path(path.decode())])[0]

    def read(path):
        content = tf.io.read_file(path)
        is_jpeg = tf.io.is_jpeg(content) & (encoder.shape[-1] < 4)
        is_png = tf.strings.substr(content, 0, len(_PNG)) == _PNG
        is_png &= ~tf.strings.regex_full_match(tf.strings.substr(content, _BIT_DEPTH, 1), "\x10")
        image = tf.case(
            [(is_jpeg, lambda: _decoded(tf.io.decode_jpeg, content, encoder.shape, dct_method="INTEGER_ACCURATE")),
             (is_png, lambda: _decoded(tf.io.decode_png, content, encoder.shape))],
            default=lambda: tf.numpy_function(by_pillow, [path], tf.uint8),
        )  # fmt: skip
        return tf.ensure_shape(image, encoder.shape)

    return read


def _decoded(decode: Callable, content, shape: tuple[int, int, int], **options):
    image = decode(content, channels=max(3, shape[-1]), **options)
    if shape[-1] == 1:
        image = (tf.reduce_sum(tf.cast(image, tf.int32) * _LUMA, axis=-1, keepdims=True) + 2**15) // 2**16
    same = tf.reduce_all(tf.shape(image)[:2] == shape[:2])
    return tf.cond(same, lambda: tf.cast(image, tf.uint8), lambda: resized(image, shape))


def resized(image, shape: tuple[int, int, int]):
    """uint8 [H, W, C], bilinear and antialiased."""
    return tf.cast(tf.round(tf.image.resize(image, shape[:2], antialias=True)), tf.uint8)

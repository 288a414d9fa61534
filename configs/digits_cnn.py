"""Handwritten digits of 8x8 with a convolutional net, dropout and shifted crops.

python -m trainers.train --config=configs/digits_cnn.py --workdir=runs/digits_cnn

Test accuracy 0.9917, the median of seeds 0 to 4 (0.9917 to 0.9944), in 12 s. Two cores of a Xeon with AVX-512,
2026-11-22.
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="digits", augment=dict(crop=1)),
        model=dict(name="cnn", filters=(32, 64), pools=(1, 2), widths=(128,), dropout=0.25, dropout_dense=0.5),
        optimizer=dict(name="adam", learning_rate=2e-3, schedule=dict(name="cosine")),
        batch_size=32,
        epochs=40,
    )

"""Handwritten digits of 8x8, read row by row by an LSTM.

python -m trainers.train --config=configs/digits_lstm.py --workdir=runs/digits_lstm

Test accuracy 0.9667, the median of seeds 0 to 4 (0.9639 to 0.9722), in 9 s. Two cores of a Xeon with AVX-512,
2026-11-22.
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="digits"),
        model=dict(name="lstm", units=(128,)),
        optimizer=dict(name="adam", learning_rate=5e-3, schedule=dict(name="cosine")),
        batch_size=32,
        epochs=30,
    )

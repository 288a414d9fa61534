"""Handwritten digits of 8x8, read row by row by an LSTM.

python -m trainers.train --config=configs/digits_lstm.py --workdir=runs/digits_lstm
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

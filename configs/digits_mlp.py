"""Handwritten digits with a dense net.

python -m trainers.train --config=configs/digits_mlp.py --workdir=runs/digits_mlp
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="digits"),
        model=dict(name="mlp", widths=(256,)),
        optimizer=dict(name="adam", learning_rate=2e-3, schedule=dict(name="cosine")),
        batch_size=32,
        epochs=30,
        monitor="loss",
    )

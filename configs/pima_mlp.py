"""Diabetes from 8 clinical measurements, with a dense net 8-10-1.

python -m trainers.train --config=configs/pima_mlp.py --workdir=runs/pima_mlp
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="csv", path="pima-indians-diabetes.data.csv", header=False, target=8),
        model=dict(name="mlp_8_10_1"),
        optimizer=dict(name="adam", learning_rate=1e-3),
        batch_size=10,
        epochs=150,
    )

"""Breast cancer from 30 measurements of cell nuclei, with a dense net 30-10-1.

python -m trainers.train --config=configs/breast_cancer_mlp.py --workdir=runs/breast_cancer_mlp
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="breast_cancer", standardize=True),
        model=dict(name="mlp", widths=(10,), num_classes=1),  # one logit for two classes
        optimizer=dict(name="adam", learning_rate=1e-2),
        batch_size=32,
        epochs=50,
    )

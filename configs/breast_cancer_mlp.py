"""Breast cancer from 30 measurements of cell nuclei, with a dense net 30-10-1.

python -m trainers.train --config=configs/breast_cancer_mlp.py --workdir=runs/breast_cancer_mlp

Test accuracy 0.9737, the median of seeds 0 to 4 (0.9561 to 0.9737), in 5 s. Two cores of a Xeon with AVX-512,
2026-11-22.
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

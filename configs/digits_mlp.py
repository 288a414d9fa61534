"""Handwritten digits of 8x8 with a dense net.

python -m trainers.train --config=configs/digits_mlp.py --workdir=runs/digits_mlp

Test accuracy 0.9861, the median of seeds 0 to 4 (0.9833 to 0.9861), in 7 s. Two cores of a Xeon with AVX-512,
2026-11-22.
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="digits"),
        model=dict(name="mlp", widths=(256,)),
        task=dict(name="classify", label_smoothing=0.1),  # 0.986 instead of 0.975; the loss cannot fall below 0.5 then
        optimizer=dict(name="adamw", learning_rate=2e-3, weight_decay=0.05, schedule=dict(name="cosine")),
        batch_size=32,
        epochs=40,
    )

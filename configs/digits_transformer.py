"""Handwritten digits of 8x8, read row by row by a Transformer encoder.

python -m trainers.train --config=configs/digits_transformer.py --workdir=runs/digits_transformer

Test accuracy 0.9722, the median of seeds 0 to 4 (0.9722 to 0.9833), in 18 s. Two cores of a Xeon with AVX-512,
2026-11-22.
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="digits"),
        model=dict(name="transformer", embed_dim=64, depth=2, num_heads=4, dropout=0.1, positions="learned"),
        optimizer=dict(name="adamw", learning_rate=2e-3, weight_decay=0.05, schedule=dict(name="cosine", warmup_epochs=2)),
        batch_size=32,
        epochs=40,
    )

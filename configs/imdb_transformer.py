"""IMDB film reviews with a Transformer encoder of one block.

python -m trainers.train --config=configs/imdb_transformer.py --workdir=runs/imdb_transformer

Test accuracy 0.8253 in 99 s on a subset of 3,000 training and 1,500 test reviews; it was not trained on the whole set.
Two cores of a Xeon with AVX-512, 2026-11-22.
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="imdb_reviews", tokenizer="word", vocab=10_000, max_length=400),
        model=dict(name="transformer", embed_dim=64, depth=1, num_heads=4, dropout=0.3),
        optimizer=dict(name="adamw", learning_rate=1e-3, weight_decay=0.01),
        batch_size=64,
        epochs=6,
        patience=2,
    )

"""A table of one's own with a dense net: what --data=FILE --target=COLUMN trains.

python -m trainers.train --config=csv_mlp --config.data.path=people.csv --config.data.target=income --workdir=runs/people

On the table of pima_mlp (--config.data.target=8): test accuracy 0.8052 in 5 s, where always saying 0 gives 0.6494. Two
cores of a Xeon with AVX-512, 2026-11-22.
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="csv", path="data.csv", target="target"),
        model=dict(name="mlp", widths=(64, 64)),
        optimizer=dict(name="adamw", learning_rate=1e-3, weight_decay=1e-2),
        batch_size=32,
        epochs=100,
        patience=10,  # small tables are overfitted soon
    )

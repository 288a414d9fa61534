"""Every variable that a step changes."""

import itertools

import keras
import tensorflow as tf

Tensors = list[tf.Tensor]
Values = dict[str, Tensors | dict[int, tf.Tensor]]

_FIRST_LOSS_SCALE = 2.0**15


class TrainState:
    """Every variable that a step changes. Made in the strategy's scope.

    Seeds of dropout are not among them: each step draws them from (seed, step, replica).
    """

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer, seed: int) -> None:
        self.model, self.optimizer, self.seed = model, optimizer, seed
        optimizer.build(model.trainable_variables)
        is_seed = [v.path.endswith("seed_generator_state") for v in model.non_trainable_variables]
        self.seeds = list(itertools.compress(model.non_trainable_variables, is_seed))
        float16 = any(layer.compute_dtype == "float16" for layer in model._flatten_layers())
        self.variables = {
            "trainable": model.trainable_variables,
            "non_trainable": [v for v, seed in zip(model.non_trainable_variables, is_seed, strict=True) if not seed],
            "optimizer": optimizer.variables,
            "loss_scale": [keras.Variable(value, trainable=False) for value in (_FIRST_LOSS_SCALE, 0.0)] if float16 else [],
        }

    def read(self) -> Values:
        """The values of all variables, as this replica holds them."""
        return {kind: [tf.convert_to_tensor(v.value) for v in variables] for kind, variables in self.variables.items()}

    def write(self, values: Values) -> None:
        """Assign new values by kind and place; every replica assigns the same to its own copy."""
        for kind, new in values.items():
            for i, value in new.items() if isinstance(new, dict) else enumerate(new):
                self.variables[kind][i].value.assign(value)

    def evaluated(self) -> list[keras.Variable]:
        """The trainable variables to evaluate and save: their moving average where the optimizer keeps one."""
        if not self.optimizer.use_ema:
            return self.variables["trainable"]
        return self.optimizer._model_variables_moving_average  # Keras gives no public way to them

    def draw_seeds(self, position: tf.Tensor) -> Tensors:
        """A seed for each generator of the model and one for the task, a function of (seed, position) alone."""
        shape = (len(self.seeds) + 1, 2)
        seeds = tf.random.stateless_uniform(shape, (self.seed, position), maxval=tf.int64.max, dtype=tf.int64, alg="philox")
        return tf.unstack(seeds % (2**31 - 1))  # Keras casts them to int32

    def scope(self, trainable: Tensors, non_trainable: Tensors, seeds: Tensors) -> keras.StatelessScope:
        """In it the model computes with these values and touches no variable."""
        known = zip(self.variables["trainable"], trainable, strict=True)
        also = zip(self.variables["non_trainable"], non_trainable, strict=True)
        return keras.StatelessScope([*known, *also, *zip(self.seeds, seeds, strict=True)], collect_losses=True)

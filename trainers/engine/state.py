"""Every variable that a step changes, and who changes it."""

import dataclasses
import itertools
from collections.abc import Sequence

import keras
import tensorflow as tf

from trainers.engine.optimizers import OptimizerRule, assigned
from trainers.speed.keras_inside import all_layers, averages, is_seed

Tensors = list[tf.Tensor]
Values = dict[str, Tensors]
Changes = dict[str, dict[int, tf.Tensor]]  # new values by kind and index

_FIRST_LOSS_SCALE = 2.0**15


@dataclasses.dataclass(frozen=True)
class Group:
    """Variables of one objective that one optimizer changes: indices into the state's "trainable" and "optimizer"."""

    optimizer: keras.optimizers.Optimizer
    trainable: list[int]
    slots: list[int]


@dataclasses.dataclass(frozen=True)
class Part:
    """What one objective changes: groups of variables, its loss scale, and [(variable, kind and index of its leader, momentum)]
    of the non-trainable variables that follow others.
    """

    groups: list[Group]
    loss_scale: list[int]
    followers: list[tuple[int, tuple[str, int], float]]

    @property
    def trainable(self) -> list[int]:
        return [i for group in self.groups for i in group.trainable]


class TrainState:
    """Every variable that a step changes. Made in the strategy's scope.

    Seeds of dropout are not among them: each update draws them from (seed, update, piece, replica).

    Attributes:
      variables: by kind. "frozen" ones are read alone, and stand in no checkpoint.
      parts: one for each objective.

    Args:
      optimizers: rules, of which the first that matches a variable's path counts (trainers.engine.optimizers).
      objectives: of the task.
      frozen: models that the objectives read.

    Raises:
      ValueError: a variable that no rule matches, or a rule that matches none; an objective that trains nothing.
    """

    def __init__(
        self, model: keras.Model, optimizers: Sequence[OptimizerRule], seed: int, objectives: Sequence, frozen: Sequence = ()
    ) -> None:
        self.model, self.seed = model, seed
        rules = assigned(optimizers, model)  # first: it freezes variables
        non_trainable = [v for v in model.non_trainable_variables if not is_seed(v)]
        of_frozen = [v for other in frozen for v in other.variables]
        self.variables: dict[str, list] = {
            "trainable": list(model.trainable_variables), "non_trainable": non_trainable, "optimizer": [], "loss_scale": [],
            "frozen": [v for v in of_frozen if not is_seed(v)],
        }  # fmt: skip
        self.seeds = [v for v in (*model.non_trainable_variables, *of_frozen) if is_seed(v)]
        self._is_float16 = any(layer.compute_dtype == "float16" for layer in all_layers(model))
        self.parts = [self._part(objective, rules) for objective in objectives]

    def _part(self, objective, rules: dict[int, OptimizerRule]) -> Part:
        index = {id(v): i for i, v in enumerate(self.variables["trainable"])}
        mine = self.model.trainable_variables if objective.trains is None else list(objective.trains(self.model))
        mine = [v for v in mine if id(v) in index]
        if not mine:
            raise ValueError(f"objective {objective.name!r} trains no variable: all that it names are frozen, or none")
        groups, slots = [], self.variables["optimizer"]
        for rule in dict.fromkeys(rules[id(v)] for v in mine):
            variables = [v for v in mine if rules[id(v)] is rule]
            optimizer = rule.make(objective.updates)
            optimizer.build(variables)
            if optimizer.use_ema:  # Keras begins with zeros, which are no model until the first update
                for average, variable in zip(averages(optimizer), variables, strict=True):
                    average.assign(variable)
            group = [index[id(v)] for v in variables]
            groups.append(Group(optimizer, group, list(range(len(slots), len(slots) + len(optimizer.variables)))))
            slots.extend(optimizer.variables)
        scales = self.variables["loss_scale"]
        loss_scale = [len(scales), len(scales) + 1] if self._is_float16 else []
        scales += [keras.Variable(value, trainable=False) for value in (_FIRST_LOSS_SCALE, 0.0)[: len(loss_scale)]]
        return Part(groups, loss_scale, self._followers(objective))

    def _followers(self, objective) -> list[tuple[int, tuple[str, int], float]]:
        if objective.follows is None:
            return []
        index = {id(v): (kind, i) for kind in ("trainable", "non_trainable") for i, v in enumerate(self.variables[kind])}
        found = [(index.get(id(v), ("",))[0], v, leader, momentum) for v, leader, momentum in objective.follows(self.model)]
        for kind, v, leader, _ in found:
            if kind != "non_trainable" or v.shape != leader.shape:
                raise ValueError(
                    f"a variable that follows another must not be trainable, and have its shape. Received: {v.path} {v.shape}, "
                    f"{'trainable' if kind == 'trainable' else 'not trainable'}, after {leader.path} {leader.shape}"
                )
        return [(index[id(v)][1], index[id(leader)], momentum) for _, v, leader, momentum in found]

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [group.optimizer for part in self.parts for group in part.groups]

    def read(self) -> Values:
        """The values of all variables, as this replica holds them."""
        return {kind: [tf.convert_to_tensor(v.value) for v in variables] for kind, variables in self.variables.items()}

    def write(self, changes: Changes | Values) -> None:
        """Assign new values by kind and index; every replica assigns the same to its own copy."""
        for kind, new in changes.items():
            if kind != "frozen":
                for i, value in new.items() if isinstance(new, dict) else enumerate(new):
                    self.variables[kind][i].value.assign(value)

    def evaluated(self) -> list[keras.Variable]:
        """The trainable variables to evaluate and save: their moving average where an optimizer keeps one."""
        found = list(self.variables["trainable"])
        for group in (group for part in self.parts for group in part.groups):
            if group.optimizer.use_ema:
                for i, average in zip(group.trainable, averages(group.optimizer), strict=True):
                    found[i] = average
        return found

    def draw_seeds(self, position: tf.Tensor) -> Tensors:
        """A seed for each generator of the models, a function of (seed, position)."""
        shape, seed = (len(self.seeds), 2), (self.seed, position)
        seeds = tf.random.stateless_uniform(shape, seed, maxval=tf.int64.max, dtype=tf.int64, alg="philox")
        return tf.unstack(seeds % (2**31 - 1), num=len(self.seeds))  # Keras casts them to int32

    def noise_seed(self, update: tf.Tensor | int) -> tf.Tensor:
        """Of an objective's noise: [2], int64; the key of a cipher, so another for each update is enough."""
        return tf.stack([tf.constant(self.seed, tf.int64), tf.cast(update, tf.int64)])

    def scope(self, values: Values, seeds: Tensors) -> keras.StatelessScope:
        """In it models compute with these values and touch no variable."""
        kinds = ("trainable", "non_trainable", "frozen")
        known = [zip(self.variables[kind], values[kind], strict=True) for kind in kinds]
        return keras.StatelessScope([*itertools.chain(*known), *zip(self.seeds, seeds, strict=True)], collect_losses=True)


def replaced(values: Values, changes: Changes) -> Values:
    """Values with the changed ones in their places."""
    return {kind: [changes.get(kind, {}).get(i, value) for i, value in enumerate(old)] for kind, old in values.items()}

"""Keras optimizers by name or by the paths of variables, with a learning-rate schedule and weight decay that spares some."""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from trainers.config import construct
from trainers.speed.keras_inside import all_layers

_NO_OPTIMIZERS = ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
OPTIMIZERS = {
    name.lower(): value
    for name, value in vars(keras.optimizers).items()
    if inspect.isclass(value) and issubclass(value, keras.optimizers.Optimizer) and name not in _NO_OPTIMIZERS
}
_REFUSED = {
    "gradient_accumulation_steps": "use the config's `accumulate`, which splits the batch",
    "ema_overwrite_frequency": "use_ema alone evaluates and saves the average",
    "loss_scale_factor": 'use precision="float16", whose loss scaling is dynamic',
}
NO_DECAY = ("bias", "norm", "gamma", "beta")


@dataclasses.dataclass(frozen=True)
class OptimizerRule:
    """The optimizer of the variables whose path the pattern matches (re.search), where no rule before it does.

    Attributes:
      make: updates in a step -> an optimizer, another for each objective; None freezes the variables.
    """

    pattern: str
    make: Callable[[int], keras.optimizers.Optimizer] | None


def optimizer_rules(given: Any, *, total_steps: int = 1, steps_per_epoch: int = 1, first_step: int = 0) -> list[OptimizerRule]:
    """Rules of one optimizer for all variables, or of a list of (pattern, optimizer or None).

    Args:
      given: a dict of make_optimizer's arguments, a name, a Keras optimizer or its class; or the list.
      total_steps, steps_per_epoch, first_step: of the run, as make_optimizer takes them.

    Raises:
      ValueError: none of these, or an optimizer that is not accepted.
    """
    pairs = given if isinstance(given, list | tuple) else [("", given)]
    rules = []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError(f"a list of optimizers has pairs (pattern, optimizer or None). Received: {pair!r}")
        pattern, one = pair
        if one is None:
            rules.append(OptimizerRule(pattern, None))
            continue
        arguments = one if isinstance(one, dict) or not hasattr(one, "items") else one.to_dict()

        def make(updates: int, one=arguments):
            if isinstance(one, keras.optimizers.Optimizer):
                return make_pure(one)
            if inspect.isclass(one) and issubclass(one, keras.optimizers.Optimizer):
                return make_pure(one())
            one = {"name": one} if isinstance(one, str) else one
            steps = dict(total_steps=total_steps, steps_per_epoch=steps_per_epoch, first_step=first_step)
            return make_optimizer(**one, **{name: updates * count for name, count in steps.items()})

        make(1)  # what is wrong is raised here
        rules.append(OptimizerRule(pattern, make))
    return rules


def assigned(rules: Sequence[OptimizerRule], model: keras.Model) -> dict[int, OptimizerRule]:
    """id of each trainable variable -> its rule, after those of rules without an optimizer were frozen. A layer of which
    nothing is left to train computes as in inference: batch norm keeps its statistics.

    Raises:
      ValueError: a variable that no rule matches, or a rule that matches no variable.
    """

    def first_match(variable):
        return next((rule for rule in rules if re.search(rule.pattern, variable.path)), None)

    found = {id(variable): first_match(variable) for variable in model.trainable_variables}
    for variable in model.trainable_variables:
        if found[id(variable)] is None:
            raise ValueError(f"no optimizer is given for the variable {variable.path}. Patterns: {[r.pattern for r in rules]}")
    matched = [first_match(variable) for variable in model.variables]  # those that were frozen before, too
    for rule in rules:
        if rule not in matched:
            paths = ", ".join(v.path for v in model.trainable_variables[:5])
            raise ValueError(f"optimizer pattern {rule.pattern!r} matches no variable that is left. Variables: {paths}, ...")
    for layer in all_layers(model):
        own = [v for v in layer.trainable_variables if id(v) in found]
        frozen = [v for v in own if found[id(v)].make is None]
        for variable in frozen:
            variable.trainable = False
        if frozen and len(frozen) == len(own):
            layer.trainable = False
    return found


def make_optimizer(
    name: str,
    *,
    total_steps: int,
    steps_per_epoch: int = 1,
    first_step: int = 0,
    schedule: dict | str | None = None,
    no_decay: tuple = NO_DECAY,
    **arguments,
) -> keras.optimizers.Optimizer:
    """A Keras optimizer whose update is a pure function of values, so that it may stand after our own sum over replicas.

    Args:
      name: a Keras optimizer in lower case.
      total_steps: of the whole run.
      steps_per_epoch: to convert warmup_epochs.
      first_step: updates that were made before, where the schedule begins.
      schedule: `name` (constant, cosine, linear, exponential, step), its arguments, and warmup_steps or warmup_epochs.
      no_decay: regular expressions; a variable whose path has a match is spared weight decay.
      **arguments: the optimizer's own (learning_rate, weight_decay, global_clipnorm, use_ema, ...).

    Raises:
      ValueError: an unknown name, or an argument that is not accepted.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name!r}. Accepted: {', '.join(sorted(OPTIMIZERS))}")
    _refuse(arguments)
    cls = OPTIMIZERS[name]
    rate = float(arguments.get("learning_rate", inspect.signature(cls).parameters["learning_rate"].default))
    if rate <= 0:
        raise ValueError(f"learning_rate must be positive. Received: {rate}")
    if schedule is not None:
        schedule = {"name": schedule} if isinstance(schedule, str) else dict(schedule)
        steps, epochs = schedule.pop("warmup_steps", 0), schedule.pop("warmup_epochs", 0)
        if steps and epochs:
            raise ValueError(f"a schedule has either warmup_steps or warmup_epochs. Received: {steps} and {epochs}")
        rate = Schedule(rate, total_steps, steps or round(epochs * steps_per_epoch), first_step=first_step, **schedule)
    optimizer = construct("optimizer", name, _pure(cls), {**arguments, "learning_rate": rate})
    optimizer.no_decay = no_decay
    return optimizer


def make_pure(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """A copy of a Keras optimizer, as `make_optimizer` makes them.

    Raises:
      ValueError: it is one, or has an argument, that is not accepted.
    """
    if type(optimizer).__name__ in _NO_OPTIMIZERS:
        raise ValueError(f"optimizer {type(optimizer).__name__} is not accepted: use precision or accumulate instead")
    config = optimizer.get_config()
    _refuse(config)
    pure = _pure(type(optimizer)).from_config(config)
    for name, value in vars(optimizer).items():
        if name.startswith("_exclude_from_weight_decay"):  # not in its config
            setattr(pure, name, value)
    return pure


def _refuse(arguments: dict) -> None:
    for argument in _REFUSED.keys() & {key for key, value in arguments.items() if value is not None}:
        raise ValueError(f"optimizer argument {argument} is not accepted: {_REFUSED[argument]}")


def _pure(cls: type) -> type:
    return type(cls.__name__, (cls, _Pure), {})


_ANCESTORS = {c.__name__: c for c in keras.optimizers.Optimizer.__mro__}
_BASE_OPTIMIZER = _ANCESTORS["BaseOptimizer"]
_TF_OPTIMIZER = _ANCESTORS.get("TFOptimizer", _BASE_OPTIMIZER)  # on JAX and PyTorch there is nothing to undo
_PORTABLE_METHODS = {
    name: vars(_BASE_OPTIMIZER)[name]
    for name in vars(_TF_OPTIMIZER)
    if name in vars(_BASE_OPTIMIZER) and not name.startswith("__")
}


class _Pure(_TF_OPTIMIZER):
    """Gives an optimizer the methods that it has on JAX and PyTorch. TensorFlow's overrides of them assign to variables
    under tf.distribute, sum gradients over replicas a second time, and so refuse `stateless_apply`.
    """

    no_decay: tuple = ()
    locals().update(_PORTABLE_METHODS)

    def build(self, variables):
        spared = [v for v in variables if any(re.search(pattern, v.path) for pattern in self.no_decay)]
        if spared:
            self.exclude_from_weight_decay(var_list=spared)
        super().build(variables)


def _step(progress, *, at: tuple = (0.5, 0.75), factor: float = 0.1):
    """Times `factor` at each of these shares of the run."""
    return factor ** sum(ops.cast(progress >= share, "float32") for share in at)


# Each gives the share of the peak rate at a progress from 0 to 1 after the warm-up.
SCHEDULES = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress, *, final=0.0: final + (1 - final) * (1 + ops.cos(math.pi * progress)) / 2,
    "linear": lambda progress, *, final=0.0: 1 - (1 - final) * progress,
    "exponential": lambda progress, *, final=0.01: final**progress,
    "step": _step,
}


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up from 0 to `peak`, then one of SCHEDULES down to the end of the run.

    Step 0 of a warm-up of W steps has rate peak / W (Goyal et al. 2017, 2.2, from 0 exclusive).
    """

    def __init__(
        self, peak: float, total_steps: int, warmup_steps: int, name: str = "constant", *, first_step: int = 0, **arguments
    ) -> None:
        if name not in SCHEDULES:
            raise ValueError(f"unknown schedule {name!r}. Accepted: {', '.join(SCHEDULES)}")
        self.peak, self.total_steps, self.warmup_steps, self.first_step = peak, total_steps, warmup_steps, first_step
        self.shape = lambda progress: construct("schedule", name, SCHEDULES[name], arguments, progress)
        self.shape(0.0)

    def __call__(self, step):
        step = ops.cast(step - self.first_step, "float32")
        warmup = ops.minimum((step + 1) / max(self.warmup_steps, 1), 1.0)
        progress = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        return self.peak * warmup * self.shape(ops.clip(progress, 0.0, 1.0))

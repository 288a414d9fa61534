"""The same model, task and optimizer as a step of Keras on JAX, compiled for a TPU: another way to the same answer, by
public functions of jax alone. It runs in the child process of `trainers.tpu.compiling`.

What it leaves out: loss scaling, the check that all is finite, accumulation. Unlike the TensorFlow route it makes the weights,
in the machine's memory.
"""

import types

import modelzoo
from trainers.tpu.compiling import memory_of


def jax_job(config: dict, arguments: dict, dtype: str, spec: dict, inputs: dict) -> dict:
    """What the child needs.

    Args:
      config: of the run, as `Config.to_dict` gives it.
      arguments: of the model, `name` among them.
      dtype: its policy.
      spec: of the data, as a dict.
      inputs: name -> (shape, dtype) of a batch on one device.
    """
    job = {"model": arguments, "dtype": dtype, "task": config["task"], "optimizer": config["optimizer"]}
    return {**job, "spec": spec, "inputs": inputs, "key": None}


def compile_job(job: dict) -> dict[str, int]:
    """In the child: bytes by name, of the compiled program."""
    import jax
    import keras
    from jax.experimental import topologies

    from trainers.engine.optimizers import make_optimizer
    from trainers.tasks import make_task

    topology = topologies.get_topology_desc(platform="tpu", topology_name=job["topology"], **job["options"])
    sharding = jax.sharding.SingleDeviceSharding(topology.devices[0])
    model = modelzoo.create_model(job["model"].pop("name"), **job["model"], dtype=job["dtype"])
    task = make_task(**job["task"], spec=types.SimpleNamespace(**job["spec"]))
    optimizer = make_optimizer(**job["optimizer"], total_steps=1000)
    optimizer.build(model.trainable_variables)

    def shapes(variables):
        return [jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=sharding) for v in variables]

    batch = {name: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for name, (shape, dtype) in job["inputs"].items()}
    states = [shapes(of) for of in (model.trainable_variables, model.non_trainable_variables, optimizer.variables)]
    seed = shapes([keras.random.SeedGenerator(0).state])[0]
    step = jax.jit(_step(model, task, optimizer), donate_argnums=(0, 1, 2))
    return memory_of(step.lower(*states, batch, seed).compile().memory_analysis())


def _step(model, task, optimizer):
    """step(trainable, non_trainable, optimizer's, batch, seed) -> new values of the three, sums."""
    import jax
    import keras
    from keras import ops

    def loss(trainable, non_trainable, batch, seed):
        known = zip(model.trainable_variables, trainable, strict=True)
        also = zip(model.non_trainable_variables, non_trainable, strict=True)
        with keras.StatelessScope([*known, *also], collect_losses=True) as scope:
            x = batch["x"]
            batch = {**batch, "x": ops.cast(x, "float32") / 255 if x.dtype == "uint8" else x}
            batch = task.prepare(batch, seed)
            outputs = task.forward(model, batch, training=True)
            losses = ops.cast(task.losses(batch, outputs), "float32")
            penalty = sum(model.losses)
        weight = ops.sum(batch["w"])
        statistics = [scope.get_current_value(v) for v in model.non_trainable_variables]
        sums = {"weight": weight, **task.metrics(batch, outputs, training=True)}
        return ops.sum(losses * batch["w"]) + penalty * weight, (sums, statistics)

    def step(trainable, non_trainable, slots, batch, seed):
        (total, (sums, statistics)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, non_trainable, batch, seed)
        gradients = [g / sums["weight"] for g in gradients]
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return trainable, statistics, slots, {"loss": total, **sums}

    return step

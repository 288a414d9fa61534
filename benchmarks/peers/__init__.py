"""Libraries that train the same nets side by side. Each runs in a process of its own (protocol.py) and has

    build(workload, examples, measure, **arguments) -> Trial

where `measure` is "memory" (batches that are ready: the step alone) or "input" (decoded examples: shuffle, batch, normalise,
train).
"""

import dataclasses

from trainers.quiet import import_tensorflow


@dataclasses.dataclass(frozen=True)
class Peer:
    """A module with `build`, its further arguments, the environment of its process, and what the table says of it."""

    module: str
    label: str
    arguments: dict = dataclasses.field(default_factory=dict)
    environment: dict = dataclasses.field(default_factory=dict)


JAX = {"KERAS_BACKEND": "jax"}
TORCH = {"KERAS_BACKEND": "torch"}
_HERE = "benchmarks.peers"
PEERS = {
    "ours": Peer(f"{_HERE}.ours", "ours"),
    "ours_bf16": Peer(f"{_HERE}.ours", "ours, mixed bfloat16", {"policy": "mixed_bfloat16"}),
    "ours_cpu:2": Peer(f"{_HERE}.ours", "ours, 2 logical CPUs", {"strategy": "cpu:2"}),
    "eager": Peer(f"{_HERE}.eager", "eager GradientTape"),
    "fit": Peer(f"{_HERE}.keras_fit", "Keras fit, default"),
    "fit_best": Peer(f"{_HERE}.keras_fit", "Keras fit, best", {"best": True}),
    "fit_mirrored": Peer(f"{_HERE}.keras_fit", "Keras fit, 2 logical CPUs", {"replicas": 2}),
    "fit_mirrored_best": Peer(f"{_HERE}.keras_fit", "Keras fit, 2 logical CPUs, best", {"best": True, "replicas": 2}),
    "pytorch": Peer(f"{_HERE}.pytorch", "PyTorch eager"),
    "pytorch_compile": Peer(f"{_HERE}.pytorch", "torch.compile", {"compiled": True}),
    "keras_jax": Peer(f"{_HERE}.keras_fit", "Keras fit on JAX, best", {"best": True}, JAX),
    "plain_jax": Peer(f"{_HERE}.plain_jax", "plain JAX (ceiling)", {}, JAX),
}
QUICK = ("ours", "eager", "fit", "fit_best", "pytorch", "keras_jax", "plain_jax")
LIBRARIES = {
    "tensorflow": Peer(f"{_HERE}.limit", "TensorFlow", {"library": "tensorflow"}),
    "torch": Peer(f"{_HERE}.limit", "PyTorch", {"library": "torch"}, TORCH),
    "jax": Peer(f"{_HERE}.limit", "JAX", {"library": "jax"}, JAX),
}
INPUTS = {
    "ours": Peer(f"{_HERE}.input_alone", "ours"),
    "tf.data": Peer(f"{_HERE}.input_alone", "tf.data, slices and a shuffle buffer", {"tutorial": True}),
}


def find_peer(name: str) -> Peer:
    """A peer by name; "ours:PLAN" is ours with another plan than "auto".

    Raises:
      ValueError: an unknown name.
    """
    if name in PEERS:
        return PEERS[name]
    base, _, plan = name.partition(":")
    if base in ("ours", "ours_bf16") and plan:
        import_tensorflow()
        from trainers.speed.plan import NAMES

        if plan in NAMES:
            peer = PEERS[base]
            return dataclasses.replace(peer, label=f"{peer.label}, {plan}", arguments={**peer.arguments, "plan": plan})
        raise ValueError(f"unknown plan {plan!r} in peer {name!r}. Accepted: {', '.join(NAMES)}")
    raise ValueError(f"unknown peer {name!r}. Accepted: {', '.join(PEERS)}, ours:PLAN")

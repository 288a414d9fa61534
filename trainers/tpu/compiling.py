"""Compile a program with the TPU's compiler (libtpu), in a process of its own: libtpu may abort the one it is in.

Run as a program, this is that process: it reads a job from stdin and writes what was found to the file that the job names.
It uses private modules of jax and jaxlib, whose versions setup.cfg pins.
"""

import base64
import hashlib
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trainers
from trainers.files import read_json, write_json
from trainers.tpu.chips import CHIPS, Chip

INSTALL = "pip install 'keras-modelzoo[preflight]' (in a clone: pip install -e '.[preflight]')"
_HERE = "trainers.tpu.compiling"


class TooSlow(TimeoutError):
    """A compile that exceeded its time limit."""


def check_installed() -> None:
    """ImportError with the command that installs what is absent."""
    absent = [name for name in ("jax", "jaxlib", "libtpu") if not _version(name)]
    if absent:
        raise ImportError(f"preflight needs {', '.join(absent)}: {INSTALL}")


def compile_for(kind: str, job: dict, *, timeout_s: float, module: str = _HERE) -> dict:
    """What the compiler says of a job, from the cache where it has said it before.

    Args:
      kind: of the chip.
      job: "key" stands for all of it, None for what is not to be kept; the rest is the child's. See `program_job`.
      timeout_s: for this compile.
      module: whose `compile_job` the child calls.

    Returns:
      {"ok": True, "memory": bytes by name, "seconds"} or {"ok": False, "error": ..., "seconds"}.

    Raises:
      TooSlow: after `timeout_s`.
    """
    path = job["key"] and _cached(kind, job["key"])
    if path and path.is_file():
        return {**read_json(path), "cached": True}
    found = _in_a_child(CHIPS[kind], {**job, "module": module}, timeout_s)
    if found.pop("lasting", True) and path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    return {**found, "cached": False}


def program_job(hlo: bytes, aliases: list[tuple[int, int]], key: str) -> dict:
    """A job for this module's own child."""
    return {"hlo": base64.b64encode(hlo).decode(), "aliases": aliases, "key": key}


def _cached(kind: str, key: str) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    versions = [_version(name) for name in ("jax", "jaxlib", "libtpu")]
    name = hashlib.sha256(json.dumps([kind, key, versions]).encode()).hexdigest()
    return folder / "modelzoo" / "preflight" / f"{name[:32]}.json"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _in_a_child(chip: Chip, job: dict, timeout_s: float) -> dict:
    environment = {
        **os.environ,
        "TPU_LOAD_LIBRARY": "1",  # TensorFlow in this process was told not to (tpu_host.py)
        "PYTHONPATH": os.pathsep.join([str(Path(trainers.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]),
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": chip.accelerator,
        "TPU_WORKER_HOSTNAMES": "localhost",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "TPU_LOG_DIR": "disabled",
    }
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "found.json"
        job = {**job, "topology": chip.topology, "options": chip.options, "result": str(result)}
        try:
            child = subprocess.run(
                [sys.executable, "-m", _HERE], input=json.dumps(job), env=environment, text=True, capture_output=True,
                timeout=timeout_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise TooSlow(f"the compiler did not end within {timeout_s:g} s; --timeout_s gives it more") from None
        seconds = round(time.monotonic() - began, 1)
        if result.is_file():
            return {**read_json(result), "seconds": seconds}
    return {"ok": False, "lasting": False, "seconds": seconds, "error": _crashed(child)}


def _crashed(child: subprocess.CompletedProcess) -> str:
    how = f"exit code {child.returncode}"
    if child.returncode < 0:
        how = f"signal {signal.Signals(-child.returncode).name}"
    lines = [line for line in child.stderr.splitlines() if line.strip() and not re.match(r"[IW]\d{4} ", line)]
    return f"the compiler's process ended with {how}: {' | '.join(lines[-3:])[-500:]}"


def main() -> None:
    job = json.load(sys.stdin)
    compile_job = importlib.import_module(job["module"]).compile_job
    try:
        found = {"ok": True, "memory": compile_job(job)}
    except (ImportError, AttributeError) as error:
        found = {"ok": False, "lasting": False, "error": f"this jax ({_version('jax')}) has other inner modules: {error}"}
    except Exception as error:  # the compiler's no, in whatever class it comes
        lasting = not str(error).startswith(("FAILED_PRECONDITION", "UNAVAILABLE"))  # these speak of this machine
        found = {"ok": False, "lasting": lasting, "error": str(error)}
    write_json(Path(job["result"]), found)


def compile_job(job: dict) -> dict[str, int]:
    """In the child: bytes by name, of the compiled program."""
    import numpy
    from jax._src import compiler
    from jax._src.lib import _jax
    from jax.experimental import topologies

    topology = topologies.get_topology_desc(platform="tpu", topology_name=job["topology"], **job["options"])
    devices = topology.devices[:1]
    options = compiler.get_compile_options(num_replicas=1, num_partitions=1, device_assignment=numpy.array([[devices[0].id]]))
    module = _stablehlo(base64.b64decode(job["hlo"]), job["aliases"])
    executable = devices[0].client.compile(module, executable_devices=_jax.DeviceList(tuple(devices)), compile_options=options)
    return memory_of(executable.get_compiled_memory_stats())


def memory_of(stats) -> dict[str, int]:
    """By name, in bytes."""
    kinds = {"arguments": "argument", "outputs": "output", "aliased": "alias", "temporaries": "temp", "code": "generated_code"}
    return {name: getattr(stats, f"{kind}_size_in_bytes") for name, kind in kinds.items()}


def _stablehlo(hlo: bytes, aliases: list[tuple[int, int]]):
    """HLO -> StableHLO, in which outputs take the places of inputs as the optimizer's update does."""
    from jax._src.interpreters import mlir
    from jax._src.lib import _jax
    from jaxlib.mlir import ir

    bytecode = _jax.mlir.hlo_to_stablehlo(hlo)
    with mlir.make_ir_context():
        module, copies = ir.Module.parse(bytecode), []

        def visit(op):
            if op.name == "mhlo.copy":  # TensorFlow's, of inputs that are passed on; it has no StableHLO form
                op.results[0].replace_all_uses_with(op.operands[0])
                copies.append(op)
            return ir.WalkResult.ADVANCE

        module.operation.walk(visit)
        for op in copies:
            op.erase()
        function = next(op for op in module.body.operations if op.name.value == "main")
        attributes = [{} for _ in function.arguments]
        for argument, output in aliases:
            if function.arguments[argument].type == function.type.results[output]:
                number = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), output)
                attributes[argument] = {"tf.aliasing_output": number}
        function.arg_attrs = ir.ArrayAttr.get([ir.DictAttr.get(each) for each in attributes])
        module.operation.verify()
        return module


if __name__ == "__main__":
    main()

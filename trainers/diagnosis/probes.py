"""Small programs that try one thing each, in a process of their own with a time limit: a wrong libtpu aborts the process."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

PROGRAMS = {
    "tensorflow": """
import tensorflow as tf
devices = {}
for kind in ("CPU", "GPU"):
    seen = tf.config.list_physical_devices(kind)
    devices[kind] = [tf.config.experimental.get_device_details(d).get("device_name", d.name) for d in seen]
found = {"version": tf.__version__, "devices": devices}
""",
    "xla": """
import tensorflow as tf
x = tf.ones((64, 64))
product = tf.function(lambda: tf.matmul(x, x), jit_compile=True)()
found = {"sum": float(tf.reduce_sum(product))}
""",
    "tpu": """
import os
import tensorflow as tf
resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
if os.environ.get("TPU_NAME", "local") != "local":
    tf.config.experimental_connect_to_cluster(resolver)
tf.tpu.experimental.initialize_tpu_system(resolver)
found = {"devices": [d.name for d in tf.config.list_logical_devices("TPU")]}
""",
}
_MARK = "found by the doctor: "


@dataclasses.dataclass(frozen=True)
class Probe:
    """How a program ended: `found` if it got to its end, else `fault`, one line."""

    found: dict | None = None
    fault: str | None = None
    in_time: bool = True


def probe(name: str, seconds: float) -> Probe:
    """Run one of PROGRAMS with this Python."""
    program = f"{PROGRAMS[name]}\nimport json; print({_MARK!r} + json.dumps(found), flush=True)\n"
    # A session of its own, so that what a library has started ends with it.
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}, start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return Probe(fault=f"no answer within {seconds:g} s", in_time=False)
    answers = [line.removeprefix(_MARK) for line in output.splitlines() if line.startswith(_MARK)]
    if answers:
        return Probe(found=json.loads(answers[-1]))
    return Probe(fault=f"{_ending(child.returncode)}: {_last_line(errors)}"[:300])


def _ending(code: int) -> str:
    return f"ended with {code}" if code >= 0 else f"aborted by {signal.Signals(-code).name}"


def _last_line(errors: str) -> str:
    """The Python error, or else the last line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    named = [line for line in lines if line.split(":")[0].split(".")[-1].endswith(("Error", "Exception"))]
    return (named or lines or ["nothing said"])[-1]

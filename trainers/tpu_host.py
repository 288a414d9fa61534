"""What of a TPU this machine has, and what TensorFlow must find in the environment before it is imported.

Standard library alone, so that `trainers.doctor` can ask too.
"""

import importlib.util
import os
import re
import socket
from pathlib import Path

GOOGLE = "0x1ae0"  # PCI vendor
# PCI device -> chip; the numbers are those of jax._src.hardware_utils.
CHIPS = {"0x0027": "v3", "0x005e": "v4", "0x0062": "v5p", "0x0063": "v5e", "0x006f": "v6e", "0x0076": "tpu7x"}
# TensorFlow reaches these through PJRT alone; v2 to v4 by the older way, which is its default.
_PJRT = {"v5p", "v5e", "v6e", "tpu7x"}


def local_chips(pci: Path = Path("/sys/bus/pci/devices")) -> list[str]:
    """The TPU chips on this machine's bus, by name. Nothing is opened, so it may be asked while a TPU is in use."""
    found = [(_read(device / "vendor"), _read(device / "device")) for device in sorted(pci.glob("*"))]
    return [CHIPS[device] for vendor, device in found if vendor == GOOGLE and device in CHIPS]


def tpu_expected(chips: list[str] | None = None) -> bool:
    """Whether this is a TPU machine: chips are seen, or its maker has named them in the environment (GKE, Colab)."""
    return bool(local_chips() if chips is None else chips) or "TPU_ACCELERATOR_TYPE" in os.environ


def check_tpu(tpu: str) -> None:
    """Whether there can be such a TPU, asked before TensorFlow, which waits minutes for one that is not there.

    Raises:
      ValueError: no chip here, or nothing answers at the address.
    """
    if tpu == "local" and not tpu_expected():
        raise ValueError(
            "strategy 'tpu' needs a TPU on this machine. Found: no TPU chip. Accepted here: auto, cpu, cpu:N, or a TPU "
            "elsewhere with --tpu=NAME or --tpu=grpc://HOST:8470; python -m trainers.doctor says more"
        )
    if tpu.startswith("grpc://"):
        parts = re.fullmatch(r"grpc://(\[[^\]]+\]|[^:/\s]+):(\d+)", tpu)
        if not parts:
            raise ValueError(f"a TPU's address is grpc://HOST:PORT. Received: {tpu!r}")
        try:
            socket.create_connection((parts[1].strip("[]"), int(parts[2])), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise ValueError(f"no TPU answers at {tpu}: {error}") from error
    elif tpu != "local" and not {"KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_CONFIG"} & os.environ.keys():
        server = os.environ.get("GCE_METADATA_HOST") or os.environ.get("GCE_METADATA_IP") or "metadata.google.internal"
        host, _, port = server.partition(":")
        try:
            socket.create_connection((host, int(port or 80)), timeout=2).close()
        except (OSError, ValueError, OverflowError) as error:
            raise ValueError(
                f"TPU {tpu!r} cannot be looked up: only Google's metadata server knows its project and zone, and {server} does "
                f"not answer ({error}). Accepted here: --tpu=grpc://HOST:8470"
            ) from error


def prepare_environment(tpu: str = "local", chips: list[str] | None = None) -> None:
    """Set what is not yet set. Without libtpu nothing, since nothing would read it.

    Args:
      tpu: "local", or a TPU elsewhere by name or address.
      chips: what this machine has; None to look.
    """
    library = importlib.util.find_spec("libtpu")
    if library is None:
        return
    chips = local_chips() if chips is None else chips
    if not tpu_expected(chips):
        # Importing TensorFlow loads libtpu, which asks Google's metadata server 30 times for each of its variables: minutes.
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
        os.environ.setdefault("TPU_LOAD_LIBRARY", "0")
    elif tpu == "local" and set(chips) & _PJRT:
        # Only where there is a chip: without one, TensorFlow 2.20 ends in a segmentation fault when told to use PJRT.
        os.environ.setdefault("PJRT_DEVICE", "TPU")
        os.environ.setdefault("NEXT_PLUGGABLE_DEVICE_USE_C_API", "true")
        os.environ.setdefault("TF_PLUGGABLE_DEVICE_LIBRARY_PATH", str(Path(library.origin).with_name("libtpu.so")))
    if tpu != "local":
        os.environ.setdefault("TPU_LOAD_LIBRARY", "0")  # or this machine's own chips are taken by the coordinator


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""

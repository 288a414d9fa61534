"""TPUs by name: their published peaks, and what the compiler needs to hear."""

import dataclasses
import re


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One kind of TPU. Peaks are the vendor's, of a chip: https://docs.cloud.google.com/tpu/docs/v5e and its sisters.

    Attributes:
      tera_flops: peak of bfloat16 products with float32 sums, 10^12 operations a second.
      hbm_gib, hbm_gb_per_second: memory and its bandwidth.
      usable_gib: what the compiler (libtpu 0.0.52) lets one device's program use, as its "exceeds available HBM" says.
      devices: per chip, as programs see them, each with its share of the memory and of the peaks.
      counted: what a name's number counts for each chip ("v3-8" has 8 cores, 4 chips).
      sizes: the numbers that there are: smallest and largest.
      topology, accelerator, options: of its smallest host, for the compiler.
    """

    tera_flops: float
    hbm_gib: float
    hbm_gb_per_second: float
    usable_gib: float
    devices: int = 1
    counted: int = 1
    sizes: tuple[int, int]
    topology: str
    accelerator: str
    options: dict = dataclasses.field(default_factory=dict)


CHIPS = {
    "v2": Chip(
        tera_flops=46, hbm_gib=16, hbm_gb_per_second=700, usable_gib=7.48, devices=2, counted=2, sizes=(8, 512),
        topology="v2:2x2", accelerator="v2-8",
    ),
    "v3": Chip(
        tera_flops=123, hbm_gib=32, hbm_gb_per_second=900, usable_gib=15.48, devices=2, counted=2, sizes=(8, 2048),
        topology="v3:2x2", accelerator="v3-8",
    ),
    "v4": Chip(
        tera_flops=275, hbm_gib=32, hbm_gb_per_second=1200, usable_gib=30.75, counted=2, sizes=(8, 8192),
        topology="v4:2x2x1", accelerator="v4-8", options={"chip_config_name": "megacore"},
    ),
    "v5e": Chip(
        tera_flops=197, hbm_gib=16, hbm_gb_per_second=819, usable_gib=15.75, sizes=(1, 256),
        topology="v5e:2x2", accelerator="v5litepod-4",
    ),
    "v5p": Chip(
        tera_flops=459, hbm_gib=95, hbm_gb_per_second=2765, usable_gib=95.73, counted=2, sizes=(8, 12288),
        topology="v5p:2x2x1", accelerator="v5p-8",
    ),
    "v6e": Chip(
        tera_flops=918, hbm_gib=32, hbm_gb_per_second=1638, usable_gib=31.24, sizes=(1, 256),
        topology="v6e:2x2", accelerator="v6e-4",
    ),
    # Google's page says that TensorFlow does not support it; for models that will be trained elsewhere.
    "tpu7x": Chip(
        tera_flops=2307, hbm_gib=192, hbm_gb_per_second=7380, usable_gib=94.74, devices=2, counted=2, sizes=(8, 18432),
        topology="tpu7x:2x2x1", accelerator="tpu7x-8",
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Slice:
    """So many devices of one kind, each of which holds a replica.

    Attributes:
      name: as it was asked for, "v5e-4".
      replicas: devices; chips, or cores where a chip shows two devices.
    """

    name: str
    kind: str
    replicas: int

    @property
    def chip(self) -> Chip:
        return CHIPS[self.kind]

    @property
    def device(self) -> str:
        """What a replica is on."""
        return "chip" if self.chip.devices == 1 else "core"

    @property
    def flops_per_second(self) -> float:
        """Peak of one device."""
        return self.chip.tera_flops * 1e12 / self.chip.devices

    @property
    def bytes_per_second(self) -> float:
        """Peak of one device's memory."""
        return self.chip.hbm_gb_per_second * 1e9 / self.chip.devices

    def batch(self, batch_size: int) -> int:
        """Examples of a global batch on one device.

        Raises:
          ValueError: they do not divide.
        """
        if batch_size % self.replicas:
            fits = batch_size // self.replicas * self.replicas or self.replicas
            raise ValueError(
                f"batch_size must be a multiple of the {self.replicas} {self.device}s of {self.name}. Received: {batch_size}; "
                f"--config.batch_size={fits} would do"
            )
        return batch_size // self.replicas


def parse_tpu(name: str) -> Slice:
    """A slice from "v5e-4" or "v5litepod-4": the number is Google's, of cores in v2, v3, v4, v5p and tpu7x, else of chips.

    Raises:
      ValueError: no such kind, or none of this size.
    """
    found = re.fullmatch(r"(\w+?)-(\d+)", name.replace("v5litepod", "v5e"))
    if not found or found[1] not in CHIPS:
        raise ValueError(f"unknown TPU {name!r}. Accepted: {', '.join(f'{k}-N' for k in CHIPS)}, such as v5e-4")
    kind, number = found[1], int(found[2])
    chip = CHIPS[kind]
    smallest, largest = chip.sizes
    if not smallest <= number <= largest or number % chip.counted:
        raise ValueError(f"there is no {name}: the number is from {smallest} to {largest}. Received: {number}")
    return Slice(name, kind, number // chip.counted * chip.devices)

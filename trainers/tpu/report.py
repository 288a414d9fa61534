"""A finding in words, for people."""

from trainers.tpu.check import GIB, Finding
from trainers.tpu.largest import MOST_EXAMPLES, Largest

_PADDED_SHOWN = 3


def flops(finding: Finding) -> int | None:
    """Of a step on one device, counted from the model: 2 a multiply-add, forward once and backward twice; None if it is not
    known.
    """
    step = finding.step
    return None if step.multiply_adds is None else 2 * 3 * step.multiply_adds * step.batch


def least_seconds(finding: Finding) -> dict[str, float]:
    """What a step on one device cannot be faster than, by reason: the peaks of compute, and of memory for reading and
    writing the state once and reading the batch.
    """
    held, where = finding.step.bytes, finding.slice
    moved = 2 * (held["parameters"] + held["optimizer"]) + held["batch"]
    return {"compute": (flops(finding) or 0) / where.flops_per_second, "memory": moved / where.bytes_per_second}


def report(finding: Finding, largest: Largest | None) -> str:
    """All of it, a fact a line."""
    where, step = finding.slice, finding.step
    device = where.device
    how = "the cache's answer, " if finding.cached else ""
    head = "compiles" if finding.fits else "does not fit" if finding.wanted else "does not compile"
    many = f"{where.replicas} {device}{'s' if where.replicas > 1 else ''}"
    lines = [f"{where.name}: {head} ({many}, {step.batch:,} examples on each; {how}{finding.seconds:g} s)"]
    facts = {"HBM": _hbm(finding), "largest batch": _largest(largest, device), "tiles": _tiles(finding)}
    facts["all-reduce"] = (
        f"{_bytes(step.bytes['gradients'])} of gradients a step over {many} (from their shapes, not from the compiler)"
        if where.replicas > 1
        else f"none on one {device}"
    )
    facts["work"] = _work(finding)
    facts["bound"] = _bound(finding)
    return "\n".join(lines + [f"  {name:<14} {text}" for name, text in facts.items() if text])


def _hbm(finding: Finding) -> str:
    usable, device = finding.slice.chip.usable_gib, finding.slice.device
    if finding.error and finding.wanted is None:
        return finding.error
    held = finding.step.bytes
    shapes = ", ".join(f"{name} {_gib(held[name])}" for name in ("parameters", "optimizer", "batch"))
    wanted = f"{_gib(finding.wanted)} of {usable} GiB"
    if finding.error:
        return f"wanted {wanted} available on a {device}: {shapes} (from shapes); the rest is temporaries"
    temporaries = finding.memory["temporaries"]
    rest = max(finding.wanted - temporaries - sum(held[name] for name in ("parameters", "optimizer", "batch")), 0)
    return (
        f"{wanted} on a {device}: {shapes} (from shapes), temporaries {_gib(temporaries)}, code and padding {_gib(rest)} "
        "(the compiler's)"
    )


def _largest(largest: Largest | None, device: str) -> str | None:
    if largest is None:
        return None
    end = "; the time for it was over" if largest.ended else ""
    if largest.fits is None:
        return f"none found on a {device}" + (f": {largest.too_many:,} is too many" if largest.too_many else "") + end
    if largest.too_many:
        return f"{largest.fits:,} examples on a {device} compile, {largest.too_many:,} do not{end}"
    more = "" if largest.ended or largest.fits < MOST_EXAMPLES * 0.9 else "; more was not tried"
    return f"{largest.fits:,} examples on a {device} compile{more}{end}"


def _tiles(finding: Finding) -> str:
    padded = finding.step.padded
    if not padded:
        return "each matrix is a multiple of the 8x128 tile"
    shown = [
        f"{m.name} {m.rows}x{m.columns} in {m.padded_to[0]}x{m.padded_to[1]} ({_share(m.waste)} padding)"
        for m in padded[:_PADDED_SHOWN]
    ]
    more = f", and {len(padded) - _PADDED_SHOWN} more" if len(padded) > _PADDED_SHOWN else ""
    return f"no multiple of 8x128: {', '.join(shown)}{more}"


def _work(finding: Finding) -> str:
    count = flops(finding)
    if count is None:
        return "unknown: the model does not say its multiply-adds"
    step = finding.step
    return (
        f"{count / 1e9:.3g} GFLOP a step on a {finding.slice.device}: 2 x 3 x {step.multiply_adds:,} multiply-adds x "
        f"{step.batch:,} examples, counted from the model"
    )


def _bound(finding: Finding) -> str:
    chip, least = finding.slice.chip, least_seconds(finding)
    reason = max(least, key=least.get)
    return (
        f"a step takes {_seconds(least[reason])} or more, by {reason}: compute {_seconds(least['compute'])} at "
        f"{chip.tera_flops:g} bfloat16 TFLOP/s a chip, memory {_seconds(least['memory'])} at {chip.hbm_gb_per_second:g} GB/s "
        "a chip (published peaks; a bound, no estimate)"
    )


def _gib(count: int) -> str:
    return f"{count / GIB:.3g}" if count else "0"


def _bytes(count: int) -> str:
    unit, name = next((u, n) for u, n in ((GIB, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "bytes")) if count >= u or u == 1)
    return f"{count / unit:.3g} {name}"


def _seconds(value: float) -> str:
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"


def _share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"

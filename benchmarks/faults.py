"""Kill a run again and again, start it again each time, and compare with a run that nothing happened to, bit by bit.

    python -m benchmarks.faults [--kills=50] [--signal=KILL|TERM] [--damages=0] [--workers=1] [--seed=0]

The run is small but complete: digits, a convolutional net with batch norm and dropout, shifted crops, Adam with a cosine
schedule, gradient accumulation, an average of the weights, evaluation, checkpoints every 10 steps. Half of the kills come at a
random time, half at a random operation on a file of the run's folder, so also while it saves. With --damages so many
checkpoint files are truncated, changed in a byte or removed between the restarts. With --workers=2 two local workers train, one
of which is killed. Compared are the last checkpoint (weights, optimizer, average), the best model and metrics.jsonl but for
times. 50 kills take about 6 minutes on 2 cores; exit code 1 if anything differs.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trainers.quiet import import_tensorflow

_LONGEST_RUN = 300.0  # seconds; a start that takes longer is taken for hanging
_FILE_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}


def fault_config():
    """The run that is killed: 135 steps, an evaluation every 27."""
    from trainers import Config

    return Config(
        data=dict(name="digits", augment=dict(crop=1)),
        model=dict(name="cnn", filters=(8,), pools=(2,), widths=(16,), batch_norm=True, dropout=0.1, dropout_dense=0.2),
        optimizer=dict(
            name="adam", learning_rate=2e-3, use_ema=True, schedule=dict(name="cosine", warmup_steps=10), global_clipnorm=1.0
        ),
        batch_size=48,
        accumulate=2,
        epochs=5,
    )


def train(workdir: Path, data_dir: str, starts: Path | None = None) -> None:
    """The run from where it is to its end; appends the step that it began at to `starts`."""
    from trainers import run
    from trainers.runs.checkpoint import Saving

    def note(event: str, learner) -> None:
        if event == "start" and starts:
            with starts.open("a") as file:
                file.write(f"{learner.progress.step}\n")
        elif event == "loop":
            time.sleep(0.02)  # so that there is something to be killed in

    run(fault_config(), workdir, strategy="cpu", data_dir=data_dir, saving=Saving(every_steps=10), hooks=[note])


def fork(function, *arguments, log: Path) -> int:
    """Run a function in a child, in which everything is imported and nothing computed; its process number."""
    child = os.fork()
    if child:
        return child
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 0
    try:
        function(*arguments)
    except KeyboardInterrupt as stop:
        code = getattr(stop, "exit_code", 130)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def ended(child: int, within: float) -> int | None:
    """The exit code of a child, negative for a signal; None if it still runs after so many seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def kill_at_file_event(folder: Path, number: int) -> None:
    """This process kills itself before the `number`-th operation on a file of the folder."""
    count, name = 0, str(folder)

    def audit(event: str, arguments: tuple) -> None:
        nonlocal count
        if event in _FILE_EVENTS and arguments and str(arguments[0]).startswith(name):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)


def train_until_file_event(workdir: Path, data_dir: str, starts: Path, number: int) -> None:
    kill_at_file_event(workdir, number)
    train(workdir, data_dir, starts)


def damage(checkpoints: Path, rng: random.Random) -> str | None:
    """Do harm to a random file of a random checkpoint; what was done. Not to one that holds the best weights of another:
    without them a run goes on, but to another best model.
    """
    needed = set()
    for path in checkpoints.glob("[0-9]*/progress.json"):
        with contextlib.suppress(ValueError):  # damaged already
            needed |= {json.loads(path.read_bytes())["best_weights_in"]} - {path.parent.name}
    files = sorted(p for p in checkpoints.glob("[0-9]*/*") if p.stat().st_size and p.parent.name not in needed)
    if not files:
        return None
    file, how = rng.choice(files), rng.choice(["truncated", "changed", "removed", "emptied folder"])
    content = bytearray(file.read_bytes())
    if how == "truncated":
        file.write_bytes(content[: rng.randrange(len(content))])
    elif how == "changed":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
    elif how == "removed":
        file.unlink()
    else:
        for each in file.parent.iterdir():
            each.unlink()
    return f"{file.parent.name}/{file.name} {how}"


def differences(whole: Path, other: Path) -> list[str]:
    """What two runs' folders differ in; times aside."""
    from safetensors.numpy import load_file

    from trainers.runs.checkpoint import newest_good

    found = []
    last = [newest_good(folder / "checkpoints") for folder in (whole, other)]
    if last[0].name != last[1].name:
        found.append(f"last step: {last[0].name} and {last[1].name}")
    states = [load_file(path / "state.safetensors") for path in last]
    found += [f"variables: {sorted(states[0].keys() ^ states[1].keys())}"] if states[0].keys() != states[1].keys() else []
    found += [name for name in states[0] if name in states[1] and states[0][name].tobytes() != states[1][name].tobytes()]
    lines = [_timeless(folder / "metrics.jsonl") for folder in (whole, other)]
    found += [f"metrics.jsonl: {a} and {b}" for a, b in zip(*lines, strict=False) if a != b]
    found += [f"metrics.jsonl: {len(lines[0])} and {len(lines[1])} lines"] if len(lines[0]) != len(lines[1]) else []
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (whole, other)]
    for key in ("test", "best", "steps"):
        if summaries[0][key] != summaries[1][key]:
            found.append(f"summary.json {key}: {summaries[0][key]} and {summaries[1][key]}")
    return found


def _timeless(path: Path) -> list[dict]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "examples_per_second"} for record in records]


def torment(folder: Path, data_dir: str, *, kills: int, signal_name: str, damages: int, seed: int) -> dict:
    """Kill and start again until so many kills are done, over as many runs as that takes; each run is compared.

    Returns:
      {"kills", "runs", "restarts", "restarts_after_step_0", "damages", "differences": [...]}.
    """
    rng, log = random.Random(seed), folder / "log.txt"
    began = time.monotonic()
    assert ended(fork(train, folder / "whole", data_dir, log=log), _LONGEST_RUN) == 0, log.read_text()[-3000:]
    seconds = time.monotonic() - began
    result = collections.Counter(kills=0, runs=0, restarts=0, restarts_after_step_0=0, damages=0)
    found = []
    while result["kills"] < kills or result["damages"] < damages:
        workdir, starts = folder / f"killed{result['runs']}", folder / f"starts{result['runs']}"
        starts.touch()
        code = None
        while code != 0:
            enough = result["kills"] >= kills and result["damages"] >= damages
            if not enough and signal_name == "KILL" and rng.random() < 0.5:
                child = fork(train_until_file_event, workdir, data_dir, starts, rng.randrange(1, 60), log=log)
                code = ended(child, _LONGEST_RUN)
            else:
                child = fork(train, workdir, data_dir, starts, log=log)
                code = ended(child, _LONGEST_RUN if enough else rng.uniform(0.3, 1.0) * seconds)
                if code is None and not enough:
                    os.kill(child, getattr(signal, f"SIG{signal_name}"))
                    code = ended(child, _LONGEST_RUN)
            if code is None:
                os.kill(child, signal.SIGKILL)
                return {**result, "differences": [f"a start hung for {_LONGEST_RUN:.0f} s"]}
            number = getattr(signal, f"SIG{signal_name}")
            if code not in (0, -number, 128 + number):
                return {**result, "differences": [f"exit code {code}: {log.read_text()[-2000:]}"]}
            if code:
                result["kills"] += 1
                result["restarts"] += 1
            unfinished = code and not (workdir / "summary.json").exists()
            for _ in range(rng.randint(1, 3) if unfinished and result["damages"] < damages else 0):
                result["damages"] += damage(workdir / "checkpoints", rng) is not None
        result["runs"] += 1
        result["restarts_after_step_0"] += sum(int(line) > 0 for line in starts.read_text().split())
        found += [f"run {result['runs']}: {each}" for each in differences(folder / "whole", workdir)]
        shutil.rmtree(workdir)
    return {**result, "differences": found}


def workers_config():
    """The same run, but long enough to be found training."""
    config = fault_config()
    config.epochs = 30
    return config


def torment_workers(folder: Path, data_dir: str, *, workers: int, kills: int, seed: int) -> dict:
    """The same with local workers, of which a random one is killed some time after the first new checkpoint."""
    rng, result = random.Random(seed), collections.Counter(kills=0, runs=0, restarts_after_step_0=0)
    own = folder / "config.py"
    own.write_text("from benchmarks.faults import workers_config as get_config\n")
    found, log = [], folder / "workers.txt"

    def start(name: str) -> subprocess.Popen:
        flags = [f"--config={own}", f"--workdir={folder / name}", f"--data_dir={data_dir}", "--save_every_steps=10"]
        command = [sys.executable, "-m", "trainers.launch", f"--workers={workers}", "--", *flags]
        with log.open("wb") as file:
            return subprocess.Popen(command, stdout=file, stderr=file)

    if start("whole").wait(timeout=_LONGEST_RUN):
        return {**result, "differences": [log.read_text()[-2000:]]}
    while result["kills"] < kills:
        name, code = f"killed{result['runs']}", None
        while code != 0:
            before = {path.name for path in (folder / name / "checkpoints").glob("[0-9]*")}
            process = start(name)
            until = time.monotonic() + _LONGEST_RUN
            while process.poll() is None and not {p.name for p in (folder / name / "checkpoints").glob("[0-9]*")} - before:
                time.sleep(0.02)
                if time.monotonic() > until:
                    return {**result, "differences": [f"no checkpoint in {_LONGEST_RUN:.0f} s: {log.read_text()[-2000:]}"]}
            if result["kills"] < kills:
                time.sleep(rng.uniform(0, 1))
                children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
                if children and process.poll() is None:
                    os.kill(int(rng.choice(children)), signal.SIGKILL)
                    result["kills"] += 1
            killed_at = time.monotonic()
            code = process.wait(timeout=_LONGEST_RUN)
            if code:
                seconds = round(time.monotonic() - killed_at, 1)
                result["most_seconds_until_all_ended"] = max(result["most_seconds_until_all_ended"], seconds)
            step = log.read_text().partition("going on from step ")[2].partition("\n")[0]
            result["restarts_after_step_0"] += bool(step) and int(step) > 0
        result["runs"] += 1
        found += differences(folder / "whole", folder / name)
    return {**result, "differences": found}


def prepare_data(data_dir: str) -> None:
    """In a child, since the parent must not compute before it forks."""
    from trainers.data.pipeline import load_data

    load_data({"name": "digits"}, data_dir=data_dir)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--damages", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    import_tensorflow()
    import tensorflow_datasets  # noqa: F401

    import trainers.runs.run  # noqa: F401

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir = str(folder / "data")
        assert ended(fork(prepare_data, data_dir, log=folder / "log.txt"), _LONGEST_RUN) == 0, (folder / "log.txt").read_text()
        if given.workers > 1:
            result = torment_workers(folder, data_dir, workers=given.workers, kills=given.kills, seed=given.seed)
        else:
            result = torment(
                folder, data_dir, kills=given.kills, signal_name=given.signal, damages=given.damages, seed=given.seed
            )
    for key, value in {**result, "seconds": round(time.monotonic() - began)}.items():
        if key != "differences":
            print(f"{key:<24} {value}")
    if not result["restarts_after_step_0"]:
        result["differences"] = [*result["differences"], "no restart began after step 0"]
    for each in result["differences"][:20]:
        print(f"DIFFERENT: {each}")
    print("equal to the bit" if not result["differences"] else f"{len(result['differences'])} differences")
    return 1 if result["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())

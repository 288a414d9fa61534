"""The binaries as a user meets them: what they print, their exit codes, and one line for each thing that is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
TESTS = Path(__file__).parent
FAST = ["--config=digits_mlp", "--config.epochs=None", "--config.steps=20", "--config.eval_every_steps=10"]


def call(calls: list[list[str]], folder: Path, **environment: str) -> list[dict]:
    """Each [module, *arguments], one after the other, in `folder`."""
    known = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}", **environment}
    server = [sys.executable, str(TESTS / "entry_point_server.py")]
    result = subprocess.run(server, input=json.dumps(calls), capture_output=True, text=True, cwd=folder, env=known)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data_dir) -> Path:
    """Files that the calls below name."""
    folder, rng = tmp_path_factory.mktemp("entry_points"), np.random.default_rng(0)
    rows = [f"{a:.3f},{'xy'[i % 2]},{'no' if a < 0.5 else 'yes'}" for i, a in enumerate(rng.random(80))]
    table = "number,letter,answer\n" + "\n".join(rows) + "\n"
    (folder / "good.csv").write_text(table)
    (folder / "ragged.csv").write_text(table + "1,2\n")
    (folder / "latin.csv").write_bytes(table.replace("no", "nö").encode("latin-1"))
    (folder / "infinite.csv").write_text(table + "inf,x,no\n")
    (folder / "rare.csv").write_text(table + "0.5,x,perhaps\n")
    (folder / "texts.tsv").write_text(
        "text\tlabel\n" + "\n".join(f"a {w} film number {i}\t{w}" for i in range(30) for w in ("fine", "dull"))
    )
    (folder / "empty").mkdir()
    for kind, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        for place in ("photos", "broken"):
            (folder / place / kind).mkdir(parents=True)
            for i in range(12):
                Image.new("RGB", (8, 8), colour).save(folder / place / kind / f"{i}.png")
    (folder / "broken" / "red" / "3.png").write_text("no image")
    np.savez(folder / "labels.npz", x=rng.random((10, 3)), y=np.array([0, 1] * 5))
    (folder / "own.py").write_text(
        "import numpy as np\nfrom trainers.data.spec import Source, Split\n"
        "def labels():\n    x = np.zeros((8, 3), 'float32')\n    y = np.array([0, 1, 2, 5] * 2)\n"
        "    return Source({'train': Split(x, y), 'test': Split(x, y)}, class_names=('a', 'b', 'c'))\n"
    )
    return folder


@pytest.fixture(scope="module")
def digits(folder, data_dir) -> list[dict]:
    """A digits run, evaluated, used, and started again."""
    place = ["--workdir=run", f"--data_dir={data_dir}"]
    pixels = (np.arange(64).reshape(8, 8) * 3).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "digit.png")
    train = ["trainers.train", *FAST, *place]
    return call(
        [train, ["trainers.evaluate", *place], ["trainers.predict", "--workdir=run", "digit.png", "digit.png"], train], folder
    )


def test_training_prints_progress_and_a_report(digits, folder):
    trained = digits[0]
    assert trained["code"] == 0, trained["err"]
    for part in (
        "1,293 train, 144 validation, 360 test examples",
        "plan: xla_resident (on a CPU",
        "training for 20 steps, 41 an epoch",
    ):
        assert part in trained["err"]
    for part in (
        "train: loss",
        "validation: loss",
        "examples/s",
        "precision    recall  f1-score",
        "test: loss",
        "always 4: accuracy 0.1000",
    ):
        assert part in trained["out"]
    assert json.loads((folder / "run" / "summary.json").read_text())["steps"] == 20


def test_evaluating_prints_the_same_figures(digits, folder):
    summary, evaluated = json.loads((folder / "run" / "summary.json").read_text()), digits[1]
    assert evaluated["code"] == 0
    printed = dict(line.split() for line in evaluated["out"].splitlines()[: len(summary["test"])])
    assert printed == {name: f"{value:.4f}" for name, value in summary["test"].items()}
    assert (folder / "run" / "report.txt").read_text() in evaluated["out"]


def test_predicting_prints_a_class_and_its_probability(digits):
    lines = [line.split("\t") for line in digits[2]["out"].splitlines()]
    assert [line[0] for line in lines] == ["digit.png"] * 2
    assert all(line[1] in "0123456789" and 0.1 < float(line[2]) <= 1 for line in lines)


def test_a_finished_run_says_so(digits):
    assert (digits[3]["code"], digits[3]["out"]) == (0, "")
    assert "the run in run is finished; nothing to do" in digits[3]["err"]


def test_ones_own_files_in_one_line(folder):
    """A table, an image folder, texts: trained, and used for predictions with class names."""
    short = ["--config.epochs=3"]
    (folder / "new.txt").write_text("a dull film\n")
    found = call(
        [
            ["trainers.train", "--data=good.csv", "--target=answer", "--workdir=table", *short],
            ["trainers.predict", "--workdir=table", "good.csv"],
            ["trainers.train", "--data=photos", "--workdir=images", *short],
            ["trainers.predict", "--workdir=images", "photos/red/1.png"],
            ["trainers.train", "--data=texts.tsv", "--target=label", "--workdir=texts", *short],
            ["trainers.predict", "--workdir=texts", "new.txt"],
            ["trainers.evaluate", "--workdir=table", "--data=good.csv"],
            ["trainers.train", "--config=table/config.json", "--workdir=again"],
        ],
        folder,
    )
    assert [result["code"] for result in found] == [0] * 8, [r["err"] for r in found if r["code"]]
    assert "target 'answer': 2 classes" in found[0]["err"]
    assert "always " in found[0]["out"]
    lines = [line.split("\t") for line in found[1]["out"].splitlines()]
    assert [line[:2] for line in lines] == [["good.csv", str(i)] for i in range(1, 81)]
    assert {line[2] for line in lines} <= {"yes", "no"}
    assert "images: 24 of 2 classes" in found[2]["err"]
    assert found[3]["out"].split("\t")[1] in ("red", "blue")
    assert "texts: column 'text'" in found[4]["err"]
    assert found[5]["out"].split("\t")[1] in ("fine", "dull")
    assert found[6]["out"].startswith("loss ")
    tests = [json.loads((folder / name / "summary.json").read_text())["test"] for name in ("table", "again")]
    assert tests[0] == tests[1], "the config that was written is the same run"


DIGITS = ["trainers.train", "--config=digits_mlp"]
CSV = ["trainers.train", "--config=csv_mlp", "--config.data.target=answer"]
BAD = {
    "no config": (["trainers.train"], "give either --config or --data"),
    "unknown config": (
        ["trainers.train", "--config=digit_mlp"],
        "no config 'digit_mlp': neither a file nor a name. Nearest: digits_mlp",
    ),
    "unknown flag": ([*DIGITS, "--work=x"], "Unknown command line flag 'work'"),
    "stray argument": ([*DIGITS, "now"], "train takes flags alone. Received: now"),
    "unknown model": ([*DIGITS, "--config.model.name=mpl"], "unknown model 'mpl'. Nearest: mlp"),
    "misspelled argument": (
        [*DIGITS, "--config.model.widht=3"],
        "model 'mlp': got an unexpected keyword argument 'widht'. It is mlp(",
    ),
    "unknown field": ([*DIGITS, "--config.batchsize=3"], "unknown config field 'batchsize'. Nearest: batch_size"),
    "wrong type": ([*DIGITS, "--config.batch_size=many"], "config.batch_size is 32 and must stay int. Received: 'many'"),
    "zero": ([*DIGITS, "--config.batch_size=0"], "config.batch_size must be positive. Received: 0"),
    "negative": ([*DIGITS, "--config.epochs=-1"], "config.epochs must be positive. Received: -1"),
    "zero width": ([*DIGITS, "--config.model.widths=(0,)"], "`units`"),
    "unknown data": ([*DIGITS, "--config.data.name=digitz"], "unknown data set 'digitz'. Nearest: digits"),
    "not prepared": ([*DIGITS, "--config.data.name=kmnist"], "data set 'kmnist' is not prepared in"),
    "no such split": ([*DIGITS, "--config.data.test=exam"], "data set 'digits' has no split 'exam'. It has: train, test"),
    "empty split": ([*DIGITS, "--config.data.test=test[:0]"], "split 'test[:0]' of data set 'digits' is empty"),
    "labels outside": (
        [*DIGITS, "--config.data.name=own:labels"],
        "y of split 'train': labels must be 0 to 2. Received: 5 in example 3",
    ),
    "rare class": ([*CSV, "--config.data.path=rare.csv"], "each class needs two examples or more. Received: one of 'perhaps'"),
    "infinity": ([*CSV, "--config.data.path=infinite.csv"], "column 'number' must be finite. Received: inf"),
    "no target": (
        [*CSV, "--config.data.path=good.csv", "--config.data.target=price"],
        "good.csv has no column 'price'. It has: number, letter, answer",
    ),
    "ragged": ([*CSV, "--config.data.path=ragged.csv"], "ragged.csv, line 82: 2 cells, where the first row has 3"),
    "encoding": ([*CSV, "--config.data.path=latin.csv"], "latin.csv is not utf-8 text"),
    "no file": ([*CSV, "--config.data.path=absent.csv"], "no such file or folder: absent.csv"),
    "no images": (["trainers.train", "--data=empty"], "empty has no images"),
    "unreadable image": (["trainers.train", "--data=broken"], "3.png is no image that can be read"),
    "own file without target": (
        ["trainers.train", "--data=good.csv"],
        "give --target, the column to predict. good.csv has: number, letter, answer",
    ),
    "shape": (
        [*DIGITS, "--config.model.input_shape=(28, 28, 1)"],
        "model.input_shape must be (8, 8, 1) for this data. Received: (28, 28, 1)",
    ),
    "vectors for a convolution": (
        [*DIGITS, "--config.data.name=breast_cancer", "--config.model.name=lenet5"],
        "images have the input_shape",
    ),
    "uneven batch": ([*DIGITS, "--config.batch_size=33", "--strategy=cpu:2"], "batch_size must be a multiple of 2"),
    "no such device": (
        [*DIGITS, "--strategy=gpu"],
        "strategy 'gpu' needs a GPU that TensorFlow sees. Found: none. Accepted here: auto, cpu, cpu:N",
    ),
    "no tpu": ([*DIGITS, "--strategy=tpu"], "strategy 'tpu' needs a TPU on this machine"),
    "unknown strategy": (
        [*DIGITS, "--strategy=cpuu"],
        "unknown strategy 'cpuu'. Accepted: auto, cpu, cpu:N, gpu, mirrored, multiworker, tpu, tpu:NAME",
    ),
    "cluster": ([*DIGITS, "--cluster=localhost"], "--cluster is host:port,host:port,... Received: 'localhost'"),
    "task": ([*DIGITS, "--cluster=localhost:1,localhost:2", "--task=2"], "--task must be 0 to 1, this process's place"),
    "no TF_CONFIG": ([*DIGITS, "--strategy=multiworker"], "strategy 'multiworker' needs TF_CONFIG"),
    "on_nan": ([*DIGITS, "--config.on_nan=ignore"], "unknown on_nan 'ignore'. Accepted: stop, rollback, continue"),
    "keep": ([*DIGITS, "--keep=0"], "checkpoints: keep must be positive. Received: 0"),
    "init_from": ([*DIGITS, "--init_from=nowhere"], "no such run or file: nowhere"),
    "unknown plan": ([*DIGITS, "--plan=fast"], "unknown plan 'fast'. Accepted: auto, measure, graph"),
    "unknown metric": ([*DIGITS, "--config.monitor=f2"], "unknown metric to monitor: 'f2'. Accepted: loss, accuracy"),
    "profile": ([*DIGITS, "--profile=5"], "--profile is FROM:TO, two steps. Received: '5'"),
    "target with a config": ([*DIGITS, "--target=age"], "--target goes with --data, not with --config. Received: --target=age"),
    "task alone": ([*DIGITS, "--task=0"], "--task is a place in --cluster, which is not given. Received: --task=0"),
    "cluster with a strategy": (
        [*DIGITS, "--cluster=localhost:1", "--task=0", "--strategy=cpu:2"],
        "with --cluster, --strategy is auto or multiworker. Received: cpu:2",
    ),
    "config of a finished run": (
        ["trainers.evaluate", "--config.batch_size=8"],
        "only trainers.train takes --config.FIELD=VALUE. evaluate received: --config.batch_size=8",
    ),
    "config to predict with": (["trainers.predict", "--config.seed", "3", "good.csv"], "predict received: --config.seed=3"),
    "config of the selftest": (["trainers.selftest", "--config.seed=3"], "selftest received: --config.seed=3"),
    "flag of another entry point": (
        ["trainers.predict", "good.csv", "--strategy=cpu"],
        "predict takes no --strategy. Accepted: --debug, --workdir",
    ),
    "no run": (["trainers.evaluate"], "new holds no finished run: there is no config.json"),
    "no run to predict": (["trainers.predict", "good.csv"], "new holds no finished run"),
}


@pytest.fixture(scope="module")
def bad_results(folder, data_dir) -> dict[str, dict]:
    """Without a network: a proxy that does not answer."""
    places = {"trainers.predict": ["--workdir=new"], "trainers.selftest": []}
    both = ["--workdir=new", f"--data_dir={data_dir}"]
    calls = [[*arguments, *places.get(arguments[0], both)] for arguments, _ in BAD.values()]
    return dict(zip(BAD, call(calls, folder, HTTPS_PROXY="http://127.0.0.1:9"), strict=True))


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line(name, bad_results, folder):
    result, message = bad_results[name], BAD[name][1]
    assert result["code"] == 1
    errors = [line for line in result["err"].splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert result["err"].splitlines()[-1] == errors[0]
    assert "Traceback" not in result["err"]
    assert not (folder / "new").exists(), "nothing is written"


def test_runs_and_files_that_do_not_fit(digits, folder, data_dir):
    place = ["--workdir=run", f"--data_dir={data_dir}"]
    found = call(
        [
            ["trainers.train", *FAST, "--config.batch_size=64", *place],
            ["trainers.predict", "--workdir=run", "absent.png"],
            ["trainers.predict", "--workdir=run", "good.csv"],
            ["trainers.train", *DIGITS[1:], "--config.model.name=mpl", "--debug", *place],
        ],
        folder,
    )
    messages = (
        "error: run holds the run of another config; give another --workdir. Differing: batch_size (32 there, 64 now)",
        "error: no such file: absent.png",
        "error: good.csv is no image that can be read",
    )
    for result, message in zip(found, messages, strict=False):
        assert (result["code"], result["err"].count("\n")) == (1, 1)
        assert result["err"].startswith(message)
    assert "Traceback" in found[3]["err"], "--debug shows where"


@pytest.mark.parametrize("program", ["train", "evaluate", "predict"])
def test_help_reads_well(program):
    result = subprocess.run([sys.executable, "-m", f"trainers.{program}", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0
    assert f"python -m trainers.{program} --workdir" in result.stdout or "python -m trainers.train --config" in result.stdout
    assert "--workdir: Folder of the run" in result.stdout
    assert "--[no]debug" in result.stdout
    assert "absl" not in result.stdout
    assert ("--strategy" in result.stdout) == (program != "predict"), "only flags that it reads"


FROM_TENSORFLOW = {
    "in a map": (
        "<stack traces unavailable> Error in user-defined function passed to ParallelMapDatasetV2:3 transformation with iterator: "
        "Iterator::Root::Prefetch::ParallelMapV2: ValueError: x of the stream must be finite. Received: nan in example 3\n"
        'Traceback (most recent call last):\n\n  File "a.py", line 3, in check\n    raise ValueError(text)\n\n'
        "ValueError: x of the stream must be finite. Received: nan in example 3\n\n\n"
        "\t [[{{node PyFunc}}]] [Op:IteratorGetNext] name: ",
        "x of the stream must be finite. Received: nan in example 3",
    ),
    "in one line": (
        "{{function_node __wrapped__IteratorGetNext}} ValueError: bad: y Traceback (most recent call last): x [[{{node PyFunc}}]]",
        "bad: y",
    ),
    "in a graph": (
        "Graph execution error:\n\nDetected at node PyFunc defined at (most recent call last):\n<stack traces unavailable>\n"
        "2 root error(s) found.\n  (0) UNKNOWN:  KeyError: 'x'\nTraceback (most recent call last):\n\n\t [[{{node PyFunc}}]]",
        "KeyError: 'x' (--debug shows where)",
    ),
    "while tracing": (
        'in user code:\n\n    File "a.py", line 3, in f  *\n        return a @ b\n\n    ValueError: Dimensions must be equal\n',
        "Dimensions must be equal",
    ),
    "no Python": (
        "Graph execution error:\n\nDetected at node 'a/MatMul' defined at (most recent call last):\n"
        "  File \"a.py\", line 3, in f\n    return a @ b\nNode: 'a/MatMul'\n"
        "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3]\n\t [[{{node a/MatMul}}]] [Op:__inference_f_10]",
        "RuntimeError: Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3] (--debug shows where)",
    ),
    "no Python, in a map": (
        "{{function_node __wrapped__IteratorGetNext_device_/job:localhost}} Error in user-defined function passed to "
        "MapDataset:2 transformation with iterator: Iterator::Root::Map: Unable to decode bytes as JPEG\n"
        "\t [[{{node DecodeJpeg}}]] [Op:IteratorGetNext] name: ",
        "RuntimeError: Unable to decode bytes as JPEG (--debug shows where)",
    ),
    "not from a graph": (
        "a.png: UnidentifiedImageError: no image",
        "RuntimeError: a.png: UnidentifiedImageError: no image (--debug shows where)",
    ),
}


@pytest.mark.parametrize("name", FROM_TENSORFLOW)
def test_of_a_tensorflow_error_only_what_is_wrong_is_told(name):
    from trainers.cli import _told

    message, wanted = FROM_TENSORFLOW[name]
    assert _told(RuntimeError(message)) == wanted


@pytest.mark.parametrize("flags", [["--workdir=runs/w/"], ["--config", "a", "--workdir", "runs/w"], ["-workdir", "runs/w"]])
def test_the_logs_of_workers_lie_beside_the_workdir(flags, tmp_path, monkeypatch):
    from trainers.launch import _log_file

    monkeypatch.chdir(tmp_path)
    _log_file(flags, 1).close()
    assert (tmp_path / "runs" / "w.worker1.log").exists()
    assert _log_file(["--config=a", "--workdir"], 1) == subprocess.DEVNULL

"""Each fault that the doctor knows, made in a throw-away environment of stand-ins, and found with the command that mends it."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from trainers.diagnosis import places
from trainers.diagnosis.faults import Facts, find_faults
from trainers.diagnosis.installed import TABLE, known, satisfies
from trainers.diagnosis.probes import Probe

ROOT = Path(__file__).parent.parent
WORKS = """
__version__ = "2.21.0"
class config:
    class experimental:
        get_device_details = staticmethod(lambda device: {})
    class CPU: name = "CPU:0"
    list_physical_devices = staticmethod(lambda kind: [config.CPU] if kind == "CPU" else [])
ones = matmul = reduce_sum = lambda *given: 1
def function(made, jit_compile): return made
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A Python of its own with stand-ins of packages; returns what the doctor says there."""
    for name in [name for name in os.environ if name.startswith("TPU_")]:
        monkeypatch.delenv(name)
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")

    def examined(distributions: dict[str, str], modules: dict[str, str], *flags: str, path: str = "", **environment: str):
        for name, version in distributions.items():
            folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        for name, text in modules.items():
            (site / name).mkdir()
            (site / name / "__init__.py").write_text(text)
        known = {**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, [path]), str(ROOT)]), **environment}
        command = [str(tmp_path / "venv" / "bin" / "python"), "-m", "trainers.doctor", "--json", *flags]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=known)
        assert result.stdout, result.stderr
        report = json.loads(result.stdout)
        assert result.returncode == (1 if report["faults"] else 0)
        return {fault["name"]: fault["mend"] for fault in report["faults"]}, report

    return examined


def test_no_fault(machine):
    faults, report = machine(
        {"tensorflow-cpu": "2.21.0", "tensorflow-datasets": "4.9.10"}, {"tensorflow": WORKS, "importlib_resources": ""}
    )
    assert faults == {}
    assert report["tensorflow"]["found"]["devices"] == {"CPU": ["CPU:0"], "GPU": []}
    assert report["xla"]["found"] == {"sum": 1.0}


def test_a_libtpu_that_aborts_the_process(machine):
    faults, report = machine(
        {"tensorflow-tpu": "2.20.0", "libtpu": "0.0.52"}, {"tensorflow": "import os; os.abort()", "libtpu": ""}
    )
    assert faults["versions"] == "pip install 'libtpu==0.0.21.1'"
    assert "TensorFlow" not in faults, "one fault, told once"
    assert report["tensorflow"]["fault"].startswith("aborted by SIGABRT")


@pytest.mark.parametrize(
    ("found", "keep"),
    [
        (("tensorflow", "tensorflow-tpu"), "tensorflow-tpu==2.20.0 libtpu==0.0.21.1"),
        (("tensorflow", "tensorflow-cpu"), "tensorflow-cpu"),
    ],
)
def test_two_tensorflows(machine, found, keep):
    faults, _ = machine(dict.fromkeys(found, "2.20.0"), {"tensorflow": WORKS})
    assert faults["several TensorFlows"] == f"pip uninstall -y {' '.join(found)} && pip install {keep}"


def test_waiting_for_the_metadata_server(machine):
    waits = "import os, time\nif 'TPU_SKIP_MDS_QUERY' not in os.environ: time.sleep(100)\n" + WORKS
    distributions, modules = {"tensorflow-tpu": "2.20.0", "libtpu": "0.0.21.1"}, {"tensorflow": waits, "libtpu": ""}
    faults, report = machine(distributions, modules, "--seconds=1")
    assert faults["metadata server"] == "export TPU_SKIP_MDS_QUERY=1"
    assert report["tensorflow"]["fault"] == "no answer within 1 s"
    assert "metadata server" not in machine({}, {}, "--seconds=5", TPU_SKIP_MDS_QUERY="1")[0], "the command mends it"


def test_no_tpu(machine):
    faults, _ = machine({"tensorflow-tpu": "2.20.0", "libtpu": "0.0.21.1"}, {"tensorflow": WORKS, "libtpu": ""})
    assert faults == {"no TPU": "pip uninstall -y tensorflow-tpu libtpu && pip install tensorflow-cpu"}
    faults, _ = machine({}, {}, TPU_WORKER_HOSTNAMES="10.0.0.2")
    assert faults == {"TPU name": "export TPU_NAME=NAME"}


def test_a_named_tpu_that_does_not_answer(machine):
    faults, report = machine(
        {"tensorflow-tpu": "2.20.0", "libtpu": "0.0.21.1"}, {"tensorflow": WORKS, "libtpu": ""}, TPU_NAME="mine"
    )
    assert list(faults) == ["TPU"]
    assert "AttributeError" in report["tpu"]["fault"]


def test_importlib_resources(machine):
    faults, _ = machine({"tensorflow-cpu": "2.21.0", "tensorflow-datasets": "4.9.10"}, {"tensorflow": WORKS})
    assert faults == {"importlib_resources": "pip install importlib_resources"}


def test_the_other_modelzoo(machine, tmp_path):
    (tmp_path / "other" / "modelzoo").mkdir(parents=True)
    (tmp_path / "other" / "modelzoo" / "__init__.py").touch()
    faults, _ = machine({"tensorflow-cpu": "2.21.0"}, {"tensorflow": WORKS}, path=str(tmp_path / "other"))
    place = tmp_path / "other" / "modelzoo"
    assert faults == {"other modelzoo": f"mv '{place}' '{place}.other'"}
    faults, _ = machine({"modelzoo": "0.0.1"}, {"modelzoo": ""})
    assert faults["other modelzoo"].startswith("pip uninstall -y modelzoo && pip install")


def test_no_tensorflow_and_one_that_is_broken(machine):
    assert machine({}, {})[0] == {"no TensorFlow": "pip install -e '.[cpu]'"}
    faults, report = machine({"tensorflow-cpu": "2.21.0"}, {"tensorflow": "raise ImportError('no _pywrap')"})
    assert faults == {"TensorFlow": "pip install --force-reinstall 'tensorflow-cpu==2.21.0'"}
    assert report["tensorflow"]["fault"] == "ended with 1: ImportError: no _pywrap"


def test_who_has_the_tpu(tmp_path):
    lock = tmp_path / "libtpu_lockfile"
    lock.touch()
    assert places.lock_holders(lock) == []
    program = f"import time; file = open({str(lock)!r}); print('open', flush=True); time.sleep(100)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        holders = places.lock_holders(lock)
        child.kill()
    assert [process for process, _ in holders] == [child.pid]
    assert "libtpu_lockfile" in holders[0][1]


def faults_of(**facts) -> dict[str, str]:
    versions = {"python": "3.11.7", "tensorflow-tpu": "2.20.0", "libtpu": "0.0.21.1"} | facts.pop("versions", {})
    return {fault.name: fault.mend for fault in find_faults(Facts(versions=versions, **facts))}


def test_on_a_tpu_machine(tmp_path, monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    works = {"tensorflow": Probe(found={"devices": {"GPU": []}, "version": "2.20.0"}), "xla": Probe(fault="NotFoundError")}
    assert faults_of(chips=["v5e"], probes=works) == {}, "XLA for the CPU is not needed"
    broken = works | {"tpu": Probe(fault="ended with 1: no chip")}
    assert faults_of(chips=["v5e"], probes=broken, holders=[(7, "python train.py")]) == {"TPU in use": "kill 7"}
    (tmp_path / "lock").touch()
    assert faults_of(chips=["v5e"], probes=broken, lock=tmp_path / "lock") == {"TPU": f"rm -f {tmp_path / 'lock'}"}
    found = find_faults(Facts(versions={"python": "3.13.1", "tensorflow": "2.21.0"}, chips=["v5e"]))
    assert [fault.name for fault in found] == ["TPU unused"]


def test_a_gpu_that_is_not_seen_and_a_python_too_old():
    seen = {"tensorflow": Probe(found={"devices": {"GPU": []}, "version": "2.21.0"}), "xla": Probe(fault="ended with 1")}
    facts = Facts(versions={"python": "3.10.2", "tensorflow-cpu": "2.21.0"}, probes=seen, nvidia=True)
    mends = {fault.name: fault.mend for fault in find_faults(facts)}
    assert set(mends) == {"python", "no XLA", "GPU unseen"}
    assert mends["GPU unseen"] == "pip uninstall -y tensorflow-cpu && pip install 'tensorflow[and-cuda]==2.21.0'"


def test_versions():
    assert satisfies("0.0.52", ">=0.0.43")
    assert not satisfies("0.0.9", ">=0.0.43")
    assert satisfies("3.11.7", "3.11.*")
    assert not satisfies("3.1.7", "3.11.*")
    assert not satisfies(None, "1")
    assert all({"works", "with"} < set(row) and ("mend" in row or row["works"]) for row in json.loads(TABLE.read_text()))
    assert known({"tensorflow-tpu": "2.20.0", "libtpu": "0.0.43"})[0]["works"] is False


def test_prepared_data(tmp_path, monkeypatch):
    for name in ("digits/1.0.0", "glue/cola/2.0.0", "digits/incomplete.1_1.0.0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "dataset_info.json").touch()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert places.prepared_data(None) == (tmp_path, ["digits/1.0.0", "glue/cola/2.0.0"])


def test_doctor_prints(capsys):
    from trainers.doctor import main

    with pytest.raises(SystemExit) as ended:
        main(["--what"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: unrecognized arguments: --what. --help shows what there is\n"
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "python -m trainers.doctor --json" in capsys.readouterr().out

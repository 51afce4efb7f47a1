"""The parsers survive every input of the kept corpus, on CPython and on the sanitized runtime, and a short fuzzing."""

import subprocess
import sys

import pytest
import fuzz
import targets

from package import runtime

RUNS = 3000  # inputs of a short round for each target; always the same ones


def test_every_target_has_a_corpus_and_the_other_way_round():
    assert {path.stem for path in fuzz.CORPUS.glob("*.txt")} == set(targets.TARGETS)
    for name in targets.TARGETS:
        assert fuzz.read_corpus(name), name


@pytest.mark.parametrize("name", targets.TARGETS)
def test_the_corpus_on_cpython(name):
    for data in fuzz.read_corpus(name):
        targets.TARGETS[name](data)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_the_corpus_on_the_runtime_with_sanitizers(name):
    done = subprocess.run([runtime.fuzzed(), name, fuzz.CORPUS / (name + ".txt")], capture_output=True, text=True,
                          timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-4000:]
    assert done.stdout == "%d inputs\n" % len(fuzz.read_corpus(name))


def test_a_short_round():
    done = subprocess.run([sys.executable, fuzz.__file__, "--runs", str(RUNS), "--seed", "1"], capture_output=True,
                          text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-8000:]
    assert done.stdout.count(", seed 1\n") == len(targets.TARGETS)


def test_what_a_target_does_not_survive_is_found(tmp_path, monkeypatch):
    """The fuzzer is led by coverage: it finds what hides behind comparisons that random bytes never pass."""
    (tmp_path / "broken.py").write_text(
        "def target(data):\n    if data[:1] == b'h':\n        if data[1:2] == b'i':\n            if data[2:3] == b'd':\n"
        "                raise KeyError\nTARGETS = {'target': target}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert fuzz.fuzz("target", 0, 300000, 1, "broken")[1][:3] == b"hid"


def test_the_sanitizers_are_in():
    """Without them an error of memory may go unseen."""
    names = subprocess.run(["nm", runtime.fuzzed()], capture_output=True, text=True, check=True).stdout
    assert "__asan_report_load8" in names and "__ubsan_handle" in names

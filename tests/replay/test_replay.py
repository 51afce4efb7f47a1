"""Two Pythons, one behaviour: every transcript gets the answers that stand in it, byte for byte, from each of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import replay

from package import runtime
from package.toolchain import HOST, MIPS32

FOLDER = Path(__file__).resolve().parent
TRANSCRIPTS = sorted((FOLDER / "transcripts").glob("*.txt"))
COMMANDS = {
    "cpython": lambda: [sys.executable, FOLDER / "replay.py"],
    HOST: lambda: [runtime.binary(HOST, tests=True), "replay"],
    MIPS32: lambda: ["qemu-mipsel", "-cpu", "4Kc", runtime.binary(MIPS32, tests=True), "replay"],
}


def play(python, paths):
    """Return {path: its transcript (text) with the answers of now}, all from one process."""
    result = subprocess.run([*COMMANDS[python](), *paths], capture_output=True, text=True, timeout=120,
                            env={"PYTHONPATH": str(FOLDER.parent.parent / "src")})
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return {Path(part.partition("\n")[0]): part.partition("\n")[2] for part in result.stdout.split("=== ")[1:]}


@pytest.mark.parametrize("data", (b"", bytes(range(256)), b"\\", b"\\\\n\n", b"\\x41\\\r\n", b"plain\r\n", b"a\rb\r\n"))
def test_every_byte_can_stand_in_a_transcript(data):
    text = replay.escape(data)
    assert replay.unescape(text.encode()) == data
    assert not text or (min(text) >= " " and max(text) <= "~")


@pytest.mark.parametrize("python", COMMANDS)
def test_every_client_gets_the_answers_of_its_transcript(python):
    assert TRANSCRIPTS
    played = play(python, TRANSCRIPTS)
    assert list(played) == TRANSCRIPTS
    for path in TRANSCRIPTS:
        assert played[path] == path.read_text(), path.name


def test_another_answer_is_noticed(tmp_path):
    path = tmp_path / "changed.txt"
    path.write_text(TRANSCRIPTS[0].read_text().replace("< HTTP/1.1 200 OK", "< HTTP/1.1 299 OK"))
    assert play("cpython", [path])[path] != path.read_text()
    assert play("cpython", [path])[path] == TRANSCRIPTS[0].read_text()


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_transcript_says_which_client_it_is_and_how_it_was_got(path):
    head = [line for line in path.read_text().split("\n\n")[0].split("\n") if line.startswith("# ")]
    assert head[0].startswith("# client: ")
    assert head[1] == "# recorded on the wire" or head[1].startswith("# written from ")

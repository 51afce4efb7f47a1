"""Records a real client: what it sends to the daemon, segment by segment, becomes a transcript (see replay.py).

    record.py [--seconds N] [--listen] NAME DESCRIPTION COMMAND...

runs the command (a client) in a network of its own, with nothing in it but the daemon, ends it after N seconds at the
latest (default 60), and writes transcripts/NAME.txt. What the client printed is shown, so that one sees whether it
succeeded; and where the player's answers are not those that the client got, this is said. Needs root and `ip`; not part
of the tests, which only play what was recorded.

      lan: 192.168.1.2 --- 192.168.1.1 router 11.0.0.2 (a device that leads nowhere)
"""

import argparse
import ast
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TOP = FOLDER.parent.parent
sys.path[:0] = [str(TOP), str(TOP / "src"), str(FOLDER)]

import conversation  # noqa: E402
import replay  # noqa: E402

_HOST = "192.168.1.2"
_PAUSE_MS = 5  # shorter ones are not written down


class Notes:
    """Writes down what arrives, with the time between."""

    def __init__(self, path):
        self._file = open(path, "w")
        self._writer = replay.Writer(self._file.write)
        self._open = set()  # connections that neither side has ended
        self.answers = {}  # what each peer was sent, all in one
        self._last = time.monotonic()

    def wait(self):
        """Write down how long nothing came."""
        pause = int((time.monotonic() - self._last) * 1000)
        if pause >= _PAUSE_MS:
            self._writer.wait(pause)
            self._last += pause / 1000

    def end(self):
        """Write down the time behind the last that came."""
        self.wait()
        self._writer.rest()
        self._file.close()

    def data(self, kind, peer, data):
        """The client at `peer` sent `data`; nothing: it ended the connection."""
        where = "%s %s:%d" % (kind, *peer)
        if data:
            self.wait()
            self._writer.data(where, ">", data)
            self._open.add(where)
        elif where in self._open:
            self.wait()
            self._writer.end(where, "close")
            self._open.remove(where)
        self._file.flush()

    def answer(self, kind, peer, data):
        """The daemon sent `data`."""
        where = "%s %s:%d" % (kind, *peer)
        self.answers[where] = self.answers.get(where, b"") + bytes(data)

    def answered(self, peer):
        """The daemon says that it will send no more: what the client does then does not matter."""
        self._open.discard("tcp %s:%d" % peer)


def serve(path):
    """Be the daemon, with sockets that write down what they receive; the SIDs are those of a transcript."""
    from miniigd import events, net, supervisor

    notes = Notes(path)

    class Recorded(socket.socket):
        peer = None  # of a client's connection

        def accept(self):
            fd, peer = self._accept()
            sock = Recorded(self.family, self.type, self.proto, fileno=fd)
            sock.peer = peer
            return sock, peer

        def recv(self, size):
            data = super().recv(size)
            if self.peer is not None:
                notes.data("tcp", self.peer, data)
            return data

        def shutdown(self, how):
            if self.peer is not None:
                notes.answered(self.peer)
            super().shutdown(how)

        def send(self, data):
            sent = super().send(data)
            if self.peer is not None:
                notes.answer("tcp", self.peer, data[:sent])
            return sent

        def sendto(self, data, peer):
            if not peer[0].startswith("239."):
                notes.answer("udp", peer, data)
            return super().sendto(data, peer)

        def recvfrom(self, size):
            data, peer = super().recvfrom(size)
            notes.data("udp", peer, data)
            return data, peer

    net.socket = types.SimpleNamespace(**vars(socket) | {"socket": Recorded})
    sids = iter(range(1, 1000000))
    events._make_sid = lambda: replay.make_sid(next(sids))
    config = Path(path).with_suffix(".conf")
    config.write_text("config upnpd config\n option uuid %s\n" % replay.UUID)
    status = supervisor.main(["-v", "-f", "memory", "-L", "eth0", "-W", "wan", "-c", str(config)])
    notes.end()
    Path(path).with_suffix(".answers").write_text(repr(notes.answers))
    return status


@contextlib.contextmanager
def networks():
    """The client's and the router's network, joined."""
    from qemu.lab import Namespace

    with contextlib.ExitStack() as stack:
        spaces = []
        for name in "lan", "router":
            spaces.append(Namespace(name))
            stack.callback(spaces[-1].close)
        client, router = spaces
        router.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(client.pid))
        router.ip("link", "add", "wan", "type", "veth", "peer", "name", "nowhere")
        for space, name, address in ((client, "eth0", _HOST), (router, "eth0", replay.ROUTER),
                                     (router, "wan", replay.WAN)):
            space.ip("address", "add", address + "/24", "dev", name)
            space.ip("link", "set", name, "up")
        router.ip("link", "set", "nowhere", "up")
        client.ip("route", "add", "default", "via", replay.ROUTER)
        client.ip("route", "add", "239.0.0.0/8", "dev", "eth0")
        yield client, router


def record(name, description, command, seconds, is_listening):
    """Run the client, then write the transcript; return the client's exit status, or None if it was ended."""
    with networks() as (client, router), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notes.txt"
        daemon = router.popen([sys.executable, __file__, "--serve", path])
        time.sleep(1.5)  # its sockets are open, its first announcements sent
        child = client.popen(command, start_new_session=True)
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
            status = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        time.sleep(0.5)
        daemon.terminate()
        daemon.wait(10)
        head = "# client: %s\n# recorded on the wire\n%s" % (description, "\nlisten\n" if is_listening else "")
        target = FOLDER / "transcripts" / (name + ".txt")
        target.write_text(head + path.read_text())
        replay.main(["--write", str(target)])
        compare(conversation.Talk(target.read_text()), ast.literal_eval(path.with_suffix(".answers").read_text()))
    return status


def compare(talk, answers):
    """Say where the player's answers differ from the daemon's, but for numbers: those tell the time."""
    played = {}
    for one in talk.exchanges:
        played[one.where] = played.get(one.where, b"") + b"".join(one.got)
    for where in sorted(answers.keys() | played.keys()):
        texts = [re.sub(rb"\d+", b"0", found.get(where, b"")) for found in (played, answers)]
        if texts[0] != texts[1]:
            print("==> on %s the player says\n%s\nand the daemon said\n%s"
                  % (where, played.get(where), answers.get(where)))


def main():
    """Do what the command line says; return the exit status."""
    if sys.argv[1] == "--serve":
        return serve(sys.argv[2])
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--listen", action="store_true")
    parser.add_argument("name")
    parser.add_argument("description")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    words = parser.parse_args()
    status = record(words.name, words.description, words.command, words.seconds, words.listen)
    print("==> the client ended with status %s; written: transcripts/%s.txt" % (status, words.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())

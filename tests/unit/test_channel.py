"""miniigd.channel: real local sockets, with a loop turned by hand. Runs as root."""

import errno
import socket

from helpers import Clock, Output, raised, received
from miniigd import channel as channel_module
from miniigd import log
from miniigd.channel import Channel
from miniigd.compat import AF_UNIX, accept_local, chmod, file_mark, local_address, remove
from miniigd.loop import Loop

PATH = "/tmp/miniigd-test.sock"


class _Served:
    """A channel that answers with `answer`; what it was asked is in `lines`."""

    def __init__(self, answer=("0\n", "hello\n"), keeps_file=False):
        if not keeps_file:
            _remove()
        self.loop = Loop()
        self.lines = []
        self.answer = answer
        self.channel = Channel(self.loop, self._respond, PATH)
        self.channel.open()

    def _respond(self, line, now):
        assert now == self.loop.now
        self.lines.append(line)
        return self.answer() if callable(self.answer) else self.answer

    def turn(self, count=5):
        for _ in range(count):
            self.loop.turn(0)

    def connect(self, path=PATH):
        client = _connect(path)
        self.turn()
        return client

    def ask(self, client, line):
        client.send(line)
        self.turn()
        return self.read(client)

    def read(self, client, turns=500):
        return received(self.loop, client, turns, ends_early=False)

    def close(self, *clients):
        for client in clients:
            client.close()
        self.turn()
        self.channel.close()
        assert self.loop._timers == []


def _connect(path=PATH):
    client = socket.socket(AF_UNIX, socket.SOCK_STREAM)
    client.setblocking(False)
    try:
        client.connect(local_address(path))
    except OSError:
        client.close()
        raise
    return client


def _remove():
    try:
        remove(PATH)
    except OSError:
        pass


def test_a_command_is_answered_and_the_connection_ends():
    served = _Served()
    client = served.connect()
    assert served.ask(client, b"status\n") == (b"0\nhello\n\0", True)
    assert served.lines == [b"status"]
    served.close(client)
    assert file_mark(PATH) is None


def test_a_command_in_pieces():
    served = _Served()
    client = served.connect()
    for byte in b"status\n":
        assert served.lines == []
        client.send(bytes([byte]))
        served.turn()
    assert served.read(client) == (b"0\nhello\n\0", True)
    served.close(client)


def test_what_is_no_command_ends_the_connection():
    served = _Served()
    client = served.connect()
    assert served.ask(client, b"x" * 200) == (b"", True)
    client.close()
    client = served.connect()
    client.send(b"stat")
    client.close()
    served.turn()
    client = served.connect()
    assert served.ask(client, b"status\n") == (b"0\nhello\n\0", True)
    assert served.lines == [b"status"]
    served.close(client)


def test_a_long_answer_is_asked_for_a_few_pieces_at_a_time():
    asked = []

    def answer():
        yield "0\n"
        for number in range(1500):
            asked.append(number)
            yield "%090d\n" % number

    served = _Served(answer)
    client = served.connect()
    client.send(b"status\n")
    served.turn(1)
    assert asked == []  # the answer begins in a turn of its own
    for turn in (1, 2, 3):
        served.turn(1)
        assert turn * 14 < len(asked) <= turn * 16
    served.turn(500)
    count = len(asked)  # nobody reads: as many as the kernel holds
    served.turn(10)
    assert len(asked) == count
    data, is_closed = served.read(client)
    assert is_closed and data.endswith(b"1499\n\0") and len(data) == 3 + 1500 * 91
    served.close(client)


def test_two_are_served_at_once_and_the_others_wait():
    served = _Served()
    clients = [served.connect() for _ in range(4)]
    assert len(served.channel._talks) == 2
    assert served.ask(clients[2], b"third\n")[0] == b"" and served.lines == []
    assert served.ask(clients[1], b"second\n") == (b"0\nhello\n\0", True)
    assert served.read(clients[2]) == (b"0\nhello\n\0", True)
    assert served.ask(clients[0], b"first\n")[1] and served.ask(clients[3], b"fourth\n")[1]
    assert served.lines == [b"second", b"third", b"first", b"fourth"]
    assert served.channel._talks == []
    served.close(*clients)


def test_who_says_or_takes_nothing_is_dropped():
    with Clock() as clock:
        served = _Served(lambda: ("%099d\n" % number for number in range(10000)))
        silent, deaf = served.connect(), served.connect()
        deaf.send(b"status\n")
        served.turn(500)
        clock.ms += 14999
        served.turn()
        assert len(served.channel._talks) == 2
        clock.ms += 1
        served.turn()
        assert served.channel._talks == []
        assert served.read(silent) == (b"", True)
        data, is_closed = served.read(deaf)
        assert is_closed and not data.endswith(b"\0")
        served.close(silent, deaf)


def test_only_root_is_served():
    served = _Served()
    real = channel_module.accept_local

    def accept(listener):
        return real(listener)[0], 65534

    channel_module.accept_local = accept
    try:
        with Output(log) as output:
            client = served.connect()
            assert served.ask(client, b"close-all\n") == (b"", True)
    except OSError as error:  # closed before it could be asked
        assert error.errno == errno.EPIPE
    finally:
        channel_module.accept_local = real
    assert served.lines == [] and "user 65534 was not taken" in output.text()
    served.close(client)


def test_the_file_is_root_s_alone():
    modes = []
    real = channel_module.chmod

    def recorded(path, mode):
        modes.append((path, mode))
        assert raised(OSError, _connect).errno == errno.ECONNREFUSED  # nobody gets in before
        real(path, mode)

    channel_module.chmod = recorded
    try:
        served = _Served()
    finally:
        channel_module.chmod = real
    assert modes == [(PATH, 0o600)]
    served.close()


def test_the_peer_is_known_and_a_long_address_of_its_own_is_no_trap():
    _remove()
    listener = channel_module._listener(PATH)
    long_path = "/tmp/miniigd-test-" + "x" * 80
    client = socket.socket(AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            remove(long_path)
        except OSError:
            pass
        client.bind(local_address(long_path))
        client.connect(local_address(PATH))
        sock, uid = accept_local(listener)
        assert uid == 0
        assert raised(OSError, sock.recv, 10).errno == errno.EAGAIN  # it does not block
        client.send(b"hello")
        assert sock.recv(10) == b"hello"
        sock.close()
        assert client.recv(10) == b""  # nothing else holds the connection
        assert raised(OSError, accept_local, listener).errno == errno.EAGAIN
    finally:
        client.close()
        listener.close()
        remove(long_path)
        _remove()


def test_what_a_killed_daemon_left_is_replaced():
    _remove()
    left = channel_module._listener(PATH)
    left.close()
    assert file_mark(PATH) is not None
    with Output(log) as output:
        served = _Served(("0\n",), True)
    assert output.text() == ""
    client = served.connect()
    assert served.ask(client, b"status\n") == (b"0\n\0", True)
    served.close(client)


def test_a_running_daemon_s_is_not_stolen_and_is_taken_over_when_it_ends():
    with Clock() as clock:
        first = _Served()
        mark = file_mark(PATH)
        loop = Loop()
        second = Channel(loop, lambda line, now: ("0\n", "second\n"), PATH)
        with Output(log) as output:
            second.open()
            clock.ms += 5000
            loop.turn(0)
        assert output.text().count("another miniigd is running") == 1
        assert file_mark(PATH) == mark
        first.turn(20)
        client = first.connect()
        assert first.ask(client, b"status\n") == (b"0\nhello\n\0", True)
        first.close(client)
        clock.ms += 5000
        loop.turn(0)
        client = _connect()
        client.send(b"status\n")
        for _ in range(10):
            loop.turn(0)
        assert client.recv(100) == b"0\nsecond\n\0"
        client.close()
        second.close()
        assert loop._timers == []


def test_a_place_that_cannot_be_had_is_tried_again():
    loop = Loop()
    channel = Channel(loop, None, "/proc/miniigd.sock")
    with Output(log) as output:
        channel.open()
    assert "no commands are taken on /proc/miniigd.sock (errno " in output.text()
    assert len(loop._timers) == 1
    channel.close()
    assert loop._timers == []


def test_an_answer_that_fails_ends_its_connection_alone():
    def answer():
        yield "0\n"
        raise ValueError("of this test")

    served = _Served(answer)
    client, other = served.connect(), served.connect()
    with Output(log) as output:
        data, is_closed = served.ask(client, b"status\n")
    assert is_closed and not data.endswith(b"\0") and "ValueError" in output.text()
    served.answer = ("0\n",)
    assert served.ask(other, b"status\n") == (b"0\n\0", True)
    served.close(client, other)


def test_modes_of_files_can_be_set():
    with open(PATH, "w") as file:
        file.write("x")
    chmod(PATH, 0o600)
    remove(PATH)
    for function, arguments in ((chmod, (PATH, 0o600)), (remove, (PATH,))):
        assert raised(OSError, function, *arguments).errno == errno.ENOENT

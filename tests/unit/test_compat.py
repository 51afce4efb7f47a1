"""miniigd.compat: the same few functions on both Pythons. Signals are for the tests that run a process of its own."""

import errno
import gc
import io
import selectors
import socket

from helpers import lacks_ipv6, raised
from miniigd import compat


def test_const_is_its_argument():
    assert compat.const(7) == 7


def test_the_wall_clock_is_of_this_century():
    assert 1700000000 < compat.wall_seconds() < 4000000000


def test_random_bytes_are_never_the_same():
    assert [len(compat.random_bytes(count)) for count in (1, 16, 64)] == [1, 16, 64]
    assert len(set([compat.random_bytes(16) for _ in range(20)])) == 20


def test_the_clock_does_not_go_back():
    before = compat.monotonic_ms()
    assert isinstance(before, int) and before >= 0
    for _ in range(1000):
        now = compat.monotonic_ms()
        assert now >= before
        before = now


def test_the_signals_differ():
    numbers = [compat.SIGHUP, compat.SIGINT, compat.SIGTERM, compat.SIGUSR1]
    assert sorted(numbers)[0] > 0
    assert len(set(numbers)) == 4


def _udp(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(compat.address("127.0.0.1", port))
    return sock


def test_addresses_of_datagrams():
    receiver, sender = _udp(17501), _udp(17502)
    sender.sendto(b"x", compat.address("127.0.0.1", 17501))
    data, raw = receiver.recvfrom(10)
    receiver.close()
    sender.close()
    assert data == b"x"
    assert compat.split_address(raw) == ("127.0.0.1", 17502)


def test_addresses_of_datagrams_over_ipv6():
    if lacks_ipv6():
        return
    receiver, sender = [socket.socket(compat.AF_INET6, socket.SOCK_DGRAM) for _ in range(2)]
    receiver.bind(compat.address("::", 17501))
    sender.bind(compat.address("0:0::1", 17502))
    sender.sendto(b"x", compat.address("::1", 17501))
    data, raw = receiver.recvfrom(10)
    receiver.close()
    sender.close()
    assert data == b"x"
    assert compat.split_address(raw) == ("::1", 17502)


def test_select_ms_gives_the_key_and_the_events():
    receiver, sender = _udp(17501), _udp(17502)
    selector = selectors.DefaultSelector()
    selector.register(receiver, selectors.EVENT_READ, "mine")
    assert list(compat.select_ms(selector, 0)) == []
    sender.sendto(b"x", compat.address("127.0.0.1", 17501))
    for timeout_ms in (0, 50, None):
        ready = compat.select_ms(selector, timeout_ms)
        assert [(key.data, events) for key, events in ready] == [("mine", selectors.EVENT_READ)]
    selector.close()
    receiver.close()
    sender.close()


def test_shutdown_ends_one_direction():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(compat.address("127.0.0.1", 17503))
    listener.listen(1)
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(compat.address("127.0.0.1", 17503))
    served, raw = listener.accept()
    assert compat.split_address(raw)[0] == "127.0.0.1"
    compat.shutdown(client, 1)
    assert served.recv(10) == b""
    served.send(b"still")
    assert client.recv(10) == b"still"
    for sock in (client, served, listener):
        sock.close()


def test_a_netlink_socket_does_not_block():
    sock = compat.netlink_socket(0, 0x11)
    assert raised(OSError, sock.recv, 100).errno == errno.EAGAIN
    sock.close()


def test_a_traceback_is_written_to_a_file():
    file = io.StringIO()
    try:
        raise ValueError("of this test")
    except ValueError as error:
        compat.print_exception(error, file)
    assert "ValueError: of this test" in file.getvalue()


def _shell(text, data=b""):
    return compat.run_program(["sh", "-c", text], data)


def test_a_program_gets_its_words_and_its_input_and_returns_its_status():
    assert compat.run_program(["cat"], b"a\0b\xff\n") == (0, b"a\0b\xff\n")
    assert compat.run_program(["printf", "%s|", "a b", "$HOME;`id`", ""], b"") == (0, b"a b|$HOME;`id`||")
    assert _shell("cat; echo out; echo err >&2; exit 7", b"in\n") == (7, b"in\nout\nerr\n")
    assert compat.run_program(["true"], b"") == (0, b"")
    assert compat.run_program(["cat"], bytearray(b"x")) == (0, b"x")


def test_a_program_that_is_killed_or_cannot_be_started():
    assert _shell("kill -9 $$") == (137, b"")
    assert _shell("kill -15 $$") == (143, b"")
    for name in ("no-such-program-here", "/", "/etc/hosts", ""):
        assert compat.run_program([name], b"input") == (127, b""), name


def test_input_and_output_larger_than_a_pipe():
    data = b"0123456789abcdef" * 20000
    status, output = compat.run_program(["cat"], data)
    assert status == 0 and output == data[:compat.MOST_OUTPUT]
    assert compat.run_program(["wc", "-c"], data)[1].strip() == b"320000"
    assert compat.run_program(["true"], data) == (0, b"")  # it reads nothing: no SIGPIPE for us
    assert _shell("exec <&-; exec >/dev/null 2>&1; sleep 0.1; exit 3", data) == (3, b"")


def test_a_program_has_the_signals_and_descriptors_of_a_fresh_process():
    # Ignored and blocked signals would be inherited, 0x1000 is SIGPIPE; descriptors of ours would stay open in it.
    sock = compat.netlink_socket(0, 0)
    ignored = _shell("sed -n 's/^SigIgn:.*\\([0-9a-f]\\{8\\}\\)$/\\1/p' /proc/self/status")[1]
    # Shells ignore SIGINT and SIGQUIT (6) in what they start in the background: CPython leaves that so.
    assert int(ignored.decode(), 16) & 0x7FFFFFF9 == 0
    assert _shell("test -e /proc/self/fd/%d" % sock.fileno())[0] == 1
    assert _shell("test -e /proc/self/fd/1")[0] == 0
    sock.close()


def test_a_program_that_does_not_end_is_ended():
    before = compat.monotonic_ms()
    assert _shell("exec sleep 60") == (137, b"")
    assert 9000 < compat.monotonic_ms() - before < 15000


def test_programs_leave_no_descriptors_open():
    gc.collect()  # descriptors that earlier tests dropped
    before = compat.netlink_socket(0, 0)
    for _ in range(20):
        _shell("cat", b"x")
        compat.run_program(["no-such-program-here"], b"")
        compat.xtables_info("filter")
        compat.xtables6_info("filter")
    after = compat.netlink_socket(0, 0)
    assert after.fileno() == before.fileno() + 1
    before.close()
    after.close()


def test_a_table_that_is_none_has_no_info():
    assert compat.xtables_info("no such table") is None
    assert compat.xtables6_info("no such table") is None


def test_a_new_file_is_nobody_else_s_and_takes_the_place_of_what_is_there():
    path = "/tmp/miniigd-test-compat.new"
    with open(path, "w") as file:
        file.write("left by somebody")
    compat.chmod(path, 0o666)
    with open(path) as old:
        compat.create(path)
        with open(path) as file:
            assert file.read() == ""
        with open(path, "w") as file:
            file.write("ours")
        assert old.read() == "left by somebody"  # another file, even if it has another name too
    assert compat.file_mark(path)[1] == 4
    compat.remove(path)
    compat.create(path)
    compat.remove(path)
    assert raised(OSError, compat.create, "/nowhere/at/all").errno == errno.ENOENT
    assert raised(OSError, compat.create, "/tmp").errno == errno.EEXIST


def test_a_link_and_what_is_somebody_else_s_have_no_mark():
    assert compat.file_mark("/proc/self/status") is not None
    assert compat.file_mark("/proc/self") is None  # a link
    assert compat.file_mark("/proc/self/exe") is None
    assert compat.file_mark("/proc/self/task") is None  # has several names


def _hidden(one, *, two=2):
    return one, two


def _any(**words):
    return sorted(words.items())


def test_arguments_that_only_come_by_keyword():
    """The frozen program leaves out names of arguments, but not these."""
    assert _hidden(1) == (1, 2) and _hidden(1, two=3) == (1, 3)
    assert _any() == [] and _any(three=3, four=4) == [("four", 4), ("three", 3)]

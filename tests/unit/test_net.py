"""miniigd.net: real sockets on the loopback interface, with a loop turned by hand. Runs as root (SO_BINDTODEVICE)."""

import errno
import socket

from helpers import Clock, Files, Output, Slow, lacks_ipv6, loopback, loopback6, raised, received, turn
from miniigd import log
from miniigd import net as net_module
from miniigd.compat import AF_INET6, address
from miniigd.loop import EVENT_READ, Loop
from miniigd.net import HttpServer, is_port_free

PORT, CLIENT_PORT, FREE_PORT = 17520, 17552, 17599


class _Served:
    """A server that answers with `reply`; what it was asked is in `requests`."""

    def __init__(self, reply=b"HTTP/1.1 200 OK\r\n\r\nhello", prefix=8):
        self.loop = Loop()
        self.requests = []
        self.reply = reply
        self.is_quiet = False
        self.port = PORT
        while True:
            try:
                self.server = HttpServer(self.loop, loopback(prefix), self.port, self._respond)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE or self.port == PORT + 20:
                    raise
                self.port += 1

    def _respond(self, request, peer):
        self.requests.append((request.method, request.path, request.body, peer))
        request.is_quiet = self.is_quiet
        if self.reply is None:
            raise ValueError("of this test")
        return self.reply if isinstance(self.reply, tuple) else (self.reply,)

    def connect(self, source="127.0.0.1"):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.bind(address(source, 0))
        client.connect(address("127.0.0.1", self.port))
        client.setblocking(False)
        turn(self.loop)
        return client

    def send(self, client, data):
        client.send(data)
        turn(self.loop)

    def read(self, client, turns=200):
        return received(self.loop, client, turns)

    def close(self, *clients):
        for client in clients:
            client.close()
        turn(self.loop)
        self.server.close()


def test_a_request_is_answered_and_the_connection_ends():
    served = _Served()
    client = served.connect()
    served.send(client, b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nab")
    assert served.read(client) == (b"HTTP/1.1 200 OK\r\n\r\nhello", True)
    assert served.requests == [("POST", "/a", b"ab", "127.0.0.1")]
    served.close(client)


def test_a_request_in_pieces():
    served = _Served()
    client = served.connect()
    for byte in b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n":
        assert served.requests == []
        served.send(client, bytes([byte]))
    assert served.read(client)[0] == b"HTTP/1.1 200 OK\r\n\r\nhello"
    assert served.requests == [("GET", "/a", b"", "127.0.0.1")]
    served.close(client)


def test_several_clients_at_once():
    served = _Served()
    clients = [served.connect() for _ in range(4)]
    for client in clients:
        served.send(client, b"GET /a HT")
    for client in reversed(clients):
        served.send(client, b"TP/1.0\r\n\r\n")
    for client in clients:
        assert served.read(client) == (served.reply, True)
    served.close(*clients)


def test_a_client_that_waits_for_100_continue_is_told_once():
    served = _Served()
    client = served.connect()
    served.send(client, b"POST /a HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert served.read(client) == (b"HTTP/1.1 100 Continue\r\n\r\n", False)
    served.send(client, b"a")
    assert served.read(client, 10) == (b"", False)
    served.send(client, b"b")
    assert served.read(client) == (served.reply, True)
    served.close(client)


def test_what_is_no_request_is_answered_with_its_status():
    for data, status in ((b"nonsense\r\n\r\n", b"400"), (b"POST / HTTP/1.1\r\n\r\n", b"411"), (b"x" * 5000, b"431")):
        served = _Served()
        client = served.connect()
        served.send(client, data)
        answer, is_closed = served.read(client)
        assert answer.startswith(b"HTTP/1.1 " + status) and is_closed
        assert served.requests == []
        served.close(client)


def test_what_comes_behind_the_last_request_is_not_served():
    served = _Served()
    client = served.connect()
    served.send(client, b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    served.send(client, b"GET /c HTTP/1.1\r\n\r\n")
    assert served.read(client) == (served.reply, True)
    assert [path for _, path, _, _ in served.requests] == ["/a"]
    served.close(client)


def test_pipelined_requests_are_served_in_order():
    served = _Served()
    client = served.connect()
    served.send(client, b"".join([b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(60)]))
    assert served.read(client) == (served.reply * 60, True)
    assert [path for _, path, _, _ in served.requests] == ["/%d" % number for number in range(60)]
    served.close(client)


def test_clients_that_ask_for_much_take_turns():
    served = _Served()
    clients = [served.connect("127.0.0.1"), served.connect("127.0.0.2")]
    for client in clients:
        client.send(b"GET /a HTTP/1.1\r\n\r\n" * 20)
    for client in clients:
        assert received(served.loop, client, 200, False) == (served.reply * 20, True)
    peers = [peer for _, _, _, peer in served.requests]
    assert len(peers) == 40 and [1 for number in range(2, 38) if peers[number] == peers[number + 1]] == []
    served.close(*clients)


def test_who_has_a_single_question_comes_before_what_others_go_on_to_ask():
    served = _Served()
    clients = [served.connect("127.0.0.%d" % number) for number in range(2, 10)]
    for client in clients:
        client.send(b"GET /many HTTP/1.1\r\n\r\n" * 20)
    turn(served.loop, 3)
    for _ in range(5):
        count = len(served.requests)
        neighbour = served.connect()  # five turns
        neighbour.send(b"GET /once HTTP/1.1\r\n\r\n")
        served.loop.turn(0)
        paths = [path for _, path, _, _ in served.requests[count:]]
        assert "/once" in paths and len(paths) <= 7  # one each turn, whatever waits
        assert served.read(neighbour) == (served.reply, True)
        neighbour.close()
    served.close(*clients)


def test_a_kept_connection_is_served_again():
    served = _Served()
    client = served.connect()
    for count in range(3):
        served.send(client, b"GET /%d HTTP/1.1\r\nConnection: Keep-Alive\r\n\r\n" % count)
        assert served.read(client) == (served.reply, False)
    served.send(client, b"GET /last HTTP/1.1\r\n\r\n")
    assert served.read(client) == (served.reply, True)
    assert len(served.requests) == 4
    served.close(client)


def test_an_answer_goes_out_as_the_network_takes_it():
    served = _Served(b"0123456789" * 10)
    client = served.connect()
    connection = served.server._connections[0]
    connection._sock = Slow(connection._sock)
    served.send(client, b"GET /a HTTP/1.1\r\n\r\n")
    assert served.read(client) == (served.reply, True)
    assert len(served.requests) == 1
    served.close(client)


def test_an_answer_in_pieces_goes_out_in_their_order():
    for is_slow in (False, True):
        served = _Served((b"0123456789", b"abcdefghij" * 3, b"."))
        client = served.connect()
        if is_slow:
            connection = served.server._connections[0]
            connection._sock = Slow(connection._sock)
        served.send(client, b"GET /a HTTP/1.1\r\n\r\n")
        assert served.read(client) == (b"0123456789" + b"abcdefghij" * 3 + b".", True)
        served.close(client)


def test_the_pieces_of_an_answer_come_at_once():
    served = _Served((b"0123456789", b"abcdefghij"))
    client = served.connect()
    served.send(client, b"GET /a HTTP/1.1\r\n\r\n")
    assert client.recv(100) == b"0123456789abcdefghij"
    served.close(client)


def test_a_long_answer_arrives_whole():
    served = _Served(b"0123456789abcdef" * 16384)
    client = served.connect()
    served.send(client, b"GET /a HTTP/1.1\r\n\r\n")
    position = 0
    for _ in range(2000):
        served.loop.turn(10)
        try:
            piece = client.recv(65536)
        except OSError:
            continue
        if not piece:
            break
        assert piece == served.reply[position:position + len(piece)]
        position += len(piece)
    assert position == len(served.reply)
    served.close(client)


def test_a_client_that_leaves_is_forgotten():
    served = _Served()
    for data in (b"", b"GET /a HTTP", b"GET /a HTTP/1.1\r\n\r\n"):
        for _ in range(10):
            client = served.connect()
            if data:
                served.send(client, data)
            client.close()
            turn(served.loop)
    assert served.server._connections == []
    served.close()


def test_a_connection_has_a_deadline():
    with Clock() as clock:
        served = _Served()
        client = served.connect()
        served.send(client, b"GET /a HTTP")
        clock.ms += 14999
        assert served.read(client, 10) == (b"", False)
        clock.ms += 501  # it is looked for twice a second
        assert served.read(client) == (b"", True)
        served.close(client)


def test_what_is_refused_is_a_line_in_the_log():
    with Clock() as clock, Output(log) as output:
        served = _Served()
        clients = [served.connect() for _ in range(3)]
        served.send(clients[0], b"nonsense\r\n\r\n")
        served.read(clients[0])
        served.send(clients[1], b"GET /a HTTP")  # and no more
        clock.ms += 15000
        served.read(clients[1])
        served.read(clients[2])  # who asked for nothing is no news
        served.close(*clients)
    assert output.text() == ("miniigd: warning: refused a request of 127.0.0.1: HTTP status 400\n"
                             "miniigd: warning: refused a connection of 127.0.0.1: it takes too long\n")


def test_bytes_now_and_then_do_not_move_the_deadline():
    with Clock() as clock:
        served = _Served()
        client = served.connect()
        for byte in b"GET /abcdefg HTT":
            clock.ms += 1000
            try:
                served.send(client, bytes([byte]))
            except OSError:
                break
        assert served.read(client)[1]
        assert served.server._connections == []
        served.close(client)


def test_a_client_that_keeps_its_side_open_is_closed_soon():
    with Clock() as clock:
        served = _Served()
        client = served.connect()
        served.send(client, b"GET /a HTTP/1.1\r\n\r\n")
        assert served.read(client) == (served.reply, True)
        assert len(served.server._connections) == 1
        clock.ms += 2000
        served.loop.turn(0)
        assert served.server._connections == []
        served.close(client)


def test_one_host_has_8_connections_and_of_32_the_oldest_makes_room():
    served = _Served()
    clients = []
    with Output(log) as output:
        for host in range(1, 5):
            for _ in range(8):
                clients.append(served.connect("127.0.0.%d" % host))
                assert served.read(clients[-1], 1) == (b"", False)
            clients.append(served.connect("127.0.0.%d" % host))
            assert served.read(clients[-1], 3)[1]
        assert len(served.server._connections) == 32
        assert output.text().count("it has 8 already") == 4
        for number in range(3):
            clients.append(served.connect("127.0.0.9"))
            assert served.read(clients[number], 3)[1] and not served.read(clients[number + 1], 1)[1]
            assert len(served.server._connections) == 32
        for client in clients[-3:]:
            served.send(client, b"GET /a HTTP/1.0\r\n\r\n")
            assert served.read(client) == (served.reply, True)
        assert output.text().count("the oldest, of 127.0.0.1, is ended") == 3
    served.close(*clients)


def _full(served):
    """Return the clients that have all connections of the server."""
    return [served.connect("127.0.0.%d" % (number // 8 + 1)) for number in range(32)]


def _connect(served, source):
    """Return a client that the server has not heard of yet."""
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.bind(address(source, 0))
    client.connect(address("127.0.0.1", served.port))
    client.setblocking(False)
    return client


def test_who_has_an_answer_makes_room_first():
    served = _Served()
    clients = _full(served)
    with Output(log) as output:
        served.send(clients[5], b"GET /a HTTP/1.0\r\n\r\n")
        clients.append(served.connect("127.0.0.9"))  # the connection 5 is waiting for its client to close
        assert served.read(clients[5]) == (served.reply, True)
        served.send(clients[6], b"GET /a HTTP/1.0\r\n\r\n")
        assert served.read(clients[6]) == (served.reply, True)
        clients[6].close()
        clients.append(served.connect("127.0.0.9"))
        assert output.text() == ""
        assert not served.read(clients[0], 3)[1]
    served.close(*clients)


def test_who_has_asked_is_answered_before_it_makes_room():
    served = _Served()
    clients = _full(served)
    with Output(log) as output:
        clients.extend([_connect(served, "127.0.0.9") for _ in range(8)])
        for client in clients[:8]:
            client.send(b"GET /a HTTP/1.0\r\n\r\n")
        turn(served.loop)
        for client in clients[:8]:
            assert served.read(client) == (served.reply, True)
        assert output.text() == ""  # each of them had its answer, and closed or was closed
    served.close(*clients)


def test_a_request_that_came_with_its_connection_takes_one_turn():
    served = _Served()
    for _ in range(20):  # also one host that asks again and again: none of its connections is in the way
        client = _connect(served, "127.0.0.1")
        client.send(b"GET /a HTTP/1.0\r\n\r\n")
        served.loop.turn(1000)
        assert received(Loop(), client, 5) == (served.reply, True)
        client.close()
    assert len(served.requests) == 20
    served.close()


def test_reading_is_quiet_and_nothing_else():
    with Clock():
        _check_quiet(_Served())


def _check_quiet(served):
    ends = []
    served.loop.at_end_of_turn = lambda: ends.append(1)
    for is_quiet in (True, False):
        served.is_quiet = is_quiet
        for is_early in (True, False):
            client = _connect(served, "127.0.0.1")
            if not is_early:
                served.loop.turn(1000)
            client.send(b"GET /a HTTP/1.0\r\n\r\n")
            ends.clear()
            served.loop.turn(1000)
            assert bool(ends) != is_quiet, (is_quiet, is_early)
            assert received(Loop(), client, 5) == (served.reply, True)
            client.close()
    served.close()


def test_who_is_not_in_the_subnet_is_not_served():
    served = _Served(prefix=32)
    client = served.connect("127.0.0.2")
    try:
        served.send(client, b"GET /a HTTP/1.0\r\n\r\n")
    except OSError:
        pass
    assert served.read(client) == (b"", True)
    assert served.requests == []
    neighbour = served.connect()
    served.send(neighbour, b"GET /a HTTP/1.0\r\n\r\n")
    assert served.read(neighbour) == (served.reply, True)
    served.close(client, neighbour)


def test_a_failure_in_the_answer_ends_that_connection_only():
    served = _Served(None)
    client, other = served.connect(), served.connect()
    with Output(log) as output:
        served.send(client, b"GET /a HTTP/1.0\r\n\r\n")
        assert served.read(client)[1]
    assert "of this test" in output.text()
    served.reply = b"HTTP/1.1 200 OK\r\n\r\n"
    served.send(other, b"GET /b HTTP/1.0\r\n\r\n")
    assert served.read(other) == (served.reply, True)
    served.close(client, other)


def test_close_ends_every_connection_and_frees_the_port():
    served = _Served()
    clients = [served.connect() for _ in range(3)]
    served.server.close()
    for client in clients:
        assert served.read(client)[1]
        client.close()
    again = _Served()
    again.close()


def test_a_server_that_is_closed_in_a_turn_is_not_called_in_it():
    served = _Served()
    closer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    closer.bind(address("127.0.0.1", CLIENT_PORT))
    closer.setblocking(False)
    client = served.connect()
    served.loop.register(closer, EVENT_READ, lambda events: served.server.close())
    client.send(b"GET /a HTTP/1.0\r\n\r\n")
    other = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    other.connect(address("127.0.0.1", served.port))
    closer.sendto(b"x", address("127.0.0.1", CLIENT_PORT))
    with Output(log) as output:
        served.loop.turn(1000)
    assert output.text() == ""
    for sock in (client, other, closer):
        sock.close()


def test_what_cannot_be_opened_leaves_no_socket():
    served = _Served()
    assert raised(OSError, HttpServer, Loop(), loopback(), served.port, None).errno == errno.EADDRINUSE
    served.close()
    assert raised(OSError, HttpServer, Loop(), loopback(name="gone0"), served.port, None).errno == errno.ENODEV
    interface = loopback()
    interface.addresses = [("192.0.2.77", 24)]
    assert raised(OSError, HttpServer, Loop(), interface, served.port, None).errno == errno.EADDRNOTAVAIL
    again = _Served()
    again.close()


def test_the_same_over_ipv6():
    """A request, and a message to a subscriber; at the same port as over IPv4, by neighbours only."""
    if lacks_ipv6():
        return
    served = _Served()
    requests, interface = [], loopback6()

    def respond(request, peer):
        requests.append((request.path, peer))
        return (served.reply,)

    server = HttpServer(served.loop, interface, served.port, respond, True)
    for is_neighbour in (True, False):
        client = socket.socket(AF_INET6, socket.SOCK_STREAM)
        client.connect(address("::1", served.port))
        client.setblocking(False)
        turn(served.loop)
        if is_neighbour:
            client.send(b"GET /six HTTP/1.1\r\n\r\n")
        assert received(served.loop, client) == (served.reply if is_neighbour else b"", True)
        client.close()
        interface.addresses6 = []
    assert requests == [("/six", "::1")] and served.requests == []
    client = served.connect()
    served.send(client, b"GET /four HTTP/1.1\r\n\r\n")
    assert served.read(client) == (served.reply, True)
    assert served.requests == [("GET", "/four", b"", "127.0.0.1")]
    server.close()
    served.close(client)


def test_room_over_ipv6_is_less():
    if lacks_ipv6():
        return
    loop, clients = Loop(), []
    server = HttpServer(loop, loopback6(), PORT + 30, None, True)
    for number in range(9):
        client = socket.socket(AF_INET6, socket.SOCK_STREAM)
        client.connect(address("::1", PORT + 30))
        clients.append(client)
        turn(loop)
        assert len(server._connections) == min(number + 1, 8)  # of one host
    for connection in server._connections:
        connection.peer = "fe80::2"
    server._counts = {"fe80::2": 8}
    for number in range(9, 19):
        client = socket.socket(AF_INET6, socket.SOCK_STREAM)
        client.connect(address("::1", PORT + 30))
        clients.append(client)
        turn(loop)
        assert len(server._connections) == min(number, 16)  # in all
    server.close()
    for client in clients:
        client.close()


def test_whether_a_port_is_free():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for taken, asked in (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")):
            assert is_port_free(kind, asked, FREE_PORT)
            sock = socket.socket(socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address(taken, FREE_PORT))
            if kind == socket.SOCK_STREAM:
                sock.listen(1)
            assert not is_port_free(kind, asked, FREE_PORT)
            assert is_port_free(kind, "127.0.0.2", FREE_PORT) == (taken != "0.0.0.0")
            sock.close()
    assert not is_port_free(socket.SOCK_STREAM, "192.0.2.1", FREE_PORT)  # not an address of this host


def test_with_little_memory_there_is_room_for_a_third():
    for text, most in ((b"MemTotal:         9896 kB\nMemFree: 1 kB\n", 10), (b"MemTotal: 24576 kB\n", 32), (b"", 32),
                       (b"MemTotal: much", 32), (None, 32)):
        with Files(net_module, text):
            served = _Served()
            assert served.server._most == most
            served.close()

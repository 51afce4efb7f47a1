"""The right chain, provably: a mapping opens FORWARD to one host of the LAN, and INPUT, the router itself, never.

The complaint about gateways on Linux is that they change the wrong one and that nobody can trace it.
"""

import socket

import pytest

from qemu.lab import LAN_HOST, WAN_ROUTER

ROUTERS_PORT, MAPPED = 8300, 8301  # a program of the router listens on the first, a LAN host on the same number


@pytest.fixture
def program(client):
    """A program on the router, behind its firewall; its process id."""
    router = client.lab.router
    router.check("nc -l -p %d -e echo router </dev/null >/dev/null 2>&1 &\n"
                 "echo $! >/tmp/nc.pid; sleep 0.3" % ROUTERS_PORT)
    yield router.check("cat /tmp/nc.pid").strip()
    router.run("kill $(cat /tmp/nc.pid)")


def input_rules(client):
    """Everything the router's firewall holds about packets for itself."""
    router = client.lab.router
    if router.run("command -v nft").status == 0:
        return router.check("nft list chain inet fw4 input; nft list chain inet fw4 input_wan")
    text = router.check("iptables-save -t filter")
    return "\n".join(line for line in text.splitlines() if "nput" in line.lower())


def what_answers(client, port):
    """Who answers a connection from the WAN: "router", "LAN", or None."""
    try:
        with client.lab.wan.call(socket.create_connection, (WAN_ROUTER, port), 2) as link:
            link.settimeout(2)
            link.sendall(b"who?\n")
            return link.recv(20).decode().strip()
    except OSError:
        return None


@pytest.mark.parametrize("external", [MAPPED, 8302])
def test_a_mapping_leads_to_the_lan_and_never_to_the_router(client, program, external):
    before = input_rules(client)
    assert before and what_answers(client, ROUTERS_PORT) is None and what_answers(client, external) is None
    with client.lab.lan.call(socket.create_server, (LAN_HOST, ROUTERS_PORT)) as server:
        server.settimeout(5)
        assert client.call("AddPortMapping", (
            ("NewRemoteHost", ""), ("NewExternalPort", external), ("NewProtocol", "TCP"),
            ("NewInternalPort", ROUTERS_PORT), ("NewInternalClient", LAN_HOST), ("NewEnabled", 1),
            ("NewPortMappingDescription", "test"), ("NewLeaseDuration", 600)))[0] == 200
        assert input_rules(client) == before
        assert what_answers(client, ROUTERS_PORT) is None  # the router's own port is as closed as it was
        with client.lab.wan.call(socket.create_connection, (WAN_ROUTER, external), 3) as link:
            accepted, _ = server.accept()  # it came through FORWARD
            accepted.sendall(b"LAN")
            assert link.recv(20) == b"LAN"
            accepted.close()
        assert client.delete(port=external)[0] == 200
        assert input_rules(client) == before
    assert what_answers(client, ROUTERS_PORT) is None and what_answers(client, external) is None
    client.lab.router.check("kill -0 %s" % program)  # nobody reached it


def test_the_program_would_have_been_reached(client, program):
    """The test before can fail: with INPUT opened, which is what is never done, the router answers."""
    router = client.lab.router
    if router.run("command -v nft").status == 0:
        opened, closed = "nft insert rule inet fw4 input tcp dport %d accept", "fw4 restart"
    else:
        opened, closed = "iptables -I INPUT -p tcp --dport %d -j ACCEPT", "iptables -D INPUT 1"
    router.check(opened % ROUTERS_PORT)
    try:
        assert what_answers(client, ROUTERS_PORT) == "router"
    finally:
        router.check(closed)

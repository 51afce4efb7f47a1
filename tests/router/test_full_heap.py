"""Everything full at once, on the router with its real heap: mappings, pinholes, subscribers, connections, requests.

The daemon stays the same process, keeps its table, and answers.
"""

import contextlib
import re
import socket
import threading
import time

from qemu.lab import LAN_HOST, LAN_HOST2, LAN_HOST2_6, LAN_HOST_6, LAN_ROUTER, LAN_ROUTER_6
from test_daemon import CONTROL, SERVICE, fault, wait_until_serving

INIT = "/etc/init.d/miniupnpd"
FILES = "/var/run/miniupnpd.leases", "/var/run/miniupnpd.leases6"
MAPPINGS = {"debian": 1500, "wrt": 200, "bare": 200}
PINHOLES = 500
PER_HOST = 8  # connections, subscriptions


def figures(client):
    """{"VmHWM": kB, "RssAnon": kB, ...} of the daemon; an old kernel does not tell RssAnon."""
    text = client.lab.router.check("cat /proc/$(pidof miniigd)/status")
    return {name: int(value) for name, value in re.findall(r"^(VmHWM|VmRSS|RssAnon|VmData):\s+(\d+)", text, re.M)}


def fill_the_tables(client):
    """Let the daemon find full lease files, with the longest descriptions; return how many lines each has."""
    router, most = client.lab.router, MAPPINGS[client.lab.model]
    end = int(router.check("date +%s")) + 100000
    router.check(INIT + " stop")
    first = min(1000, most - 100)  # of one host; the others are another's
    # Written there: the router's line is slow.
    router.check("port=2001; while [ $port -le %d ]; do host=%s; [ $port -le %d ] || host=%s; "
                 "echo TCP:$port:$host:$port:%d:%s; port=$((port + 1)); done >%s"
                 % (2000 + most, LAN_HOST, 2000 + first, LAN_HOST2, end, "d" * 63, FILES[0]), timeout=120)
    router.check("number=0; while [ $number -lt %d ]; do echo \"TCP;2a00:11:0:1::$((number / 200 + 2));$((number + 2000));;0;"
                 "$((number + 1000));%d;\"; number=$((number + 1)); done >%s" % (PINHOLES, end, FILES[1]), timeout=120)
    router.check(INIT + " start", timeout=60)
    limit = time.monotonic() + 180
    while time.monotonic() < limit:
        with contextlib.suppress(OSError, IndexError):
            if client.get("/rootDesc.xml").startswith("HTTP/1.1 200"):
                break
        time.sleep(1)
    return most


def written(client):
    return [int(client.lab.router.check("cat %s 2>/dev/null | wc -l" % path)) for path in FILES]


def soap(action, arguments, length, router=LAN_ROUTER):
    """A request that is as long as it may be: its head has nearly 4,096 bytes, its body `length`."""
    body = "<s:Envelope><s:Body><u:%s>%s</u:%s></s:Body></s:Envelope>" % (
        action, "".join("<%s>%s</%s>" % (name, value, name) for name, value in arguments), action)
    body = body.ljust(length)
    head = "POST %s HTTP/1.1\r\nHost: %s\r\nSOAPAction: \"%s#%s\"\r\nContent-Length: %d\r\nX: " % (
        CONTROL[2], router, SERVICE % 2, action, len(body))
    return (head + "x" * (4080 - len(head)) + "\r\n\r\n" + body).encode()


def subscribe(client, space, host):
    """The status of a SUBSCRIBE whose callback nobody listens at."""
    with space.call(socket.create_connection, (LAN_ROUTER, 5000), 20, (host, 0)) as link:
        link.sendall(("SUBSCRIBE /igd2/upnp/event/WANIPConn1 HTTP/1.1\r\nHost: %s\r\nNT: upnp:event\r\n"
                      "CALLBACK: <http://%s:9/%s>\r\n\r\n" % (LAN_ROUTER, host, "p" * 200)).encode())
        return int(link.recv(1000).split()[1])


def received(link):
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := link.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_everything_full_at_once(client, neighbours):
    before = figures(client)
    most = fill_the_tables(client)
    try:
        [pid] = client.running()
        time.sleep(6)  # the files are written again, without what there is no room for
        pinholes = written(client)[1]
        restored = figures(client)
        assert fault(client.add(port=9999, source=LAN_HOST2, client=LAN_HOST2, version=2)) == 728
        hosts = {LAN_HOST: client.lab.lan, **neighbours}
        statuses = [subscribe(client, space, host) for host, space in hosts.items() for _ in range(PER_HOST)]
        listing = soap("GetListOfPortMappings", (("NewStartPort", 1), ("NewEndPort", 65535), ("NewProtocol", "TCP"),
                                                 ("NewManage", 1), ("NewNumberOfPorts", 0)), 8192)
        with contextlib.ExitStack() as stack:
            links = []
            for host, space in hosts.items():
                for _ in range(PER_HOST):
                    links.append(stack.enter_context(space.call(socket.create_connection, (LAN_ROUTER, 5000), 30,
                                                                (host, 0))))
            for host in LAN_HOST_6, LAN_HOST2_6:
                for _ in range(PER_HOST):
                    links.append(stack.enter_context(client.lab.lan.call(
                        socket.create_connection, (LAN_ROUTER_6, 5000), 30, (host, 0))))
            assert len(links) == 48
            for link in links:
                with contextlib.suppress(OSError):  # with 16 MB the oldest make room
                    link.sendall(listing[:-1])
            held = figures(client)
            # All of them want the longest answer there is, at the same time, and take it slowly.
            answers = []
            for link in links:
                link.settimeout(60)
                with contextlib.suppress(OSError):
                    link.sendall(listing[-1:])
            readers = [threading.Thread(target=lambda link=link: answers.append(received(link))) for link in links]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        full = figures(client)
        whole = [answer for answer in answers if answer.endswith(b"</s:Envelope>\r\n") or b"</s:Envelope>" in answer[-40:]]
        refused = client.lab.router.check("logread | grep -c 'out of memory'; true").strip()
        print("%s: %d mappings, %d pinholes, %d subscribers, %d connections with %d bytes each; %d of them had an answer of "
              "%d bytes; 'out of memory' in %s lines; kB before %r, with the tables %r, with the requests %r, at the end %r"
              % (client.lab.model, most, pinholes, statuses.count(200), len(links), len(listing) - 1,
                 len(whole), max(map(len, answers)), refused, before, restored, held, full))
        assert statuses.count(200) == 32 == len(statuses)
        # With 16 MB none of them may have room: then each costs that request and nothing else.
        assert client.lab.model != "debian" or whole and b"200 OK" in whole[0][:20]
        # The same process, with all that it had, serves.
        assert client.running() == [pid]
        wait_until_serving(client)
        assert fault(client.add(port=9999, source=LAN_HOST2, client=LAN_HOST2, version=2)) == 728
        assert client.delete(port=2001)[0] == 200
        assert client.add(port=2001)[0] == 200
        time.sleep(6)
        assert written(client) == [most, pinholes]
        assert "please report" not in client.log()
    finally:
        client.lab.router.check("%s stop; rm -f %s; %s start" % (INIT, " ".join(FILES), INIT))
        wait_until_serving(client)

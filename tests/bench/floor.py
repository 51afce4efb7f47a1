"""The physical floor beside every figure, on the same boot: a bare TCP exchange, and the bare netlink transactions.

Both by a small program in C (agent.c): nothing but the system calls that the work needs.
"""

import struct

from miniigd.firewall.nft import NftFirewall
from miniigd.mapping import PortMapping
from qemu.lab import LAN_HOST

import rows

_ECHO_BYTES = 600  # of data each way: about an AddPortMapping and its answer
_LEASE = 86400
FILE = "batches"  # on the router in /bench


class _Recorder:
    """A channel to a kernel that agrees to everything: keeps the last batch."""

    def transact(self, data, is_answered, is_short=False):
        self.data = bytes(data)
        return []


class _Wan:
    name, index, index6, address = "eth1", 3, None, "11.0.0.2"


def batches(count, first=30000):
    """Return the batches that open so many ports one by one, exactly the back end's own, as agent.c reads them."""
    channel = _Recorder()
    firewall = NftFirewall(channel)
    firewall.open(_Wan)
    found = []
    for port in range(first, first + count):
        firewall.add(PortMapping("", port, "TCP", port, LAN_HOST, True, "", _LEASE, _LEASE), None, _LEASE)
        found.append(struct.pack("<I", len(channel.data)) + channel.data)
    return b"".join(found)


def echo(bench, count=50):
    """The Figures of the bare TCP exchange."""
    with bench.echo() as (pid, port):
        return rows.measure_echo(bench, pid, port, b"x" * _ECHO_BYTES, count)


def transactions(bench):
    """Return the CPU milliseconds of each bare netlink transaction, in the order in which the table grew."""
    bench.check("fw4 reload")
    output = bench.check("/bench/agent transact /bench/%s" % FILE)
    bench.check("fw4 reload")
    return [int(line) / 1e6 for line in output.split()]

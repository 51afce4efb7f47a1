"""What is measured, row by row: a kind of request, and what a number of them cost.

    figures = measure(run, rows.REQUESTS["add"](run.daemon, 20))
    figures.cpu, figures.wait       # milliseconds, one for each request
"""

import statistics

from qemu.lab import LAN_HOST

import client
from daemons import PORT


def _add(daemon, count, first=0):
    return [client.add(daemon.control, PORT, client.FIRST_PORT + first + number) for number in range(count)]


def _delete(daemon, count, first=0):
    return [client.delete(daemon.control, PORT, client.FIRST_PORT + first + number) for number in range(count)]


def _entry(daemon, count, first=0):
    return [client.entry(daemon.control, PORT, first + number) for number in range(count)]


def _address(daemon, count, first=0):
    return [client.call(daemon.control, PORT, "GetExternalIPAddress")] * count


def _description(daemon, count, first=0):
    return [client.get("/rootDesc.xml", PORT)] * count


# name -> function (daemon, count, first) that makes the requests; `first` is the first mapping's number.
REQUESTS = {"desc": _description, "ext": _address, "add": _add, "entry": _entry, "delete": _delete}
TITLES = {"desc": "GET rootDesc.xml", "ext": "GetExternalIPAddress", "add": "AddPortMapping",
          "entry": "GetGenericPortMappingEntry", "delete": "DeletePortMapping", "search": "M-SEARCH, unicast",
          "multicast": "M-SEARCH, multicast with MX", "pcp": "PCP MAP"}


class Figures:
    """`cpu` and `wait` hold milliseconds of the router's time for each request: the daemon's CPU, the client's wait."""

    def __init__(self, cpu, wait):
        self.cpu, self.wait = cpu, wait

    def summary(self):
        """A dict of means, medians and 95th percentiles, for JSON."""
        found = {"count": len(self.cpu)}
        for name, values in ("cpu", self.cpu), ("wait", self.wait):
            found["%s_mean" % name] = round(statistics.mean(values), 3)
            found["%s_median" % name] = round(statistics.median(values), 3)
            found["%s_p95" % name] = round(percentile(values, 95), 3)
        return found


def percentile(values, percent):
    """The value that so many percent of the values do not exceed."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def measure(run, requests):
    """Send `requests` one after the other, each in a new connection, and return their Figures; Refused if one is."""
    return measure_from(run, [(request, LAN_HOST) for request in requests])


def measure_from(run, requests):
    """As `measure`, of (request, the address that it comes from)."""
    return _measure(run.bench, run.pid, [
        lambda request=request, source=source: client.check(client.exchange(PORT, request, source))
        for request, source in requests], lambda dump: [one.ms for one in dump.tcp(PORT)])


def measure_echo(bench, pid, port, data, count):
    """The bare TCP exchange, as `measure`."""
    return _measure(bench, pid, [lambda: client.exchange(port, data)] * count,
                    lambda dump: [one.ms for one in dump.tcp(port)])


def measure_search(run, is_multicast, count, mx=2):
    """Searches for the device, as `measure`."""
    return _measure(run.bench, run.pid, [lambda: client.search(is_multicast, mx)] * count, lambda dump: dump.udp(1900))


def measure_pcp(run, count, first=0):
    """PCP requests for a port, as `measure`."""
    def ask(port):
        code = client.pcp_map(port)
        if code:
            raise client.Refused("PCP result %d" % code)

    return _measure(run.bench, run.pid, [lambda port=client.FIRST_PORT + first + number: ask(port)
                                         for number in range(count)], lambda dump: dump.udp(5351))


def close_pcp(run, count, first=0):
    """Give back what `measure_pcp` asked for."""
    run.bench.inside(lambda: [client.pcp_map(client.FIRST_PORT + first + number, 0) for number in range(count)])


def _measure(bench, pid, calls, waits):
    bench.dump.skip()

    def work():
        cpu, last = [], bench.cpu_ms(pid)
        for call in calls:
            call()
            now = bench.cpu_ms(pid)
            cpu.append(now - last)
            last = now
        return cpu

    cpu = bench.inside(work)
    return Figures(cpu, waits(bench.dump))

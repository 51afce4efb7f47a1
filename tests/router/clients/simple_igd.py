"""gupnp-igd on the LAN host (what libnice and Farstream use): maps a port and renews its lease by itself.

    python3 simple_igd.py ADDRESS PORT LEASE   # a line on standard input removes the port, the next one ends it

Prints gupnp-igd's signals, one JSON line each.
"""

import json
import sys

import gi

gi.require_version("GUPnPIgd", "1.0")
from gi.repository import GLib, GUPnPIgd  # noqa: E402

address, port, lease = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def say(*words):
    print(json.dumps(words), flush=True)


def on_mapped(igd, protocol, external_ip, replaces, external_port, local_ip, local_port, description):
    say("mapped", protocol, external_ip, external_port, local_ip, local_port, description)


def on_error(igd, error, *rest):
    say("error", error.message)


def on_line(source, condition):
    if not source.readline() or not ports:
        loop.quit()
        return False
    igd.remove_port("TCP", ports.pop())
    return True


igd = GUPnPIgd.SimpleIgd()
igd.connect("mapped-external-port", on_mapped)
igd.connect("error-mapping-port", on_error)
igd.add_port("TCP", port, address, 8000, lease, "gupnp-igd \u00fc")
ports = [port]
loop = GLib.MainLoop()
GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, on_line)
loop.run()

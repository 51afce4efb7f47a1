"""A gupnp control point on the LAN host: reads every document, subscribes, and maps a port at the device it looks for.

    python3 control_point.py ADDRESS DEVICE_TYPE PORT   # then a line on standard input deletes the port again

Prints what it sees, one JSON line each. gupnp checks documents and events against each other on its way.
"""

import json
import sys

import gi

gi.require_version("GSSDP", "1.6")
gi.require_version("GUPnP", "1.6")
from gi.repository import Gio, GLib, GObject, GSSDP, GUPnP  # noqa: E402

address, device_type, port = sys.argv[1:]
kept = []  # proxies live as long as somebody holds them


def say(*words):
    print(json.dumps(words), flush=True)


def on_device(point, device):
    if not kept:  # the same device may be announced again meanwhile
        walk(device)


def walk(device):
    kept.append(device)
    say("device", device.get_device_type(), device.get_friendly_name())
    for service in device.list_services():
        kept.append(service)
        service.introspect_async(None, on_introspection, None)
    for child in device.list_devices():
        walk(child)


def on_introspection(service, result, data):
    found = service.introspect_finish(result)
    say("service", service.get_service_type(), [action.name for action in found.list_actions()],
        [variable.name for variable in found.list_state_variables()])
    if "WANIPConnection" not in service.get_service_type():
        return
    for variable, kind in ("ExternalIPAddress", str), ("PortMappingNumberOfEntries", GObject.TYPE_UINT):
        service.add_notify(variable, kind, on_event, None)
    service.connect("subscription-lost", lambda service, error: say("lost"))
    service.set_subscribed(True)
    say("address", *call(service, "GetExternalIPAddress", (), "NewExternalIPAddress"))
    call(service, "AddPortMapping", (
        ("NewRemoteHost", ""), ("NewExternalPort", int(port)), ("NewProtocol", "TCP"), ("NewInternalPort", 8000),
        ("NewInternalClient", address), ("NewEnabled", True), ("NewPortMappingDescription", "gupnp <&> \u00fc"),
        ("NewLeaseDuration", 600)))
    GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN, on_line, service)


def on_event(service, variable, value, data):
    say("event", variable, value)


def on_line(source, condition, service):
    source.readline()
    call(service, "DeletePortMapping", (("NewRemoteHost", ""), ("NewExternalPort", int(port)),
                                        ("NewProtocol", "TCP")))
    return False


def call(service, name, arguments, *results):
    """Call an action with its (argument, value); return the values of `results`. Raises the device's refusal."""
    action = GUPnP.ServiceProxyAction.new_from_list(name, [argument for argument, _ in arguments],
                                                    [value for _, value in arguments])
    service.call_action(action, None)
    values = action.get_result_list(results, [GObject.TYPE_STRING] * len(results))[1]
    say("called", name)
    return values


context = GUPnP.Context.new_for_address(Gio.InetAddress.new_from_string(address), 0, GSSDP.UDAVersion.VERSION_1_0)
point = GUPnP.ControlPoint.new(context, device_type)
point.connect("device-proxy-available", on_device)
point.set_active(True)
GLib.MainLoop().run()

"""gssdp's resource browser on the LAN host, as in gssdp-discover: prints the resources that come and go, as JSON.

    python3 browse.py TARGET   # runs until it is ended
"""

import json
import sys

import gi

gi.require_version("GSSDP", "1.6")
from gi.repository import GLib, GSSDP  # noqa: E402


def say(*words):
    print(json.dumps(words), flush=True)


client = GSSDP.Client.new_full("eth0", None, 0, GSSDP.UDAVersion.VERSION_1_0)
browser = GSSDP.ResourceBrowser.new(client, sys.argv[1])
browser.connect("resource-available", lambda browser, usn, locations: say("available", usn, list(locations)))
browser.connect("resource-unavailable", lambda browser, usn: say("unavailable", usn))
browser.set_active(True)
GLib.MainLoop().run()

"""miniupnpc's Python binding on the LAN host: prints what each call returned, one JSON line each.

    python3 binding.py PORT   # then a line on standard input deletes the port again
"""

import json
import sys

import miniupnpc


def say(word, value):
    print(json.dumps([word, value]), flush=True)


port = int(sys.argv[1])
upnp = miniupnpc.UPnP(multicastif="eth0")
upnp.discoverdelay = 500  # ms
say("discover", upnp.discover())
say("selectigd", upnp.selectigd())
say("externalipaddress", upnp.externalipaddress())
say("statusinfo", upnp.statusinfo())
say("addportmapping", upnp.addportmapping(port, "TCP", upnp.lanaddr, 8000, "b\u00fcro <&>", "", 600))
say("getspecificportmapping", upnp.getspecificportmapping(port, "TCP"))
found = []
while (entry := upnp.getgenericportmapping(len(found))) is not None:
    found.append(entry)
say("getgenericportmapping", found)
sys.stdin.readline()
say("deleteportmapping", upnp.deleteportmapping(port, "TCP"))
say("getspecificportmapping", upnp.getspecificportmapping(port, "TCP"))

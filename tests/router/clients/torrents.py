"""libtorrent on the LAN host (Deluge, qBittorrent): a session that maps its own port by UPnP, or by PCP.

    python3 torrents.py ADDRESS PORT TORRENT FOLDER upnp|pcp   # a line on standard input ends it

Prints the mappings it gets and the errors, one JSON line each.
"""

import json
import select
import sys

import libtorrent

address, port, torrent, folder, protocol = sys.argv[1:]


def say(*words):
    print(json.dumps(words), flush=True)


kinds = libtorrent.alert.category_t
session = libtorrent.session({
    "listen_interfaces": "%s:%s" % (address, port), "enable_upnp": protocol == "upnp",
    "enable_natpmp": protocol == "pcp",  # it falls back to NAT-PMP
    "enable_dht": False, "enable_lsd": False, "alert_mask": kinds.port_mapping_notification | kinds.error_notification})
session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": folder, "flags": 0})  # not paused
while not select.select([sys.stdin], [], [], 0.05)[0]:
    for alert in session.pop_alerts():
        say(type(alert).__name__, alert.message())
del session  # waits until its mappings are deleted
say("ended")

"""miniigd: a UPnP Internet Gateway Device for OpenWrt routers."""

VERSION = "0.1.0"
CHANNEL = "/var/run/miniigd.sock"  # where the running daemon takes root's commands

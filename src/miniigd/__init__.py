"""miniigd: a UPnP Internet Gateway Device for OpenWrt routers."""

VERSION = "0.1.0"

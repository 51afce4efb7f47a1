# What packages use of OpenWrt's network.sh. As there, the answers are what holds now (OpenWrt asks netifd), so an
# address changed by hand or an interface taken down shows; only names and devices come from /etc/config/network.

_network_device() {
    # Print the device of interface $1.
    (
        . /lib/functions.sh
        config_load network
        config_get "$1" device
    )
}

_network_set() {
    # Set variable $1 to $2; fail when that is empty.
    export -n "$1=$2"
    [ -n "$2" ]
}

network_flush_cache() {
    return 0
}

network_is_up() {
    # True when interface $1 has an address.
    local _address
    network_get_ipaddr _address "$1"
}

network_get_device() {
    # network_get_device VARIABLE INTERFACE; nothing while it is down.
    network_is_up "$2" && _network_set "$1" "$(_network_device "$2")"
}

network_get_physdev() {
    _network_set "$1" "$(_network_device "$2")"
}

network_get_subnet() {
    # network_get_subnet VARIABLE INTERFACE: the first address with its prefix length.
    _network_set "$1" "$(ip -4 addr show dev "$(_network_device "$2")" 2>/dev/null |
        sed -n 's/^ *inet \([0-9./]*\).*/\1/p' | head -n 1)"
}

network_get_subnets() {
    network_get_subnet "$@"
}

network_get_ipaddr() {
    # network_get_ipaddr VARIABLE INTERFACE: the first IPv4 address.
    local _subnet
    network_get_subnet _subnet "$2"
    _network_set "$1" "${_subnet%/*}"
}

network_get_ipaddrs() {
    network_get_ipaddr "$@"
}

network_get_gateway() {
    # network_get_gateway VARIABLE INTERFACE: where its default route leads.
    _network_set "$1" "$(ip route show default dev "$(_network_device "$2")" |
        sed -n 's/^default via \([0-9.]*\).*/\1/p' | head -n 1)"
}

_network_find() {
    # Set the variable named $1 to the interface that has the default route of family $2 (-4 or -6).
    _network_set "$1" "$(
        device=$(ip "$2" route show | sed -n 's/^default.* dev \([^ ]*\).*/\1/p' | head -n 1)
        match() {
            config_get found "$1" device
            [ "$found" = "$device" ] && echo "$1"
        }
        . /lib/functions.sh
        config_load network
        [ -n "$device" ] && config_foreach match interface | head -n 1
    )"
}

network_find_wan() {
    _network_find "$1" -4
}

network_find_wan6() {
    _network_find "$1" -6
}

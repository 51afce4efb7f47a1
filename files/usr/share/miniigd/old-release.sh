# Starts and stops miniigd on releases without procd; included by /etc/init.d/miniupnpd.
# What a release offers is told by one file each:
#   /lib/functions/network.sh  12.09: netifd knows the devices
#   /etc/config/network        Kamikaze, Backfire: uci knows them, and what it does not know stands in the file
#   neither                    White Russian: nvram, with the names that Linksys's own programs use
# Written for a shell and a busybox of 2005: nothing here needs more than awk, sed, ifconfig, pidof and logger.

KEEPER=/usr/share/miniigd/keeper
SERVICE=/var/run/miniigd.service # there while it is started; holds what runs, nothing while it waits for a WAN

_nvram() {
	nvram get "$1" 2>/dev/null
}

# Print an option of the section `config upnpd` of /etc/config/upnpd.
_option() {
	awk -v name="$1" '{ gsub(/["\047]/, "") }
		$1 == "config" { ours = $2 == "upnpd" }
		ours && $1 == "option" && $2 == name {
			sub(/^[ \t]*option[ \t]+[^ \t]+[ \t]*/, ""); sub(/[ \t]*(#.*)?$/, ""); value = $0
		}
		END { print value }' /etc/config/upnpd 2>/dev/null
}

# Print an option of the network $1 in /etc/config/network.
_network_option() {
	awk -v network="$1" -v name="$2" '{ gsub(/["\047]/, "") }
		$1 == "config" { ours = $2 == "interface" && $3 == network }
		ours && $1 == "option" && $2 == name { print $3; exit }' /etc/config/network
}

# True when the owner switched it on. nvram's upnp_enable, where it is set, goes before the file's option.
_is_enabled() {
	local value=
	[ -f /etc/config/network ] || value=$(_nvram upnp_enable)
	[ -n "$value" ] || value=$(_option enabled)
	[ "$(_option enable_upnp)$(_option enable_natpmp)" != 00 ] || return 1
	case $value in
	1 | on | true | yes | enabled) return 0 ;;
	esac
	return 1
}

# Print the device of the network $1 (lan, wan), up or not.
_device() {
	local device=
	if [ -f /lib/functions/network.sh ]; then
		. /lib/functions/network.sh
		network_get_device device "$1"
	elif [ -f /etc/config/network ]; then
		device=$(uci -P /var/state get "network.$1.ifname" 2>/dev/null) # what it is called now, e.g. pppoe-wan
		if [ -z "$device" ]; then
			device=$(_network_option "$1" ifname)
			[ "$(_network_option "$1" type)" != bridge ] || device=br-$1
			case $(_network_option "$1" proto) in
			ppp*) device=ppp0 ;;
			esac
		fi
	else
		device=$(_nvram "$1_ifname")
		# Linksys's own names keep the Ethernet device there when the WAN is a PPP link.
		case $(_nvram "$1_proto"),$device in
		*,ppp*) ;;
		pppoe,* | pptp,* | l2tp,*) device=ppp0 ;;
		esac
	fi
	echo "$device"
}

# Print "-o OPTION=NUMBER" for each of Linksys's own settings that nvram has; only where there is no uci.
_options() {
	local value= name=
	[ -f /etc/config/network ] && return
	for name in port=upnp_port notify_interval=upnp_ssdp_interval; do
		value=$(_nvram "${name#*=}")
		case $value in
		'' | *[!0-9]*) ;;
		*) echo "-o ${name%=*}=$value" ;;
		esac
	done
}

_has_address() {
	ifconfig "$1" 2>/dev/null | grep 'inet ' >/dev/null
}

_wait() {
	usleep 100000 2>/dev/null || sleep 1
}

# True while the keeper lives; its number may be another program's by now.
_is_kept() {
	local pid=
	read -r pid 2>/dev/null </var/run/miniigd.keeper
	[ -n "$pid" ] && grep keeper "/proc/$pid/cmdline" >/dev/null 2>&1
}

# End the keeper, then the daemon, and wait for that. Fails where no daemon was there to close its ports.
_end() {
	local left=50
	_is_kept && kill "$(cat /var/run/miniigd.keeper)"
	rm -f /var/run/miniigd.keeper
	pidof miniigd >/dev/null || return 1
	kill $(pidof miniigd)
	while pidof miniigd >/dev/null; do
		if [ $left = 0 ]; then
			kill -9 $(pidof miniigd)
			return 1
		fi
		left=$((left - 1))
		_wait
	done
}

start() {
	local wan external name device command description left=50
	external=$(_option external_iface)
	wan=$(_device "${external:-wan}")
	mkdir -p /var/run /etc/miniigd
	if ! _is_enabled; then
		stop
		return 0
	fi
	if [ -z "$wan" ] || ! _has_address "$wan"; then
		# /etc/hotplug.d/iface/50-miniigd starts it as soon as there is one.
		logger -t miniigd -p daemon.warn "the WAN (external_iface '$external') is not up yet, waiting for it"
		_is_kept || : >$SERVICE
		return 0
	fi
	command="$PROG -W $wan"
	name=$(_option internal_iface)
	for name in ${name:-lan}; do
		device=$(_device "$name")
		if [ -n "$device" ]; then
			command="$command -L $device"
		else
			logger -t miniigd -p daemon.warn "network '$name' (internal_iface) has no device, it is not served"
		fi
	done
	for name in $(_options); do
		command="$command $name"
	done
	description="$command $(md5sum /etc/config/upnpd 2>/dev/null)"
	if _is_kept && [ "$(cat $SERVICE 2>/dev/null)" = "$description" ]; then
		return 0
	fi
	_end
	echo "$description" >$SERVICE
	$KEEPER $command </dev/null 2>&1 | logger -t miniupnpd -p daemon.notice >/dev/null 2>&1 &
	until pidof miniigd >/dev/null || [ $left = 0 ]; do
		left=$((left - 1))
		_wait
	done
}

stop() {
	_end || . /usr/share/miniigd/close.sh
	rm -f $SERVICE
}

# What did not change goes on; connections through mappings live on in any case, and a restart brings the mappings back.
reload() {
	start
}

running() {
	pidof miniigd >/dev/null
}

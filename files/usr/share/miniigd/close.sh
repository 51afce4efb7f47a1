# Close what a killed daemon left open, by removing its chains (firewall4: by emptying them, they are the package's).
# Included where the service is stopped while no daemon lives; a living one does this itself.
if [ -x /sbin/fw4 ]; then
	for what in "chain inet fw4 upnp_prerouting" "chain inet fw4 upnp_postrouting" "set inet fw4 upnp_open" \
		"set inet fw4 upnp_open_from" "set inet fw4 upnp_open6" "set inet fw4 upnp_open6_from" \
		"set inet fw4 upnp_open6_port" "set inet fw4 upnp_open6_from_port"; do
		nft flush $what 2>/dev/null
	done
else
	for program in iptables ip6tables; do
		for table in nat filter; do
			# An iptables-save of 2005 has no -t, so look for the table in all that it prints.
			$program-save 2>/dev/null | sed -n "/^\*$table/,/^COMMIT/s/^-A \(.* -j MINIUPNPD.*\)/-D \1/p" |
				while read -r rule; do
					$program -t $table $rule
				done
			for chain in MINIUPNPD MINIUPNPD-POSTROUTING; do
				$program -t $table -F $chain 2>/dev/null && $program -t $table -X $chain
			done
		done
	done
fi
[ ! -x /usr/sbin/nft ] || nft delete table inet miniigd 2>/dev/null

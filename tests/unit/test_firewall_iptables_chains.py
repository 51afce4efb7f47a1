"""miniigd.firewall.iptables_chains: what is read from iptables' listings, and where jumps to our chains go."""

from miniigd.firewall.iptables_chains import HOOKS, is_device, jump, jump_lines, parse_listing

PREROUTING, POSTROUTING, FORWARD = HOOKS

# iptables 1.8 (it prints numbers of protocols), a zone of firewall3
FORWARD_ZONE = """Chain zone_wan_forward (1 references)
num   pkts bytes target     prot opt in     out     source               destination         
1  0  0 forwarding_wan_rule all  -- * * 0.0.0.0/0 0.0.0.0/0  /* !fw3: Custom wan forwarding rule chain */
2        0     0 ACCEPT     50   -- * br-lan 0.0.0.0/0 0.0.0.0/0  /* !fw3: Allow-IPSec-ESP */
3       12   720 ACCEPT     0    -- * * 0.0.0.0/0 0.0.0.0/0  ctstate DNAT /* !fw3: Accept port forwards */
4        0     0 zone_wan_dest_REJECT  0    --  *      *       0.0.0.0/0            0.0.0.0/0            /* !fw3 */
"""
POSTROUTING_ZONE = """Chain zone_wan_postrouting (1 references)
num   pkts bytes target     prot opt in     out     source               destination
1       12   720 MASQUERADE  all  --  *      *       0.0.0.0/0            0.0.0.0/0           /* !fw3 */
"""
# iptables 1.3, the kernel's own chain of a router without any of those
OLD_FORWARD = """Chain FORWARD (policy DROP 0 packets, 0 bytes)
num   pkts bytes target     prot opt in     out     source               destination
1        0     0            tcp  --  *      *       0.0.0.0/0            0.0.0.0/0           tcp dpt:25
2        0     0 DROP       all  --  *      *       0.0.0.0/0            0.0.0.0/0           state INVALID
3        0     0 DROP       all  --  *      *       10.0.0.0/8           0.0.0.0/0
4     100K   12M ACCEPT     all  --  br0    *       0.0.0.0/0            0.0.0.0/0
5        0     0 DROP       all  --  br0    *       0.0.0.0/0            0.0.0.0/0
6        0     0 REJECT     tcp  --  *      *       0.0.0.0/0            0.0.0.0/0           reject-with tcp-reset
7  0  0 REJECT all  --  %s * 0.0.0.0/0   0.0.0.0/0    reject-with icmp-port-unreachable
"""
EMPTY = """Chain prerouting_rule (1 references)
num   pkts bytes target     prot opt in     out     source               destination
"""


def _with(listing, *lines):
    return parse_listing(listing + "".join(["%d 0 0 %s\n" % (index + 1, line) for index, line in enumerate(lines)]))


def test_listings_are_read():
    rules = parse_listing(FORWARD_ZONE)
    assert [rule.target for rule in rules] == ["forwarding_wan_rule", "ACCEPT", "ACCEPT", "zone_wan_dest_REJECT"]
    assert [rule.protocol for rule in rules] == ["all", "50", "0", "0"]
    assert [rule.conditions for rule in rules] == [[], [], ["ctstate", "DNAT"], []]
    assert [rule.device_out for rule in rules] == ["*", "br-lan", "*", "*"]
    rules = parse_listing(OLD_FORWARD % "ppp0")
    assert [rule.target for rule in rules] == ["", "DROP", "DROP", "ACCEPT", "DROP", "REJECT", "REJECT"]
    assert rules[0].conditions == ["tcp", "dpt:25"] and rules[2].source == "10.0.0.0/8"
    assert [rule.matches_all("ppp0") for rule in rules] == [False] * 6 + [True]
    assert [rule.matches_all("eth1") for rule in rules] == [False] * 7
    assert parse_listing(EMPTY) == []


def test_what_is_no_listing_has_no_rules():
    for text in ("", "\n", "iptables: No chain/target/match by that name.\n", "1\n", "1 2 3 4 5 6 7 8\n",
                 "x 0 0 ACCEPT all -- * * 0.0.0.0/0 0.0.0.0/0\n", "1 0 0 all -- * * 0.0.0.0/0\n"):
        assert parse_listing(text) == [], text
    for length in range(len(FORWARD_ZONE)):
        assert len(parse_listing(FORWARD_ZONE[:length])) <= 4


CASES = (
    (FORWARD, "zone_wan_forward", FORWARD_ZONE, ["-I zone_wan_forward 4 -j MINIUPNPD"]),
    (POSTROUTING, "zone_wan_postrouting", POSTROUTING_ZONE, ["-I zone_wan_postrouting 1 -j MINIUPNPD-POSTROUTING"]),
    (PREROUTING, "zone_wan_prerouting", EMPTY, ["-A zone_wan_prerouting -j MINIUPNPD"]),
    (PREROUTING, "prerouting_rule", EMPTY, ["-A prerouting_rule -i ppp0 -j MINIUPNPD"]),
    (POSTROUTING, "postrouting_rule", EMPTY, ["-A postrouting_rule -o ppp0 -j MINIUPNPD-POSTROUTING"]),
    (FORWARD, "FORWARD", OLD_FORWARD % "ppp0", ["-I FORWARD 7 -i ppp0 -j MINIUPNPD"]),
    (FORWARD, "FORWARD", OLD_FORWARD % "*", ["-I FORWARD 7 -i ppp0 -j MINIUPNPD"]),
    (FORWARD, "FORWARD", OLD_FORWARD % "ppp1", ["-A FORWARD -i ppp0 -j MINIUPNPD"]),
)


def test_a_jump_goes_where_it_still_has_effect():
    for hook, place, listing, lines in CASES:
        assert jump_lines(hook, place, parse_listing(listing), "ppp0") == lines, place


def test_a_narrow_masquerade_comes_after_ours_too():
    rules = _with("", "MASQUERADE all -- * ppp0 192.168.1.0/24 0.0.0.0/0")
    assert jump_lines(POSTROUTING, "POSTROUTING", rules, "ppp0") == [
        "-I POSTROUTING 1 -o ppp0 -j MINIUPNPD-POSTROUTING"]
    assert jump_lines(FORWARD, "FORWARD", rules, "ppp0") == ["-A FORWARD -i ppp0 -j MINIUPNPD"]


OURS, OTHER = "MINIUPNPD all -- * * 0.0.0.0/0 0.0.0.0/0", "ACCEPT tcp -- * * 0.0.0.0/0 0.0.0.0/0 tcp dpt:22"
OURS_HERE, OURS_OLD = "MINIUPNPD 0 -- ppp0 * 0.0.0.0/0 0.0.0.0/0", "MINIUPNPD 0 -- ppp1 * 0.0.0.0/0 0.0.0.0/0"
REJECT = "reject all -- * * 0.0.0.0/0 0.0.0.0/0 /* !fw3 */"
# (place, rules that are there, lines)
THERE = (
    ("zone_wan_forward", (OTHER, OURS, REJECT), []),
    ("zone_wan_forward", (OURS, OTHER, REJECT), []),
    ("zone_wan_forward", (OURS,), []),
    ("zone_wan_forward", (REJECT, OURS), ["-D zone_wan_forward -j MINIUPNPD", "-I zone_wan_forward 1 -j MINIUPNPD"]),
    ("zone_wan_forward", (OURS, OTHER, OURS, REJECT), [
        "-D zone_wan_forward -j MINIUPNPD", "-D zone_wan_forward -j MINIUPNPD", "-I zone_wan_forward 2 -j MINIUPNPD"]),
    ("zone_wan_forward", (OURS_OLD, REJECT), [
        "-D zone_wan_forward -i ppp1 -j MINIUPNPD", "-I zone_wan_forward 1 -j MINIUPNPD"]),
    ("forwarding_rule", (OURS_HERE,), []),
    ("forwarding_rule", (OURS_OLD, OTHER), [
        "-D forwarding_rule -i ppp1 -j MINIUPNPD", "-A forwarding_rule -i ppp0 -j MINIUPNPD"]),
    ("forwarding_rule", (OURS,), ["-D forwarding_rule -j MINIUPNPD", "-A forwarding_rule -i ppp0 -j MINIUPNPD"]),
    # somebody's own, narrower: not ours to take away
    ("zone_wan_forward", (OURS + " mark match 0x1", REJECT), ["-I zone_wan_forward 2 -j MINIUPNPD"]),
)


def test_one_jump_is_left_whatever_is_there():
    for place, there, lines in THERE:
        assert jump_lines(FORWARD, place, _with("", *there), "ppp0") == lines, there


def test_the_jump_of_a_zone_names_no_device():
    assert jump(FORWARD, "zone_wan_forward", "ppp0") == "-j MINIUPNPD"
    assert jump(POSTROUTING, "POSTROUTING", "ppp0") == "-o ppp0 -j MINIUPNPD-POSTROUTING"


def test_devices():
    for name in ("eth1", "pppoe-wan", "eth0.2", "br-lan", "wan@eth0", "3g-wan_2"):
        assert is_device(name), name
    for name in ("", "eth1 -j ACCEPT", "eth+", "eth1\n", "!eth1", "a" * 16, "\u00e9th0", "eth1;", "*"):
        assert not is_device(name), name


def test_input_is_never_entered():
    for hook in HOOKS:
        for place in hook.places:
            assert "input" not in place.lower()


# ip6tables leaves the column of options blank; newer ones do not
FORWARD_ZONE_6 = """Chain zone_wan_forward (1 references)
num   pkts bytes target     prot opt in     out     source               destination
1        0     0 ACCEPT     tcp      *      *       2001:db8::/32        ::/0                 tcp dpt:22
2        3   180            all      br-lan *       ::/0                 ::/0
3        0     0 ACCEPT     all  --  *      *       fe80::1              !2001:db8:0:1:2:3:4:5  /* x */
4        0     0            tcp  --  *      *       ::/0                 ::/0
5        0     0 zone_wan_dest_REJECT  all      *      *       ::/0                 ::/0                 /* !fw3 */
"""


def test_listings_of_ip6tables_are_read():
    rules = parse_listing(FORWARD_ZONE_6)
    assert [(rule.target, rule.protocol, rule.device_in, rule.source) for rule in rules] == [
        ("ACCEPT", "tcp", "*", "2001:db8::/32"), ("", "all", "br-lan", "::/0"), ("ACCEPT", "all", "*", "fe80::1"),
        ("", "tcp", "*", "::/0"), ("zone_wan_dest_REJECT", "all", "*", "::/0")]
    assert rules[0].conditions == ["tcp", "dpt:22"] and rules[2].destination == "!2001:db8:0:1:2:3:4:5"
    assert [rule.matches_all("eth1") for rule in rules] == [False] * 4 + [True]
    assert jump_lines(FORWARD, "zone_wan_forward", rules, "eth1") == ["-I zone_wan_forward 5 -j MINIUPNPD"]
    for length in range(len(FORWARD_ZONE_6)):
        assert len(parse_listing(FORWARD_ZONE_6[:length])) <= 5

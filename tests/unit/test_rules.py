"""miniigd.rules: rules as both schemas write them; a wrong one never opens more than was meant."""

from helpers import raised
from miniigd import rules
from miniigd.uci import Section

ANY = (0, 0, 0, 0)


def _parsed(options, kind="perm_rule", number=1):
    section = Section(kind, "")
    section.options = list(options)
    rule, problems = rules.parse(section, number)
    return None if rule is None else rules.text_of(rule), problems


def test_ports():
    for text, ports in (("80", (80, 80)), ("80-90", (80, 90)), ("80:90", (80, 90)), ("0-65535", (1, 65535)),
                        ("65535", (65535, 65535)), ("1024-1024", (1024, 1024))):
        assert rules.parse_ports(text) == ports
    for text in ("", "-", "80-", "-80", "90-80", "65536", "1-65536", "http", "80 90", "1-2-3", "0x50", "8_0", "+80",
                 "\u0668", "99999999999999999999", "80,90"):
        raised(ValueError, rules.parse_ports, text)
    first, last = rules.parse_ports("0")  # no port
    assert first > last


def test_lists_of_ports():
    for text in ("", "80", "21 23 135 137-139 445 3389", " 80  8000:8010 "):
        assert rules.are_ports(text), text
    for text in ("80,443", "80 x", "-", "1-2 2-1"):
        assert not rules.are_ports(text), text


def test_networks():
    for text, expected in (("0.0.0.0/0", ANY), ("192.168.1.5", (0xC0A8, 0x0105, 0xFFFF, 0xFFFF)),
                           ("192.168.1.5/32", (0xC0A8, 0x0105, 0xFFFF, 0xFFFF)),
                           ("192.168.1.5/24", (0xC0A8, 0x0100, 0xFFFF, 0xFF00)),
                           ("192.168.1.0/255.255.255.0", (0xC0A8, 0x0100, 0xFFFF, 0xFF00)),
                           ("10.0.0.0/8", (0x0A00, 0, 0xFF00, 0)), ("172.31.0.0/12", (0xAC10, 0, 0xFFF0, 0))):
        assert rules.parse_network(text) == expected, text
    for text in ("", "/", "192.168.1", "192.168.1.0/", "192.168.1.0/33", "192.168.1.0/-1", "192.168.1.256", "lan",
                 "::/0", "192.168.1.0/24/8", "192.168.1.0/x", "1.2.3.4/255.255"):
        raised(ValueError, rules.parse_network, text)


def test_filters_of_descriptions():
    for text, pieces in (("Torrent", ("", "torrent", "")), ("^Torrent$", ("torrent",)), ("^a b", ("a b", "")),
                         ("^.*$", ("", "")), ("a.*b$", ("", "a", "b")), (".*", ("", "", "", ""))):
        assert rules.parse_filter(text) == pieces, text
    for text in ("a.b", "a+", "(a|b)", "[ab]", "a\\.b", "a*", "a{2}", "a^", "$a", "a?"):
        raised(ValueError, rules.parse_filter, text)


def test_rules_of_the_first_schema():
    for options, text in (
            ((("action", "allow"), ("ext_ports", "1024-65535"), ("int_addr", "0.0.0.0/0"),
              ("int_ports", "1024-65535"), ("comment", "Allow high ports")),
             "allow 1024-65535 0.0.0.0/0 1024-65535"),
            ((("action", "deny"), ("ext_ports", "0-65535"), ("int_addr", "0.0.0.0/0"), ("int_ports", "0-65535")),
             "deny 1-65535 0.0.0.0/0 1-65535"),
            ((), "deny 1-65535 0.0.0.0/0 1-65535"), ((("ext_ports", ""),), "deny 1-65535 0.0.0.0/0 1-65535"),
            ((("action", "allow"), ("ext_ports", "80"), ("int_addr", "192.168.1.5"), ("int_ports", "8080:8090")),
             "allow 80-80 192.168.1.5/32 8080-8090")):
        assert _parsed(options) == (text, []), options


def test_rules_of_the_second_schema():
    for options, text in (
            ((("action", "accept"), ("ext_port", "80"), ("int_port", "81"), ("int_addr", "192.168.1.0/24")),
             "allow 80-80 192.168.1.0/24 81-81"),
            ((("action", "reject"), ("descr_filter", "^x.*y$")), 'deny 1-65535 0.0.0.0/0 1-65535 "x.*y"'),
            ((("action", "ignore"), ("ext_port", "nonsense")), None)):
        assert _parsed(options, "acl_entry") == (text, []), options


def test_a_rule_says_in_the_log_which_one_it_is():
    section = Section("perm_rule", "")
    assert str(rules.parse(section, 3)[0]) == "perm_rule 3"
    section.options = [("comment", "no games")]
    assert str(rules.parse(section, 4)[0]) == "perm_rule 4 (no games)"


def test_what_is_wrong_is_named_and_opens_nothing():
    for name, value, word in (("ext_ports", "high", "1024-65535"), ("int_ports", "90-80", "1024-65535"),
                              ("int_addr", "pc", "192.168.1.0/24"), ("descr_filter", "a|b", ".*"),
                              ("int_adr", "192.168.1.5", "no rule has it")):
        for action in ("allow", "accept"):
            rule, problems = _parsed((("action", action), (name, value)))
            assert rule is None
            (line,) = problems
            assert "section perm_rule 1, option %s: " % name in line and word in line and "left out" in line
        rule, problems = _parsed((("action", "deny"), (name, value)))
        assert rule == "deny 1-65535 0.0.0.0/0 1-65535"  # denies more
        assert len(problems) == 1 and word in problems[0]
    rule, problems = _parsed((("action", "permit"), ("ext_ports", "80")), "acl_entry", 2)
    assert rule == "deny 80-80 0.0.0.0/0 1-65535"
    assert "section acl_entry 2, option action: 'permit' is not allow or deny" in problems[0]


def _texts(found):
    return ["%s   %s" % (rules.text_of(rule), rule) for rule in found]


def test_the_words_of_the_second_schema_about_ports():
    own = [rules.Rule(True, (5, 5), name="acl_entry 1")]
    assert _texts(rules.of_settings(own, 1, "80 1024-65535", "25", "23 137-139")) == [
        "deny 23-23 0.0.0.0/0 1-65535   reject_ports 23", "deny 1-65535 0.0.0.0/0 23-23   reject_ports 23",
        "deny 137-139 0.0.0.0/0 1-65535   reject_ports 137-139",
        "deny 1-65535 0.0.0.0/0 137-139   reject_ports 137-139",
        "allow 5-5 0.0.0.0/0 1-65535   acl_entry 1",
        "allow 80-80 0.0.0.0/0 80-80   access_preset 80",
        "allow 1024-65535 0.0.0.0/0 1024-65535   access_preset 1024-65535",
        "allow 25-25 0.0.0.0/0 25-25   accept_ports 25",
        "deny 1-65535 0.0.0.0/0 1-65535   access_preset"]
    assert _texts(rules.of_settings(own, 0, "", "", "")) == ["deny 1-65535 0.0.0.0/0 1-65535   access_preset"]

"""miniigd.check: the effective settings and rules of a file, or everything that is wrong in it."""

import io

from helpers import FIRST, SECOND, Files, Output
from miniigd import check, config, log
from miniigd import supervisor as supervisor_module


def _check(data, *arguments):
    """Return (exit status, lines); nothing goes to the log."""
    output = io.StringIO()
    with Files(config, data), Output(log) as logged:
        status = check.main(list(arguments or ("-c", "/etc/test")), output)
    assert logged.text() == ""
    return status, output.getvalue().split("\n")[:-1]


def test_the_settings_and_rules_of_the_first_schema():
    status, lines = _check(FIRST.encode())
    assert status == 0
    for line in ("enabled = 0   (from: file)", "port = 5000   (from: file)", "igdv1 = 1   (from: file)",
                 "notify_interval = 900   (from: default)", "log_output = default   (from: file)",
                 "uuid = one made from the LAN device's address   (from: default)",
                 "external_ip = the WAN device's address   (from: default)",
                 "presentation_url = the router's LAN address   (from: default)"):
        assert line in lines, line
    assert lines[-3:] == [
        "rule 1: allow 1024-65535 0.0.0.0/0 1024-65535   (perm_rule 1 (Allow high ports))",
        "rule 2: deny 1-65535 0.0.0.0/0 1-65535   (perm_rule 2 (Default deny))",
        "otherwise: allow ports from 1024, deny those below"]
    names = [line.partition(" = ")[0] for line in lines[:-3]]
    assert len(names) == len(set(names)) and "access_preset" not in names
    assert "upload" in names and "secure_mode" in names


def test_the_settings_and_rules_of_the_second_schema():
    status, lines = _check(SECOND.encode())
    assert status == 0
    for line in ("enabled = 1   (from: file)", "port = 5001   (from: file)", "igdv1 = 1   (from: file)",
                 "download_kbps = 50000   (from: file)", "enable_protocols = all   (from: file)",
                 "access_preset = accept-high-ports   (from: file)", "check_acl = 1   (from: default)"):
        assert line in lines, line
    assert lines[-1] == "rule 15: deny 1-65535 0.0.0.0/0 1-65535   (access_preset)"
    assert 'rule 13: allow 80-80 192.168.1.5/32 80-80 "web.*"   (acl_entry 1)' in lines


def test_every_option_has_its_line():
    _, lines = _check(SECOND.encode())
    attributes = set([row[0] for row in config.OPTIONS])
    assert len([line for line in lines if " = " in line]) == len(attributes)


def test_of_a_wrong_file_the_problems_are_shown_and_nothing_else():
    status, lines = _check(b"config upnpd 'config'\noption port x\noption colour blue\noption use_stun 1\n"
                           b"config perm_rule\noption ext_ports y\n")
    assert status == 1
    assert len(lines) == 4
    for start, line in zip(("/etc/test: section config, option port: 'x' is not a number from 1 to 65535",
                            "/etc/test: section config, option use_stun: '1' is not supported",
                            "/etc/test: section perm_rule 1, option ext_ports: 'y' is not a port",
                            "/etc/test: section config, option colour: there is no such option"), lines):
        assert line.startswith(start), line


def test_of_a_file_that_is_none_the_line_is_named():
    assert _check(b"config upnpd 'config'\nnonsense\n") == (1, ["/etc/test: line 2 is not UCI: nonsense"])
    assert _check(b"\xff\xfe") == (1, ["/etc/test is not text in UTF-8"])
    assert _check(None) == (1, ["/etc/test cannot be read"])


def test_a_wrong_command_line():
    for arguments in (("-c",), ("-x", "y"), ("-c", "a", "b"), ("/etc/test",)):
        status, lines = _check(b"", *arguments)
        assert status == 2 and lines[0].startswith("miniigd: check takes") and lines[1].startswith("usage: ")


def test_the_program_checks():
    with Files(config, b"config upnpd 'config'\noption port 5431\n"), Output(supervisor_module) as output:
        assert supervisor_module.main(["check", "-c", "/etc/test"]) == 0
    assert "port = 5431   (from: file)\n" in output.text()
    with Files(config, None), Output(supervisor_module) as output:
        assert supervisor_module.main(["check"]) == 1
    assert output.text() == "/etc/config/upnpd cannot be read\n"

"""The ipk: its form, its members, and that the same sources give the same bytes."""

import io
import sys
import tarfile

from package import ipk, kit

sys.path.insert(0, str(kit.TOP / "src"))
from miniigd import check  # noqa: E402


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return {info.name: (info, archive.extractfile(info).read() if info.isfile() else None)
                for info in archive.getmembers()}


def parts():
    outer = members(ipk.ipk().read_bytes())
    return outer, members(outer["./control.tar.gz"][1]), members(outer["./data.tar.gz"][1])


def test_form_is_what_opkg_takes():
    outer, control, data = parts()
    assert [name for name in outer if name != "."] == ["./control.tar.gz", "./data.tar.gz", "./debian-binary"]
    assert outer["./debian-binary"][1] == b"2.0\n"
    for info, _ in [*outer.values(), *control.values(), *data.values()]:
        assert (info.uid, info.gid, info.uname, info.gname) == (0, 0, "", "")
    fields = dict(line.split(": ", 1) for line in control["./control"][1].decode().splitlines() if line[0] != " ")
    assert fields["Package"] == "miniigd" and fields["Architecture"] == "mipsel_mips32"
    assert fields["Provides"] == "miniupnpd" and "Depends" not in fields
    assert ipk.ipk().name == "miniigd_%s_mipsel_mips32.ipk" % fields["Version"]


def test_members_and_modes():
    _, control, data = parts()
    assert data["./usr/sbin/miniigd"][0].mode == 0o755
    assert data["./etc/init.d/miniupnpd"][0].mode == 0o755
    assert data["./etc/config/upnpd"][0].mode == 0o644
    for script in ("./postinst", "./prerm", "./postrm"):
        assert control[script][0].mode == 0o755
    for conffile in control["./conffiles"][1].decode().split():
        assert "." + conffile in data
    assert b"option enabled '0'" in data["./etc/config/upnpd"][1]  # off until switched on


def test_same_sources_same_bytes(tmp_path, monkeypatch):
    first = ipk.ipk().read_bytes()
    monkeypatch.setattr(kit, "BUILD", tmp_path)  # everything is built again, elsewhere
    assert ipk.ipk().read_bytes() == first


def test_second_build_builds_nothing(capfd):
    ipk.ipk()
    capfd.readouterr()
    ipk.ipk()
    assert capfd.readouterr().out == ""


def test_every_kind_of_change_is_noticed(tmp_path):
    seen = {kit.digest([tmp_path])}
    (tmp_path / "a").mkdir()
    for change in (lambda: (tmp_path / "a" / "x").write_text("1"), lambda: (tmp_path / "a" / "x").write_text("2"),
                   lambda: (tmp_path / "a" / "x").chmod(0o755), lambda: (tmp_path / "a").rename(tmp_path / "b"),
                   lambda: (tmp_path / "l").symlink_to("b"), lambda: (tmp_path / "b" / "x").unlink()):
        change()
        digest = kit.digest([tmp_path])
        assert digest not in seen
        seen.add(digest)


def test_the_shipped_configuration_is_right_and_off(capsys):
    assert check.main(["-c", str(kit.TOP / "files" / "etc" / "config" / "upnpd")], sys.stdout) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "enabled = 0   (from: file)" in lines and "secure_mode = 1   (from: file)" in lines
    assert [line.partition("   ")[0] for line in lines if line.startswith("rule ")] == [
        "rule 1: allow 1024-65535 0.0.0.0/0 1024-65535", "rule 2: deny 1-65535 0.0.0.0/0 1-65535"]

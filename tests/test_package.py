"""The ipk: its form, its members, and that the same sources give the same bytes; and what else is made of it."""

import gzip
import hashlib
import io
import re
import subprocess
import sys
import tarfile

import pytest

from package import flash, ipk, kit

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

def test_form_is_what_an_ipkg_of_2005_takes():
    """Plain ustar headers only (no long names, no pax), in gzip, names with ./, and that age's name of the CPU."""
    outer = ipk.ipk("mipsel").read_bytes()
    for data in (outer, members(outer)["./control.tar.gz"][1], members(outer)["./data.tar.gz"][1]):
        assert data[:3] == b"\x1f\x8b\x08"
        raw, offset = gzip.decompress(data), 0
        while raw[offset]:
            assert raw[offset + 257:offset + 265] == b"ustar\x0000" and raw[offset + 156:offset + 157] in b"05"
            assert raw[offset:offset + 1] == b"."
            offset += 512 + -(-int(raw[offset + 124:offset + 135], 8) // 512) * 512
    control = members(members(outer)["./control.tar.gz"][1])["./control"][1].decode()
    assert "\nArchitecture: mipsel\n" in control
    # the name is all that differs
    assert members(outer)["./data.tar.gz"][1] == members(ipk.ipk().read_bytes())["./data.tar.gz"][1]


def test_every_architecture_that_is_at_hand_is_packed():
    for name in ipk.ARCHITECTURES:
        assert ipk.ipk(name).name.endswith("_%s.ipk" % name)
    with pytest.raises(kit.Stop, match="no compiler at hand for the architecture 'mips_24kc'"):
        ipk.ipk("mips_24kc")


def test_a_higher_release_is_another_version_of_the_same_files():
    first, second = (members(ipk.ipk(release=release).read_bytes()) for release in (1, 2))
    assert first["./data.tar.gz"][1] == second["./data.tar.gz"][1]
    assert "Version: %s\n" % ipk.version(2) in members(second["./control.tar.gz"][1])["./control"][1].decode()


def test_comments_of_scripts_stay_here_and_scripts_are_scripts():
    _, _, data = parts()
    for name, (info, content) in data.items():
        if content is None or name == "./usr/sbin/miniigd":
            continue
        assert (b"\n# " in content) == (name == "./etc/config/upnpd"), name
        if not name.endswith(".nft") and name != "./etc/config/upnpd":
            done = subprocess.run(["sh", "-n"], input=content, capture_output=True)
            assert done.returncode == 0, (name, done.stderr)
        assert content[:3] != b"#!/" or info.mode == 0o755 or name.endswith("rc.common"), name


def test_a_feed_says_what_is_in_it():
    folder = ipk.feed()
    text = (folder / "Packages").read_text()
    assert gzip.decompress((folder / "Packages.gz").read_bytes()).decode() == text and text.endswith("\n\n")
    fields = dict(line.split(": ", 1) for line in text.splitlines() if line and line[0] != " ")
    content = (folder / fields["Filename"]).read_bytes()
    assert int(fields["Size"]) == len(content)
    assert fields["SHA256sum"] == hashlib.sha256(content).hexdigest()
    assert (fields["Package"], fields["Version"]) == ("miniigd", ipk.version())
    assert sorted(path.name for path in folder.iterdir()) == ["Packages", "Packages.gz", fields["Filename"]]


def test_an_overlay_is_the_package_s_files_and_what_starts_them():
    _, _, data = parts()
    folder = ipk.overlay()
    found = {"./" + path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    links = {name: path for name, path in found.items() if path.is_symlink()}
    assert {name: path.read_bytes() for name, path in found.items() if name not in links} == {
        name: content for name, (_, content) in data.items() if content is not None}
    script = (kit.TOP / "files/etc/init.d/miniupnpd").read_text()
    assert sorted(links) == ["./etc/rc.d/%s%sminiupnpd" % (kind, re.search(r"^%s=(\d+)$" % word, script, re.M)[1])
                             for kind, word in (("K", "STOP"), ("S", "START"))]
    assert all(path.resolve() == found["./etc/init.d/miniupnpd"].resolve() for path in links.values())
    assert found["./etc/init.d/miniupnpd"].stat().st_mode & 0o777 == 0o755


# What of OpenWrt's build system the recipe leans on; scripts are taken over as package-ipkg.mk does.
RULES = """
SHELL:=/usr/bin/env bash
INCLUDE_DIR:=$(TOPDIR)/include
BUILD_DIR:=$(TOPDIR)/build_dir
DL_DIR:=$(TOPDIR)/dl
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
CP:=cp -fpR
HOSTCC:=host-cc
TARGET_CC:=target-cc
TARGET_CROSS:=target-
TARGET_CFLAGS:=-Os -march=target
PKG_JOBS:=-j3
"""
PACKAGE = """
define BuildPackage
$(eval $(call Package/$(1)))
compile:
	$(Build/Prepare)
	$(Build/Configure)
	$(Build/Compile)
install:
	$(call Package/$(1)/install,$(DEST))
export POSTINST=$$(call Package/$(1)/postinst)
export PRERM=$$(call Package/$(1)/prerm)
export POSTRM=$$(call Package/$(1)/postrm)
scripts:
	@echo "$$$$POSTINST" >$(DEST)/postinst; echo "$$$$PRERM" >$(DEST)/prerm; echo "$$$$POSTRM" >$(DEST)/postrm
show:
	@echo '$(PKG_VERSION)|$(PKG_RELEASE)|$(PKG_SOURCE)|$(PKG_SOURCE_URL)|$(PKG_HASH)|$(PROVIDES)|$(Package/$(1)/conffiles)'
endef
"""


@pytest.fixture
def buildroot(tmp_path):
    """Run make on OpenWrt's recipe in a stand-in for its build system; DEST is the folder `dest`."""
    (tmp_path / "include").mkdir()
    (tmp_path / "dest").mkdir()
    (tmp_path / "rules.mk").write_text(RULES)
    (tmp_path / "include/package.mk").write_text(PACKAGE)
    binary = tmp_path / "build_dir" / ("miniigd-" + ipk.version().rsplit("-", 1)[0]) / "lean" / "miniigd"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"\x7fELF")
    return lambda *words: kit.run(["make", "-C", kit.TOP / "package/miniigd", "TOPDIR=%s" % tmp_path,
                                   "DEST=%s" % (tmp_path / "dest"), "--no-print-directory", *words])


def test_the_recipe_for_openwrt_names_what_is_pinned(buildroot):
    version, release, source, url, checksum, provides, conffiles = buildroot("show").strip().split("|")
    pin = re.search(r"^micropython +(\w+) (.*)$", (kit.TOP / "package/setup/downloads.txt").read_text(), re.M)
    assert (checksum, "%s/%s" % (url, source)) == (pin[1], "@DEBIAN/" + pin[2])
    assert "%s-%s" % (version, release) == ipk.version()
    assert (provides, conffiles) == ("miniupnpd", "/etc/config/upnpd")


def test_the_recipe_for_openwrt_builds_with_its_compiler(buildroot):
    """Which makes it runs; the second one's sources are compiled for real by package/runtime.py."""
    lines = buildroot("-n", "compile", "MAKE=echo make").splitlines()
    assert any(line.startswith("xzcat ") and "/dl/micropython_" in line for line in lines)
    first, second = [line for line in lines if line.startswith("make ")]
    assert "/mpy-cross CC=host-cc " in first
    assert "-C %s/package/micropython-lean " % kit.TOP in second
    assert " CC=target-cc -march=target " in second and " STRIP=target-strip " in second
    assert re.search(r" TOP=(\S+) BUILD=\1/lean ", second)
    assert re.search(r" MICROPY_MPYCROSS=\S+/mpy-cross/build/mpy-cross$", second)


def test_the_recipe_for_openwrt_installs_what_the_ipk_has(buildroot, tmp_path):
    buildroot("install")
    _, control, data = parts()
    found = {"./" + path.relative_to(tmp_path / "dest").as_posix(): (path.read_bytes(), path.stat().st_mode & 0o777)
             for path in (tmp_path / "dest").rglob("*") if path.is_file()}
    expected = {name: (content, info.mode) for name, (info, content) in data.items() if content is not None}
    expected["./usr/sbin/miniigd"] = (b"\x7fELF", 0o755)
    assert found == expected
    buildroot("scripts")
    for name in "postinst", "prerm", "postrm":  # make expands nothing in them
        assert (tmp_path / "dest" / name).read_bytes().strip() == control["./" + name][1].strip()


def test_it_takes_no_more_flash_than_it_is_allowed_to():
    """The limit is there for what slips in; how far the aim is `make flash-report` says."""
    for (compression, block), (alone, without, with_it) in flash.measure().items():
        assert 50000 < with_it - without < flash.LIMIT, (compression, block)
        assert 50000 < alone < flash.LIMIT, (compression, block)


def test_the_flash_report_is_a_table_for_people():
    text = flash.report()
    assert re.search(r"^lzma, 256K blocks +\d+ +\d+ +\d+ +\d+$", text, re.M)
    assert "4096 KB of flash leave 3776 KB" in text and "The aim with lzma and 256K blocks is 112640: " in text

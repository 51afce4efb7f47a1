"""Build what goes onto a router: the ipk, a feed of it, and a tree for an image builder.

An ipk is a gzip'd tar of ./debian-binary, ./control.tar.gz and ./data.tar.gz, in the oldest form that there is (ustar):
opkg takes it, and so does the ipkg of 2005. The same sources give the same bytes: fixed order, owner root by number,
one fixed time stamp.

    ipk()             # for a WRT54G since 2017 (LEDE 17.01): mipsel_mips32
    ipk("mipsel")     # the same files under the name that White Russian's and Kamikaze's ipkg has for it
"""

import gzip
import hashlib
import io
import platform
import re
import shutil
import tarfile
from pathlib import Path

from package import kit, runtime
from package.toolchain import HOST, MIPS32

ARCHITECTURE = "mipsel_mips32"  # OpenWrt's name for the WRT54G's CPU
# OpenWrt's name of an architecture -> the toolchain. Code for MIPS32 release 1 without an FPU runs on all of these.
ARCHITECTURES = dict.fromkeys((ARCHITECTURE, "mipsel", "brcm47xx", "mipsel_24kc", "mipsel_74kc"), MIPS32)
if platform.machine() == "x86_64":
    ARCHITECTURES["x86_64"] = HOST  # musl, static: the build machine's own compiler makes it
RELEASE = 1
_FILES = kit.TOP / "files"
_CONTROL = kit.TOP / "package" / "miniigd" / "control"
_TIME = 1767225600  # 2026-01-01; of every file in the package
_EDITED = ("etc/config/upnpd",)
_START_LINKS = ("etc/rc.d/S94miniupnpd", "etc/rc.d/K15miniupnpd")


def version(release=RELEASE):
    """The package's version: the daemon's own and the release of the packaging."""
    text = (kit.TOP / "src" / "miniigd" / "__init__.py").read_text()
    return "%s-%d" % (re.search(r'VERSION = "(.*)"', text)[1], release)


def ipk(architecture=ARCHITECTURE, release=RELEASE):
    """Return the path of the package, built again only if something in it changed."""
    binary = _binary(architecture)
    path = kit.BUILD / ("miniigd_%s_%s.ipk" % (version(release), architecture))

    def build():
        with kit.step("Packing " + path.name):
            data = _data(binary)
            control = [("control", _control(architecture, release, data), 0o644)] + [
                entry for entry in _files(_CONTROL) if entry[0] != "control"]
            path.write_bytes(_tar([("debian-binary", b"2.0\n", 0o644), ("control.tar.gz", _tar(control), 0o644),
                                   ("data.tar.gz", _tar(data), 0o644)]))
            # what the numbers in a traceback stand for
            path.with_suffix(".names").write_bytes((binary.parent / "names.txt").read_bytes())

    return kit.product(path, [_FILES, _CONTROL, binary, Path(__file__), version(release)], build)


def feed(architecture=ARCHITECTURE):
    """Return a folder that opkg takes as a source: the package, Packages and Packages.gz."""
    package = ipk(architecture)
    content = package.read_bytes()
    folder = kit.BUILD / "feed" / architecture
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(package, folder)
    entry = _control(architecture, RELEASE, _data(_binary(architecture))).decode().split("Description:")
    # opkg looks at SHA256sum, the ipkg of 2005 at MD5Sum.
    text = "%sFilename: %s\nSize: %d\nMD5Sum: %s\nSHA256sum: %s\nDescription:%s\n" % (
        entry[0], package.name, len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest(),
        entry[1])
    (folder / "Packages").write_text(text)
    (folder / "Packages.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    return folder


def overlay(architecture=ARCHITECTURE):
    """Return a tree of the package's files for an image builder's FILES, with the links that start it at boot.

    It is off in such an image too, until somebody switches it on.
    """
    folder = kit.BUILD / "overlay" / architecture
    shutil.rmtree(folder, ignore_errors=True)
    for name, content, mode in _data(_binary(architecture)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    (folder / "etc/rc.d").mkdir()
    for name in _START_LINKS:
        (folder / name).symlink_to("../init.d/miniupnpd")
    return folder


def _binary(architecture):
    if architecture not in ARCHITECTURES:
        raise kit.Stop("there is no compiler at hand for the architecture '%s': take one of %s, or build it with "
                       "OpenWrt's own (package/miniigd/Makefile)" % (architecture, ", ".join(ARCHITECTURES)))
    return runtime.binary(ARCHITECTURES[architecture])


def _data(binary):
    """Every file on the router as (path, content, mode).

    Comments stay here, except in the file that people edit: they take more than 1 KB of a compressed flash.
    """
    return [(name, content if name in _EDITED else re.sub(rb"(?m)^[ \t]*# .*\n", b"", content), mode)
            for name, content, mode in _files(_FILES)] + [("usr/sbin/miniigd", binary.read_bytes(), 0o755)]


def _control(architecture, release, data):
    size = sum(len(content) for _, content, _ in data)
    fields = {"VERSION": version(release), "ARCHITECTURE": architecture, "INSTALLED_SIZE": str(size)}
    return re.sub(rb"@(\w+)@", lambda match: fields[match[1].decode()].encode(), (_CONTROL / "control").read_bytes())


def _files(folder):
    """Every file of a folder as (path, content, mode)."""
    return [(path.relative_to(folder).as_posix(), path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)
            for path in folder.rglob("*") if path.is_file()]


def _tar(members):
    """A gzip'd tar of (path, content, mode), with the folders that lead to each."""
    folders = {"/".join(name.split("/")[:depth]) for name, _, _ in members for depth in range(1, name.count("/") + 1)}
    entries = [(name, None, 0o755) for name in folders] + members
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content, mode in [(".", None, 0o755)] + sorted(entries, key=lambda entry: entry[0]):
            info = tarfile.TarInfo(name if name == "." else "./" + name)
            info.mode, info.mtime = mode, _TIME
            if content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            archive.addfile(info, None if content is None else io.BytesIO(content))
    return gzip.compress(raw.getvalue(), 9, mtime=0)

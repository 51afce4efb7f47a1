"""Build the OpenWrt package: an ipk, a gzip'd tar of ./debian-binary, ./control.tar.gz and ./data.tar.gz.

The same sources give the same bytes: fixed order, owner root by number, one fixed time stamp.
"""

import gzip
import io
import re
import tarfile
from pathlib import Path

from package import kit, runtime
from package.toolchain import MIPS32

ARCHITECTURE = "mipsel_mips32"  # OpenWrt's name for the WRT54G's CPU
RELEASE = 1
_FILES = kit.TOP / "files"
_CONTROL = kit.TOP / "package" / "miniigd" / "control"
_TIME = 1767225600  # 2026-01-01; of every file in the package


def version():
    """The package's version: the daemon's own and the release of the packaging."""
    text = (kit.TOP / "src" / "miniigd" / "__init__.py").read_text()
    return "%s-%d" % (re.search(r'VERSION = "(.*)"', text)[1], RELEASE)


def ipk():
    """Return the path of the package, built again only if something in it changed."""
    binary = runtime.binary(MIPS32)
    path = kit.BUILD / ("miniigd_%s_%s.ipk" % (version(), ARCHITECTURE))

    def build():
        with kit.step("Packing " + path.name):
            data = _files(_FILES) + [("usr/sbin/miniigd", binary.read_bytes(), 0o755)]
            size = sum(len(content) for _, content, _ in data)
            fields = {"VERSION": version(), "ARCHITECTURE": ARCHITECTURE, "INSTALLED_SIZE": str(size)}
            control = [(name, re.sub(rb"@(\w+)@", lambda match: fields[match[1].decode()].encode(), content), mode)
                       for name, content, mode in _files(_CONTROL)]
            path.write_bytes(_tar([("debian-binary", b"2.0\n", 0o644), ("control.tar.gz", _tar(control), 0o644),
                                   ("data.tar.gz", _tar(data), 0o644)]))

    return kit.product(path, [_FILES, _CONTROL, binary, Path(__file__), version()], build)


def _files(folder):
    """Every file of a folder as (path, content, mode)."""
    return [(path.relative_to(folder).as_posix(), path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)
            for path in folder.rglob("*") if path.is_file()]


def _tar(members):
    """A gzip'd tar of (path, content, mode), with the folders that lead to each."""
    folders = {"/".join(name.split("/")[:depth]) for name, _, _ in members for depth in range(1, name.count("/") + 1)}
    entries = [(name, None, 0o755) for name in folders] + members
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content, mode in [(".", None, 0o755)] + sorted(entries):
            info = tarfile.TarInfo(name if name == "." else "./" + name)
            info.mode, info.mtime = mode, _TIME
            if content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            archive.addfile(info, None if content is None else io.BytesIO(content))
    return gzip.compress(raw.getvalue(), 9, mtime=0)

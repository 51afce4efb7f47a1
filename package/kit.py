"""What every build step shares: pinned downloads, cached products, programs run with a log and progress.

Nothing here knows what is built. Products that are expensive and rarely change (a C library, a kernel) are kept
outside the tree under a name that holds the hash of all they are made from, so they are built once on a machine.

    kit.run(["make", "-j2"], cwd=source)                     # raises Stop with the log's last lines
    path = kit.fetch("musl")                                 # downloaded once, checked always
    tree = kit.cached("musl-mipsel", [RECIPE, path], build)  # build(directory) is called on a miss only
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BUILD = TOP / "build"
CACHE = Path(os.environ.get("MINIIGD_CACHE") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "miniigd").resolve()
JOBS = str(os.cpu_count() or 1)
_PINS = TOP / "package" / "setup" / "downloads.txt"
_TICK = 10  # seconds between progress lines where output is no terminal


class Stop(Exception):
    """Work cannot go on; the text is one line for the person at the keyboard and says what to do."""


@contextlib.contextmanager
def step(text):
    """Say what is being done and, for what takes longer than a second, how long it took."""
    print("==> " + text, flush=True)
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    if took > 1:
        print("    done in %.0f s" % took, flush=True)


class _Progress:
    """A count that is shown while a long program prints: in place on a terminal, now and then elsewhere."""

    def __init__(self, total):
        self.count, self.total = 0, total
        self.terminal = sys.stdout.isatty()
        self.next = time.monotonic() + (0.2 if self.terminal else _TICK)

    def tick(self):
        self.count += 1
        now = time.monotonic()
        if now >= self.next:
            self.next = now + (0.2 if self.terminal else _TICK)
            text = "    %d of about %d" % (self.count, max(self.count, self.total))
            print(("\r" if self.terminal else "") + text, end="" if self.terminal else "\n", flush=True)

    def end(self):
        if self.terminal and self.count:
            print("\r\x1b[K", end="", flush=True)


def run(argv, cwd=None, env=None, input=None, lines=None):
    """Run a program and return what it printed; Stop with its last lines when it fails.

    `lines` is about how many lines it will print: then progress is shown against that.
    """
    argv = [str(word) for word in argv]
    try:
        process = subprocess.Popen(argv, cwd=cwd, env=dict(os.environ, LC_ALL="C", **(env or {})),
                                   stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except FileNotFoundError:
        raise Stop("the program %s is missing: run 'make setup'" % argv[0]) from None
    if lines is None:
        output = process.communicate(input)[0]
    else:
        progress, output = _Progress(lines), []
        for line in process.stdout:
            output.append(line)
            progress.tick()
        progress.end()
        process.wait()
        output = "".join(output)
    if process.returncode:
        log = BUILD / "failed.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(" ".join(argv) + "\n" + output)
        sys.stderr.write("".join("    | %s\n" % line for line in output.splitlines()[-15:]))
        raise Stop("%s failed with status %d; everything it printed is in %s" % (argv[0], process.returncode, log))
    return output


def digest(parts):
    """A short hash of `parts`: each a string, bytes, or the Path of a file or of a folder of files.

    Of a folder count the files' paths inside it, their contents, whether they can be run, and where links lead.
    """
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            for file in sorted(part.rglob("*")) if part.is_dir() else [part]:
                if "__pycache__" not in file.parts:
                    name = file.relative_to(part).as_posix() if file != part else file.name
                    total.update(("%s|%s|" % (name, _kind(file))).encode())
                    if file.is_file() and not file.is_symlink():
                        total.update(hashlib.sha256(file.read_bytes()).digest())
        else:
            total.update(hashlib.sha256(part if isinstance(part, bytes) else str(part).encode()).digest())
    return total.hexdigest()[:16]


def _kind(file):
    if file.is_symlink():
        return "-> %s" % file.readlink()
    return "folder" if file.is_dir() else "program" if file.stat().st_mode & 0o100 else "file"


@contextlib.contextmanager
def _locked(path):
    """Keep a second make out while this one makes what `path` is the lock of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cached(name, parts, build):
    """Return the folder that `build(folder)` fills, built only if nothing made from the same `parts` is kept."""
    target = CACHE / "built" / ("%s-%s" % (name, digest(parts)))
    if target.is_dir():
        return target
    with _locked(CACHE / "locks" / target.name):
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=name + ".", dir=target.parent))
            try:
                build(work)
                work.chmod(0o755)
                work.rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return target


def product(path, parts, build):
    """Return `path`, a file of the tree's build folder; `build()` makes it unless it was made from the same `parts`."""
    stamp = path.parent / (path.name + ".from")
    key = digest(parts)
    with _locked(BUILD / "locks" / path.relative_to(BUILD).as_posix().replace("/", "-")):
        if not (path.exists() and stamp.exists() and stamp.read_text() == key):
            stamp.unlink(missing_ok=True)  # what is interrupted is not taken for finished
            build()
            stamp.write_text(key)
    return path


def _pins():
    pins = {}
    for line in _PINS.read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            pins[words[0]] = (words[1], words[2])
    return pins


def _mirrors():
    """The archives apt is configured with, Debian's first."""
    listing = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    uris = run(listing + ["Origin: Debian"]).split() or run(listing).split()
    if not uris:
        raise Stop("apt knows no Debian mirror: run 'apt-get update', then make again")
    return sorted(set(uris), key=lambda uri: ("security" in uri, uri))


def fetch(name):
    """Return the path of the pinned download `name`; Stop when it cannot be had or is not what was pinned."""
    checksum, path = _pins()[name]
    target = CACHE / "downloads" / path.rsplit("/", 1)[1]
    if not target.exists():
        with _locked(CACHE / "locks" / ("download-" + name)):
            if not target.exists():
                _download(name, path, target)
    found = _sha256(target)
    if found != checksum:
        target.unlink()
        raise Stop("%s is not the file that package/setup/downloads.txt pins (SHA-256 %s...): it was deleted; "
                   "run make again, and if it happens again do not trust the mirror" % (target.name, found[:12]))
    return target


def _sha256(path):
    """The SHA-256 of a file; remembered beside it as long as its size and time are the same."""
    stat = path.stat()
    mark = "%d %d" % (stat.st_size, stat.st_mtime_ns)
    note = path.parent / (path.name + ".sha256")
    if note.exists():
        known, _, checksum = note.read_text().partition("|")
        if known == mark:
            return checksum
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    note.write_text(mark + "|" + checksum)
    return checksum


def _download(name, path, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / (target.name + ".partial")
    with step("Downloading " + target.name):
        for mirror in _mirrors():
            result = subprocess.run(
                ["/usr/lib/apt/apt-helper", "-o", "APT::Sandbox::User=root", "download-file",
                 mirror.rstrip("/") + "/" + path, str(partial)],
                stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if result.returncode == 0:
                partial.rename(target)
                return
    reason = re.findall(r"^E: (.*)$", result.stderr, re.M) or ["no answer"]
    raise Stop("cannot download %s (%s): check the network and apt's mirror, then run make again"
               % (target.name, re.sub(r"https?://\S+\s*", "", reason[0]).strip()))


def unpack(archive, folder, *patterns):
    """Unpack a .deb or .tar.* into `folder`; with `patterns` only the members that match them."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["--wildcards", *patterns] if patterns else []
    if archive.suffix == ".deb":
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as source:
            done = subprocess.run(["tar", "x", "-C", str(folder), *words], stdin=source.stdout, capture_output=True)
        if done.returncode:
            raise Stop("%s cannot be unpacked: delete it and run make again" % archive)
    else:
        run(["tar", "xf", archive, "-C", folder, "--strip-components=1", *words])

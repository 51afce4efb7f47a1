"""What can be made here. Each task says what it makes and from what; the Makefile calls them by the same names."""

import concurrent.futures
import functools
import os
import shutil
import subprocess
import sys

import invoke
import pytest

from package import ipk as ipk_builder
from package import flash, kit, runtime
from package.toolchain import HOST, MIPS32


def task(function):
    """An invoke task that ends with one clear line when work cannot go on."""

    @functools.wraps(function)
    def guarded(*args, **named):
        try:
            return function(*args, **named)
        except kit.Stop as stop:
            raise invoke.Exit("miniigd: %s" % stop, 1)

    return invoke.task(guarded)


@task
def run(context, model="debian"):
    """Build, boot the router, show it working; on a terminal keep it up for one's own clients."""
    from qemu import demo, lab

    lab.check_preconditions()
    package = ipk_builder.ipk()
    with lab.Lab(model) as router:
        demo.Demonstration(router, package).show()
        status = router.router.check("grep -E 'VmRSS|RssAnon|RssFile' /proc/$(pidof miniigd)/status")
        print("==> It works. Memory of the daemon: " + ", ".join(
            " ".join(line.split()) for line in status.splitlines()))
        if sys.stdin.isatty() and sys.stdout.isatty():
            print("The router stays up. From another terminal:\n"
                  "  make shell-lan      a shell on the LAN host: try your own client there, e.g. upnpc -m eth0 -s\n"
                  "  make shell-wan      a shell on the WAN host\n"
                  "  make shell-router   a shell on the router: logread, nft list table inet fw4\n"
                  "Press Return to switch it off.")
            sys.stdin.readline()


@task
def test(context, only=""):
    """Run every test: the unit tests on both Pythons, and the router's on all models."""
    from qemu import image as images
    from qemu import lab

    lab.check_preconditions()
    # What tests need is built before, where its progress can be seen.
    ipk_builder.ipk()
    for target in HOST, MIPS32:
        runtime.binary(target, tests=True)
    runtime.fuzzed()
    for model in images.MODELS:
        images.image(model)
    sys.exit(_test(only.split() or ["tests"]))


# Two processes, each with one emulated router at a time: a router keeps less than a core busy.
_LANES = (("debian", "host"), ("wrt", "bare"))


def _test(paths):
    """Run the tests of each group, and once more what failed; return the exit status."""
    with concurrent.futures.ThreadPoolExecutor(len(_LANES)) as lanes:
        failed = sum(lanes.map(lambda lane: [_test_group(group, paths) for group in lane], _LANES), [])
    failed = [name for names in failed for name in names]
    if not failed:
        return 0
    # An emulated router stops getting its timer's interrupts now and then; whatever else fails does so again.
    print("==> Trying once more what failed", flush=True)
    return subprocess.call([sys.executable, "-m", "pytest", "-q", *failed])


def _test_group(group, paths):
    """Run the tests of one group, and print how they went; return the names of those that failed."""
    log, failed = kit.BUILD / ("tests-%s.log" % group), kit.BUILD / ("tests-%s.failed" % group)
    failed.unlink(missing_ok=True)
    print("==> Testing: %s (see %s)" % (group, log), flush=True)
    with open(log, "w") as file:
        status = subprocess.call([sys.executable, "-m", "pytest", "-q", "--group", group, "--failed-file", failed,
                                  *paths], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    print("==> Tested: %s\n%s" % (group, log.read_text()), flush=True)
    if status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        return []
    if status != pytest.ExitCode.TESTS_FAILED:
        return paths  # it did not get to the end: everything anew
    return failed.read_text().splitlines()


@task
def fuzz(context, seconds=300, only=""):
    """Fuzz every parser for so many seconds each, and keep the inputs that reach something new."""
    os.execv(sys.executable, [sys.executable, "tests/fuzz/fuzz.py", "--seconds", str(seconds), *only.split()])


@task
def soak(context, model="debian", seconds=300, seed=0):
    """Load a router from many hosts and disturb it for so many seconds; then all must agree on what is open."""
    ipk_builder.ipk()
    os.execv(sys.executable, [sys.executable, "tests/soak/soak.py", "--model", model, "--seconds", str(seconds),
                              "--seed", str(seed)])


@task
def bench(context, most=1000):
    """Compare with miniupnpd on the emulated router: docs/performance.md, its plots and raw numbers."""
    os.execv(sys.executable, [sys.executable, "tests/bench/bench.py", "--most", str(most)])


@task
def lint(context):
    """Check the shape of the source and its MicroPython subset."""
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "-q", "tests/test_shape.py", "tests/test_subset.py"])


@task
def ipk(context, arch=ipk_builder.ARCHITECTURE):
    """Build the OpenWrt package from src/ and files/."""
    print(ipk_builder.ipk(arch))


@task
def feed(context, arch=ipk_builder.ARCHITECTURE):
    """Build a folder that opkg takes as a source of packages."""
    print(ipk_builder.feed(arch))


@task
def overlay(context, arch=ipk_builder.ARCHITECTURE):
    """Build a tree to drop into an image builder's FILES."""
    print(ipk_builder.overlay(arch))


@task
def flash_report(context):
    """Say what the package costs on flash, alone and within a router's root."""
    print(flash.report())


@task
def image(context, model="debian"):
    """Build a router image: Debian's kernel and packages, or (wrt) all of it from source for MIPS32r1."""
    from qemu import image as images

    print(images.image(model).disk)


@task
def shell_lan(context):
    """A shell on the LAN host of the running router."""
    from qemu import lab

    lab.shell_lan()


@task
def shell_wan(context):
    """A shell on the WAN host of the running router."""
    from qemu import lab

    lab.shell_wan()


@task
def shell_router(context):
    """A shell on the running router."""
    from qemu import lab

    lab.shell_router()


@task
def clean(context):
    """Remove what was built in the tree; downloads and toolchains stay in the cache."""
    shutil.rmtree(kit.BUILD, ignore_errors=True)

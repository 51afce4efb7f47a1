"""Fuzz the parsers on CPython, led by coverage (atheris), from the kept corpus; see targets.py.

    python tests/fuzz/fuzz.py --seconds 60 [TARGET ...]     # each of them for so long; what covers more is kept
    python tests/fuzz/fuzz.py --runs 2000 --seed 1          # the same inputs each time; nothing is kept

An input that a target does not survive is printed and put into build/fuzz, and the exit status is 1. When it is mended
it belongs into the target's corpus.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
for folder in "src", "tests/unit", "tests/replay", "tests/fuzz":
    sys.path.insert(0, str(TOP / folder))

CORPUS = Path(__file__).resolve().parent / "corpus"
FOUND = TOP / "build" / "fuzz"
_MAX_LENGTH = 4096  # bytes of an input
_SLOW = 5  # seconds that no input may take
# Words that random bytes would take long to find; quoted as libFuzzer wants them.
_WORDS = (
    "GET ", "POST ", "SUBSCRIBE ", "UNSUBSCRIBE ", "M-SEARCH * ", " HTTP/1.1", " HTTP/1.0", "\\x0d\\x0a", "Host: ",
    "192.168.1.1:5000", "192.168.1.2", "Content-Length: ", "Transfer-Encoding: chunked", "Expect: 100-continue",
    "Connection: keep-alive", "SOAPAction: ", "urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping",
    "urn:schemas-upnp-org:service:WANIPConnection:2#AddAnyPortMapping", "/upnp/control/WANIPConn1", "/rootDesc.xml",
    "/upnp/event/WANIPConn1", "ST: ", "ssdp:all", "upnp:rootdevice", "MAN: \\x22ssdp:discover\\x22", "MX: ",
    "NT: upnp:event", "CALLBACK: <http://192.168.1.2:80/>", "TIMEOUT: Second-", "SID: uuid:1", "<s:Envelope",
    "<s:Body>", "</s:Body></s:Envelope>", "<?xml version=\\x221.0\\x22?>", "<!DOCTYPE", "<![CDATA[", "]]>", "<!--", "-->",
    "&amp;", "&#x41;", "xmlns:u=", "<NewExternalPort>", "</NewExternalPort>", "<NewRemoteHost>", "<NewProtocol>TCP",
    "<NewInternalClient>", "<NewLeaseDuration>", "<NewPortMappingDescription>", "config upnpd 'config'", "\\x0aoption ",
    "config perm_rule", "ext_ports", "int_addr", "list ", "TCP:", "UDP:", ":0:", " [from ", "status", "close ", "pause ",
    "/* ", " */", "dpt:", "to:", "0.0.0.0/0", "anywhere",
)


def read_corpus(name):
    """Return the inputs of a target's corpus, list of bytes."""
    from replay import unescape  # not at the top: what is imported before _inside begins is not instrumented

    path = CORPUS / (name + ".txt")
    return [unescape(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def write_corpus(name, inputs):
    """Replace a target's corpus: a line for each input, in the notation of the transcripts."""
    from replay import escape

    (CORPUS / (name + ".txt")).write_text("".join(sorted(escape(data) + "\n" for data in set(inputs))))


def fuzz(name, seconds, runs, seed, module="targets"):
    """Fuzz one target in a process of its own.

    Return (the inputs worth keeping, the input that broke it or None, how many were tried).
    """
    with tempfile.TemporaryDirectory() as folder:
        seeds, kept, words = Path(folder) / "seeds", Path(folder) / "kept", Path(folder) / "words"
        for one in seeds, kept:
            one.mkdir()
        for number, data in enumerate(read_corpus(name)):
            (seeds / str(number)).write_bytes(data)
        words.write_text("".join('"%s"\n' % word for word in _WORDS))
        program = Path(folder) / "program"  # libFuzzer starts itself anew by this name
        program.write_text('#!/bin/sh\nexec "%s" "%s" --inside %s %s "$0" "$@"\n' % (
            sys.executable, __file__, module, name))
        program.chmod(0o755)
        done = _run(program, seeds, "-max_len=%d" % _MAX_LENGTH, "-seed=%d" % seed, "-timeout=%d" % _SLOW,
                    "-artifact_prefix=%s/broke-" % folder, "-dict=%s" % words,
                    "-max_total_time=%d" % seconds if seconds else "-runs=%d" % runs)
        broke = [path.read_bytes() for path in Path(folder).glob("broke-*")]
        if done.returncode:
            print(done.stdout[-4000:], flush=True)
            return [], broke[0] if broke else b"", 0
        tried = int(re.search(r"^Done (\d+) ", done.stdout, re.M)[1])
        if seconds:  # of all that was found, the fewest that cover as much
            done = _run(program, kept, seeds, "-merge=1", "-max_len=%d" % _MAX_LENGTH)
            if done.returncode:
                raise SystemExit("the inputs of %s could not be merged:\n%s" % (name, done.stdout[-2000:]))
        return [path.read_bytes() for path in kept.iterdir()], None, tried


def _run(*words):
    return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")


def _inside(module, name, arguments):
    """Be the process that is fuzzed."""
    import atheris

    with atheris.instrument_imports(include=["miniigd", module]):
        targets = __import__(module)
    atheris.Setup(arguments, targets.TARGETS[name])
    atheris.Fuzz()


def main(arguments):
    parser = argparse.ArgumentParser(description="Fuzz miniigd's parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=0, help="for each target; new inputs are kept")
    parser.add_argument("--runs", type=int, default=2000, help="inputs for each target, where no seconds are given")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers; the default is another each time")
    options = parser.parse_args(arguments)
    import targets

    names = options.targets or list(targets.TARGETS)
    for name in names:
        if name not in targets.TARGETS:
            parser.error("there is no target %s: take of %s" % (name, " ".join(targets.TARGETS)))
    seed = options.seed or random.randrange(1, 1 << 31)
    failures = 0
    for number, name in enumerate(names, 1):
        begin = time.monotonic()
        found, broke, tried = fuzz(name, options.seconds, options.runs, seed)
        if broke is not None:
            failures += 1
            FOUND.mkdir(parents=True, exist_ok=True)
            path = FOUND / name
            path.write_bytes(broke)
            print("%s does not survive %r (in %s, seed %d)" % (name, broke[:200], path, seed), flush=True)
            continue
        if options.seconds:
            write_corpus(name, found)
        print("%d/%d %s: %d inputs in %d s, seed %d%s" % (
            number, len(names), name, tried, time.monotonic() - begin, seed,
            ", %d in the corpus" % len(found) if options.seconds else ""), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(_inside(sys.argv[2], sys.argv[3], sys.argv[4:]) if sys.argv[1:2] == ["--inside"] else main(sys.argv[1:]))

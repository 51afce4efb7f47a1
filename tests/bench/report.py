"""docs/performance.md and its plots, made from docs/performance.json.

What stands between the markers is made anew by each run; the prose around them is written by hand and kept.
"""

import re

from package import kit

import plots

DATA = kit.TOP / "docs" / "performance.json"
_NAMES = ("miniigd", "miniupnpd-nft", "miniupnpd-ipt")
_MARKED = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.S)


def _cell(value):
    if value is None:
        return "-"
    return "%.0f" % value if value >= 100 else "%.1f" % value if value >= 10 else "%.2f" % value


def _table(head, lines):
    return "\n".join(["| %s |" % " | ".join(head), "|%s" % ("---|" * len(head))] +
                     ["| %s |" % " | ".join(line) for line in lines]) + "\n"


class Report:
    """Reads the `data`, makes the parts of the document."""

    def __init__(self, data):
        self._data, self._daemons = data, data["daemons"]

    def _row(self, name, row, key):
        return self._daemons.get(name, {}).get("rows", {}).get(row, {}).get(key)

    def _last_add(self):
        stops = sorted({int(row.split("-")[1]) for one in self._daemons.values() for row in one["rows"]
                        if row.startswith("add@")})
        return [stop for stop in stops if stop <= self._data["most"]]

    def _compare(self, title, values, floor=None):
        """A line of the comparison: a value for each daemon, the ratios to the first, the floor."""
        ours = values[0]
        ratios = ["%.2g" % (value / ours) if value is not None and ours else "-" for value in values[1:]]
        return [title, *map(_cell, values), *ratios, _cell(floor)]

    def comparison(self):
        """Every row of the comparison."""
        echo, netlink = self._data["floor"]["echo"], self._data["floor"].get("netlink", {})
        lines = []

        def add(title, row, key, floor=None):
            lines.append(self._compare(title, [self._row(name, row, key) for name in _NAMES], floor))

        stops = self._last_add()
        for below, stop in zip([0] + stops, stops):
            bare = netlink.get(str(stop))
            add("AddPortMapping %d to %d, CPU, mean" % (below, stop), "add@%d-%d" % (below, stop), "cpu_mean",
                None if bare is None else echo["cpu_mean"] + bare)
            add("... client waits, median", "add@%d-%d" % (below, stop), "wait_median")
            add("... client waits, p95", "add@%d-%d" % (below, stop), "wait_p95")
        for held in sorted({0, 10, 100, self._data["most"]}):
            for row, title in ("ext", "GetExternalIPAddress"), ("desc", "GET rootDesc.xml"), (
                    "entry", "GetGenericPortMappingEntry"):
                if held or row != "entry":
                    for key, what in (("cpu_mean", "CPU, mean"), ("wait_median", "client waits, median"),
                                      ("wait_p95", "client waits, p95")):
                        add("%s at %d, %s" % (title, held, what), "%s@%d" % (row, held), key,
                            echo[key] if key in echo else None)
        for held in sorted({int(row[7:]) for one in self._daemons.values() for row in one["rows"]
                            if row.startswith("delete@")}):
            for key, what in (("cpu_mean", "CPU, mean"), ("wait_median", "client waits, median"),
                              ("wait_p95", "client waits, p95")):
                add("DeletePortMapping at %d, %s" % (held, what), "delete@%d" % held, key)
        for row, title in ("search", "M-SEARCH, unicast"), ("multicast", "M-SEARCH, multicast, MX 2"), ("pcp", "PCP MAP"):
            for key, what in (("cpu_mean", "CPU, mean"), ("wait_median", "client waits, median"),
                              ("wait_p95", "client waits, p95")):
                add("%s, %s" % (title, what), row + "@0", key)
        for key, what in ("ms", "exec to the end of the first answer"), ("cpu", "CPU up to the first answer"):
            for is_cold in True, False:
                values = []
                for name in _NAMES:
                    found = [one[key] for one in self._daemons.get(name, {}).get("starts", [])]
                    found = found[:1] if is_cold else sorted(value for value in found[1:] if value is not None)
                    values.append(found[len(found) // 2] if found else None)
                lines.append(self._compare("Start: %s, %s" % (what, "files not in memory yet" if is_cold else "median"),
                                           values))
        return _table(["ms", "miniigd", "miniupnpd nft", "miniupnpd ipt", "nft / ours", "ipt / ours", "floor"], lines)

    def memory(self):
        """Memory by the number of mappings."""
        lines = []
        for held in sorted({int(held) for one in self._daemons.values() for held in one["memory"]}):
            for key in "VmRSS", "RssAnon", "RssFile", "Pss":
                values = [self._daemons.get(name, {}).get("memory", {}).get(str(held), {}).get(key) for name in _NAMES]
                lines.append(["%d" % held if key == "VmRSS" else "", key] + [
                    "-" if value is None else str(value) for value in values])
        return _table(["mappings", "kB", "miniigd", "miniupnpd nft", "miniupnpd ipt"], lines)

    def other(self):
        """Wake-ups, collections, flash."""
        lines = []
        for key, title in (("idle_wake_ups", "Wake-ups in an idle minute, no mapping"),
                           ("idle_wake_ups_with_mappings", "Wake-ups in an idle minute, with mappings")):
            lines.append([title] + [str(self._daemons.get(name, {}).get(key, "-")) for name in _NAMES])
        for key, title in ("program", "Flash, bytes: the program"), ("all", "Flash, bytes: with all that comes with it"):
            lines.append([title] + [str(self._data["flash"][name][key]) for name in _NAMES])
        collection = self._data.get("collection")
        if collection:
            lines.append(["Longest garbage collection up to %d mappings, ms" % collection["mappings"],
                          _cell(collection["longest_ms"]), "none", "none"])
        return _table(["", "miniigd", "miniupnpd nft", "miniupnpd ipt"], lines)

    def growth(self):
        """With hosts, and with requests in flight."""
        parts = []
        if "hosts" in self._data:
            parts.append(_table(["LAN hosts", "CPU, mean, ms", "client waits, median, ms", "p95, ms"], [
                [count, _cell(one["cpu_mean"]), _cell(one["wait_median"]), _cell(one["wait_p95"])]
                for count, one in self._data["hosts"].items()]))
        for key, title in ("in_flight", "miniigd"), ("in_flight_incumbent", "miniupnpd nft"):
            if key in self._data:
                parts.append(_table(["in flight, " + title, "answered", "CPU each, ms", "median wait, ms", "longest, ms"], [
                    [str(one["count"]), str(one["answered"]), _cell(one["cpu_each"]), _cell(one["wait_median"]),
                     _cell(one["wait_longest"])] for one in self._data[key]]))
        if "refusal" in self._daemons["miniigd"]:
            parts.append("miniigd held %d of these mappings, and refused the next one; up to there:\n"
                         % self._daemons["miniigd"]["most"])
        rows = self._daemons["miniigd"]["rows"]
        beyond = [row for row in rows if row.startswith("add@") and int(row.split("-")[1]) > self._data["most"]]
        if beyond:
            parts.append(_table(["AddPortMapping", "CPU, mean, ms", "client waits, median, ms", "RSS, kB"], [
                [row[4:].replace("-", " to "), _cell(rows[row]["cpu_mean"]), _cell(rows[row]["wait_median"]),
                 str(self._daemons["miniigd"]["memory"][row.split("-")[1]]["VmRSS"])] for row in beyond]))
        return "\n".join(parts)

    def profile(self):
        """Where the time of the profiled requests goes."""
        parts = []
        for name, one in self._data.get("profile", {}).items():
            parts.append("**%s**: %.2f ms in all names, %.2f ms of CPU by the kernel's account.\n" % (
                {"add": "AddPortMapping", "ext": "GetExternalIPAddress", "desc": "GET rootDesc.xml",
                 "delete": "DeletePortMapping"}[name], one["sum_ms"], one["cpu_ms"]))
            found = [row for row in one["rows"] if row[0] != "(poll)"]
            shown = found[:30] if name == "add" else found[:12]
            rest = sum(row[3] for row in found[len(shown):])
            lines = [[row[0], "%.2f" % row[1], "%.0f" % row[2], "%.3f" % row[3], "%.1f" % (100 * row[3] / one["sum_ms"])]
                     for row in shown]
            lines.append(["%d others" % (len(found) - len(shown)), "", "", "%.3f" % rest,
                          "%.1f" % (100 * rest / one["sum_ms"])])
            parts.append(_table(["function", "calls", "bytes allocated", "ms", "%"], lines))
        return "\n".join(parts)

    def plots(self):
        """{file name: SVG}."""
        series = []
        for name in _NAMES:
            rows = self._daemons.get(name, {}).get("rows", {})
            points = [(int(row.split("-")[1]), one["cpu_mean"]) for row, one in rows.items() if row.startswith("add@")]
            if points:
                series.append((name, self._daemons[name]["title"], points))
        netlink = [(int(held), value) for held, value in self._data["floor"].get("netlink", {}).items()]
        if netlink:
            series.append(("floor", "bare netlink transaction", netlink))
        memory = [(name, self._daemons[name]["title"], [(max(1, int(held)), one["VmRSS"])
                                                        for held, one in self._daemons[name]["memory"].items()])
                  for name in _NAMES if name in self._daemons]
        flash = [(name, name, [(one["program"], "program")] + (
            [(one["all"] - one["program"], ", ".join(one["libraries"]) or "scripts, settings")]))
                 for name, one in self._data["flash"].items()]
        return {"performance-add.svg": plots.lines("CPU time of one AddPortMapping (ms at 125 MIPS)", "mappings held", "ms",
                                                   series),
                "performance-memory.svg": plots.lines("Resident memory (kB)", "mappings held (1: none)", "kB", memory),
                "performance-flash.svg": plots.bars("Flash: squashfs with LZMA, 256 KB blocks", "bytes", flash)}


def write(data, folder):
    """Make the plots, and the marked parts of performance.md in `folder`, from the results of a run."""
    made = Report(data)
    for name, svg in made.plots().items():
        (folder / name).write_text(svg)
    path = folder / "performance.md"
    text = (path if path.exists() else kit.TOP / "docs" / "performance.md").read_text()
    path.write_text(_MARKED.sub(lambda match: match[1] + getattr(made, match[2])() + match[3], text))

# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's figures as tables: each contender by each measure, then the ratios with their bounds."""

from collections import namedtuple
from statistics import median

# measure, figure in it, heading, format
COLUMNS = (
    ("tcp", "gbit_s", "TCP Gb/s", "{:.2f}"),
    ("tcp", "sender_s_gb", "send s/GB", "{:.3f}"),
    ("tcp", "receiver_s_gb", "recv s/GB", "{:.3f}"),
    ("tcp", "retransmits", "retrans", "{:.0f}"),
    ("tcp4", "gbit_s", "4 streams", "{:.2f}"),
    ("reverse", "gbit_s", "reverse", "{:.2f}"),
    ("both", "gbit_s", "both ways", "{:.2f}"),
    ("udp64", "kpps", "64 B kpps", "{:.0f}"),
    ("udp512", "kpps", "512 B", "{:.0f}"),
    ("udp1400", "kpps", "1400 B", "{:.0f}"),
    ("steady", "us_packet", "us/packet", "{:.2f}"),
    ("idle", "p50_us", "idle us", "{:.1f}"),
    ("loaded", "p50_us", "loaded us", "{:.0f}"),
    ("tcp", "resident_mib", "MiB", "{:.1f}"),
    ("start", "ms", "start ms", "{:.0f}"),
)


# What is compared with its bound and its aim.  floor: what a tunnel that does nothing has in minivpn's
# place, or one that does nothing but encrypt (tools/benchmark/relay.c), where that says something.
Row = namedtuple("Row", "what found bound aim higher floor", defaults=[None])


class Figures:
    """The figures of a run, asked for by wire, measure, contender and name."""

    def __init__(self, run):
        self._run = run
        self.aead = run.get("aead", {})

    def all(self, wire, measure, contender, name):
        rounds = self._run["results"].get(wire, {}).get(measure, {}).get(contender, [])
        return [one[name] for one in rounds if one.get(name) is not None]

    def median(self, wire, measure, contender, name):
        found = self.all(wire, measure, contender, name)
        return median(found) if found else None

    def rivals(self):
        return [name for name in self._run["versions"] if name not in OURS]

    def best_rival(self, wire, measure, name, best=max):
        found = [(self.median(wire, measure, rival, name), rival) for rival in self.rivals()]
        found = [pair for pair in found if pair[0]]
        return best(found) if found else (None, None)

    def ratio(self, wire, above, below):
        """Median over the rounds of one figure divided by another of the same round.

        above, below: (measure, contender, name)
        """
        pairs = zip(self.all(wire, *above), self.all(wire, *below))
        ratios = [a / b for a, b in pairs if b]
        return median(ratios) if ratios else None


OURS = ("bare", "relay", "sealing relay", "ipsec-mb", "libsodium", "null", "one-at-a-time")


def _own_ratios(figures):
    """Rows of our own variants."""
    tcp = lambda name, measure="tcp": (measure, name, "gbit_s")  # noqa: E731
    idle = lambda name: ("idle", name, "p50_us")  # noqa: E731
    ratio = figures.ratio
    beyond = []
    for end, verb, bound, aim in (("sender", "seal", 0.19, 0.15), ("receiver", "open", 0.14, 0.10)):
        whole = figures.median("veth", "tcp", "ipsec-mb", f"{end}_s_gb")
        own = figures.aead.get(f"ipsec-mb {verb}")
        beyond.append(Row(f"CPU beyond the AEAD's own, s/GB, {end}",
                          whole - own / 1424 if whole and own else None, bound, aim, False,
                          figures.median("veth", "tcp", "relay", f"{end}_s_gb")))
    return [
        Row("veth: null / bare", ratio("veth", tcp("null"), tcp("bare")), 0.65, 0.75, True,
            ratio("veth", tcp("relay"), tcp("bare"))),
        Row("veth: ipsec-mb / null", ratio("veth", tcp("ipsec-mb"), tcp("null")), 0.38, 0.48, True),
        Row("veth: ipsec-mb / bare", ratio("veth", tcp("ipsec-mb"), tcp("bare")), 0.26, 0.33, True,
            ratio("veth", tcp("sealing relay"), tcp("bare"))),
        Row("veth: ipsec-mb / one at a time",
            ratio("veth", tcp("ipsec-mb"), tcp("one-at-a-time")), 4, 6, True),
        Row("veth: four streams / one", ratio("veth", tcp("ipsec-mb", "tcp4"), tcp("ipsec-mb")),
            0.9, 1.0, True),
        Row("veth: reverse / forward", ratio("veth", tcp("ipsec-mb", "reverse"), tcp("ipsec-mb")),
            0.9, 1.0, True),
        Row("wire: ipsec-mb / null", ratio("wire", tcp("ipsec-mb"), tcp("null")), 0.6, 0.75, True),
        Row("nic: ipsec-mb / bare", ratio("nic", tcp("ipsec-mb"), tcp("bare")), 0.4, 0.5, True,
            ratio("nic", tcp("sealing relay"), tcp("bare"))),
        *beyond,
        Row("64-byte UDP, CPU a packet / one at a time",
            ratio("veth", ("steady", "ipsec-mb", "us_packet"),
                  ("steady", "one-at-a-time", "us_packet")), 0.40, 0.30, False),
        Row("64-byte UDP at 300,000 a second, loss",
            figures.median("veth", "steady", "ipsec-mb", "loss"), 0, 0, False),
        Row("idle round trip / bare", ratio("veth", idle("ipsec-mb"), idle("bare")), 1.8, 1.5, False,
            ratio("veth", idle("sealing relay"), idle("bare"))),
        Row("loaded round trip / one at a time",
            ratio("veth", ("loaded", "ipsec-mb", "p50_us"), ("loaded", "one-at-a-time", "p50_us")),
            0.2, 0.15, False),
        Row("TCP retransmits", figures.median("veth", "tcp", "ipsec-mb", "retransmits"), 0, 0,
            False),
        Row("resident memory under load, MiB",
            figures.median("veth", "tcp", "ipsec-mb", "resident_mib"), 16, 6, False),
    ]


# Under load it is no floor: what it does not do is to let one flow pass another.
OF_THE_FLOOR = ("tcp", "idle")
# Whose floor has the same cipher.
FLOOR_OF = {"ipsec-mb": "sealing relay"}


def _against_rivals(figures):
    """The same against the best of the others, by wire."""
    rows = []

    def compare(wire, measure, name, who, bound, aim, best, what):
        theirs, rival = figures.best_rival(wire, measure, name, best)
        ours = figures.median(wire, measure, who, name)
        floor = (figures.median(wire, measure, FLOOR_OF[who], name)
                 if measure in OF_THE_FLOOR and who in FLOOR_OF else None)
        if theirs and ours:
            rows.append(Row(f"{wire}: {what}, {who} / {rival}", ours / theirs, bound, aim,
                            best is max, floor / theirs if floor else None))

    for wire in ("veth", "nic", "wire"):
        compare(wire, "tcp", "gbit_s", "ipsec-mb", 2.5, 4, max, "TCP")
        compare(wire, "tcp", "gbit_s", "libsodium", 1.1, 1.3, max, "TCP")
        compare(wire, "tcp", "both_s_gb", "ipsec-mb", 0.5, 0.25, min, "CPU s/GB")
        compare(wire, "udp64", "kpps", "ipsec-mb", 1.3, 2.5, max, "64 B kpps")
        compare(wire, "idle", "p50_us", "ipsec-mb", 1.0, 0.8, min, "idle round trip")
        compare(wire, "loaded", "p50_us", "ipsec-mb", 0.5, 0.25, min, "loaded round trip")
    return rows


def table(run):
    """The whole report as text."""
    figures = Figures(run)
    machine = run["machine"]
    lines = [f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, "
             f"Linux {machine['kernel']}, minivpn {machine['commit']}; "
             f"{run['rounds']} rounds of {run['seconds']:g} s, medians"]
    lines += [", ".join(f"{name} {version}" for name, version in run["versions"].items() if version)]
    for wire in run["results"]:
        lines += ["", *_wire_table(figures, wire, run["versions"])]
    rows = [row for row in _own_ratios(figures) + _against_rivals(figures) if row.found is not None]
    with_floor = any(row.floor for row in rows)
    if rows:
        lines += ["", f"{'ratio':58} {'found':>8} {'bound':>7} {'aim':>6}" +
                  (f" {'floor':>7}" if with_floor else "")]
    for row in rows:
        lines.append(f"{row.what:58} {row.found:8.3f} {row.bound:7g} {row.aim:6g}" +
                     (f" {_cell(row.floor):>7}" if with_floor else "") + f"  {_verdict(row)}")
    lines += _floor_table(figures, run["results"])
    lines += ["", *(f"failed: {one}" for one in run["failures"])] if run["failures"] else []
    return "\n".join(lines)


def _cell(value):
    return "-" if value is None else f"{value:.3f}"


def _floor_table(figures, wires):
    """How far the floor is from the bare wire, and minivpn, with a cipher and without, from the floor."""
    pairs = (("relay", "bare"), ("null", "relay"), ("ipsec-mb", "sealing relay"))
    lines = []
    for wire in wires:
        for measure, name, what in (("tcp", "gbit_s", "TCP"), ("tcp", "sender_s_gb", "CPU s/GB, sender"),
                                    ("tcp", "receiver_s_gb", "CPU s/GB, receiver"),
                                    ("idle", "p50_us", "idle round trip"),
                                    ("loaded", "p50_us", "loaded round trip")):
            found = [figures.ratio(wire, (measure, above, name), (measure, below, name))
                     for above, below in pairs]
            if any(one is not None for one in found):
                lines.append(f"{f'{wire}: {what}':58}" + "".join(f" {_cell(one):>24}" for one in found))
    if lines:
        heads = (f"{above} / {below}" for above, below in pairs)
        lines[:0] = ["", f"{'of the floor':58}" + "".join(f" {one:>24}" for one in heads)]
    return lines


def _verdict(row):
    found, bound, aim = row.found, row.bound, row.aim
    if not row.higher:
        found, bound, aim = -found, -bound, -aim
    if found >= aim:
        return "reaches the aim"
    return "within the bound" if found >= bound else "FALLS SHORT"


def _wire_table(figures, wire, names):
    columns = [column for column in COLUMNS
               if any(figures.all(wire, column[0], name, column[1]) for name in names)]
    lines = [f"{wire:18}" + "".join(f"{column[2]:>11}" for column in columns)]
    for name in names:
        cells = [(figures.median(wire, column[0], name, column[1]), column[3]) for column in columns]
        if any(value is not None for value, _ in cells):
            lines.append(f"{name:18}" + "".join(
                f"{form.format(value) if value is not None else '-':>11}" for value, form in cells))
    return lines

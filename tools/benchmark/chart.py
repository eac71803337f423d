# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's TCP throughput as bars, in SVG, drawn by hand so that nothing has to be installed."""

import textwrap
from xml.sax.saxutils import escape

from benchmark.report import Figures
from benchmark.pair import WIRES

WIDTH, LEFT, RIGHT = 760, 170, 70
BAR, GAP, HEAD, FOOT = 18, 6, 64, 58
SMALL_LINE = 150    # characters of the smallest print that fit across
COLOURS = {"ours": "#1f6f8b", "rival": "#b0b7bd", "bare": "#dfe3e6"}
SHOWN = ("bare", "ipsec-mb", "libsodium")      # of ours; the other variants are for developers
OURS = {"ipsec-mb": "minivpn", "libsodium": "minivpn, libsodium"}


def svg(run):
    """The chart as a text: one panel a wire, one bar a contender, the longest first."""
    figures = Figures(run)
    panels = [(wire, _bars(figures, wire)) for wire in WIRES if wire in run["results"]]
    panels = [(wire, bars) for wire, bars in panels if bars]
    height = HEAD + sum(34 + len(bars) * (BAR + GAP) for _, bars in panels) + FOOT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             _text(20, 28, "One TCP stream through the tunnel, Gbit/s", size=17, weight="bold"),
             _text(20, 48, "one processor core for each end, daemon and iperf3 together; "
                   "more is better", fill="#555")]
    y = HEAD + 6
    for wire, bars in panels:
        parts.append(_text(20, y + 14, f"{wire}: {WIRES[wire]}", weight="bold"))
        y += 24
        parts += _panel(bars, y)
        y += len(bars) * (BAR + GAP) + 10
    machine = run["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items()
                         if version and name not in ("libsodium", "null", "one-at-a-time"))
    versions = versions.replace("ipsec-mb ", "minivpn ", 1)
    parts += [_text(20, height - 38, f"{machine['date']}, {machine['processor']}, Linux "
                    f"{machine['kernel']}; median of {run['rounds']} rounds of "
                    f"{run['seconds']:g} s, cubic; tools/bench", fill="#555", size=11),
              *(_text(20, height - 22 + 12 * number, line, fill="#555", size=9)
                for number, line in enumerate(textwrap.wrap(versions, SMALL_LINE))), "</svg>"]
    return "\n".join(parts) + "\n"


def _bars(figures, wire):
    names = [*SHOWN, *figures.rivals()]
    found = [(figures.median(wire, "tcp", name, "gbit_s"), name) for name in names]
    return sorted(((value, name) for value, name in found if value), reverse=True)


def _panel(bars, y):
    scale = (WIDTH - LEFT - RIGHT) / bars[0][0]
    for value, name in bars:
        kind = "bare" if name == "bare" else "ours" if name in OURS else "rival"
        weight = "bold" if kind == "ours" else "normal"
        yield _text(LEFT - 8, y + 13, OURS.get(name, name), anchor="end", weight=weight)
        yield (f'<rect x="{LEFT}" y="{y}" width="{max(1, value * scale):.1f}" height="{BAR}" '
               f'fill="{COLOURS[kind]}"/>')
        yield _text(LEFT + value * scale + 6, y + 13, f"{value:.1f}", weight=weight)
        y += BAR + GAP


def _text(x, y, text, anchor="start", weight="normal", fill="#222", size=13):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{fill}" font-size="{size}">{escape(text)}</text>')

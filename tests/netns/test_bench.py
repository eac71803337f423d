# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/bench on made-up figures: its ratios, its verdicts and its chart."""

import json
import subprocess
import xml.etree.ElementTree as ET

from lab import SOURCE


def rounds(*gbit_s):
    return [{"gbit_s": one, "retransmits": 0, "sender_s_gb": 0.4, "receiver_s_gb": 0.3,
             "both_s_gb": 0.7, "resident_mib": 5.0} for one in gbit_s]


FIGURES = {
    "machine": {"date": "2026-01-02", "processor": "made up", "cores": 2, "kernel": "6.1",
                "commit": "abc"},
    "seconds": 2, "rounds": 3, "failures": ["veth, tcp, tinc: was tired"],
    "versions": {"bare": "", "ipsec-mb": "1", "null": "1", "fastd": "22", "tinc": "1.0"},
    "aead": {"ipsec-mb seal": 356.0, "ipsec-mb open": 356.0},
    "results": {"veth": {"tcp": {"bare": rounds(60, 50, 70), "ipsec-mb": rounds(20, 25, 10),
                                 "null": rounds(40, 50, 40), "fastd": rounds(2, 2, 2),
                                 "tinc": rounds(9, 8, 10)}}},
}


def bench(tmp_path, *options):
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps(FIGURES))
    return subprocess.run([SOURCE / "tools/bench", "--from-json", figures, *options],
                          capture_output=True, text=True, check=True).stdout


def test_ratios_are_of_one_round_and_judged(tmp_path):
    lines = bench(tmp_path).splitlines()
    found = {line[:58].strip(): line[58:].split() for line in lines}
    # 20/60, 25/50 and 10/70: the middle one, and not the ratio of the medians 20/60
    assert found["veth: ipsec-mb / bare"][0] == "0.333"
    assert found["veth: null / bare"][0] == "0.667"
    assert found["veth: ipsec-mb / null"][0] == "0.500"
    # The best of the others, not the first; s/GB beyond 356 ns for 1424 bytes.
    assert found["veth: TCP, ipsec-mb / tinc"][0] == "2.222"
    assert " ".join(found["veth: TCP, ipsec-mb / tinc"][3:]) == "FALLS SHORT"
    assert found["CPU beyond the AEAD's own, s/GB, sender"][0] == "0.150"
    assert "failed: veth, tcp, tinc: was tired" in lines


def test_chart_is_svg_that_names_everybody(tmp_path):
    chart = tmp_path / "chart.svg"
    bench(tmp_path, "--chart", chart)
    texts = [element.text for element in ET.parse(chart).iter("{http://www.w3.org/2000/svg}text")]
    assert {"bare", "minivpn", "fastd", "tinc", "60.0", "20.0"} <= set(texts)
    assert any("2026-01-02, made up" in text for text in texts)

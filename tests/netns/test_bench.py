# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/bench on made-up figures: its ratios, its verdicts and its chart; and the relay, its floor."""

import json
import subprocess
import xml.etree.ElementTree as ET

import pytest

from lab import SOURCE, program, wait_for


def rounds(*gbit_s):
    return [{"gbit_s": one, "retransmits": 0, "sender_s_gb": 0.4, "receiver_s_gb": 0.3,
             "both_s_gb": 0.7, "resident_mib": 5.0} for one in gbit_s]


FIGURES = {
    "machine": {"date": "2026-01-02", "processor": "made up", "cores": 2, "kernel": "6.1",
                "commit": "abc"},
    "seconds": 2, "rounds": 3, "failures": ["veth, tcp, tinc: was tired"],
    "versions": {"bare": "", "relay": "", "sealing relay": "", "ipsec-mb": "1", "null": "1", "fastd": "22", "tinc": "1.0"},
    "aead": {"ipsec-mb seal": 356.0, "ipsec-mb open": 356.0},
    "results": {"veth": {"tcp": {"bare": rounds(60, 50, 70), "relay": rounds(45, 20, 70),
                                 "sealing relay": rounds(30, 20, 50), "ipsec-mb": rounds(20, 25, 10),
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
    assert " ".join(found["veth: TCP, ipsec-mb / tinc"][4:]) == "FALLS SHORT"
    assert found["CPU beyond the AEAD's own, s/GB, sender"][0] == "0.150"
    assert "failed: veth, tcp, tinc: was tired" in lines


def test_floor_stands_beside_what_it_bounds(tmp_path):
    lines = bench(tmp_path).splitlines()
    found = {line[:58].strip(): line[58:].split() for line in lines}
    # 45/60, 20/50 and 70/70
    assert found["veth: null / bare"][3:] == ["0.750", "within", "the", "bound"]
    assert found["CPU beyond the AEAD's own, s/GB, sender"][3] == "0.400"
    assert found["veth: ipsec-mb / null"][3] == "-"
    # With a cipher it is the floor that has one: 30/60, 20/50, 50/70; of the medians 30/9.
    assert found["veth: ipsec-mb / bare"][3] == "0.500"
    assert found["veth: TCP, ipsec-mb / tinc"][3] == "3.333"
    # relay / bare; null / relay: 40/45, 50/20, 40/70; ipsec-mb / sealing relay: 20/30, 25/20, 10/50
    assert found["veth: TCP"] == ["0.750", "0.889", "0.667"]


def test_chart_is_svg_that_names_everybody(tmp_path):
    chart = tmp_path / "chart.svg"
    bench(tmp_path, "--chart", chart)
    texts = [element.text for element in ET.parse(chart).iter("{http://www.w3.org/2000/svg}text")]
    assert {"bare", "minivpn", "fastd", "tinc", "60.0", "20.0"} <= set(texts)
    assert any("2026-01-02, made up" in text for text in texts)


INNER_BYTES = 10_000_000

TAKE = """
import hashlib, socket
listener = socket.create_server(("10.99.0.1", 9000))
print("listening", flush=True)
connection, _ = listener.accept()
digest = hashlib.sha256()
while data := connection.recv(1 << 20):
    digest.update(data)
print("sum", digest.hexdigest(), flush=True)
"""

SEND = f"""
import hashlib, random, socket
data = random.Random(7).randbytes({INNER_BYTES})
with socket.create_connection(("10.99.0.1", 9000)) as connection:
    connection.sendall(data)
print(hashlib.sha256(data).hexdigest())
"""


@pytest.fixture(params=([], ["sodium"]), ids=("clear", "sealing"))
def relayed(request, lab):
    """A client and a server with a relay between them, and their wire."""
    client, server = lab.hosts("client", "server")
    link = lab.link(client, "192.0.2.2/24", server, "192.0.2.1/24")
    for host, own, other, inner in ((server, "192.0.2.1", "192.0.2.2", "10.99.0.1/24"),
                                    (client, "192.0.2.2", "192.0.2.1", "10.99.0.2/24")):
        host.start(program("bench-relay"), "relay0", own, other, *request.param)
        wait_for(lambda host=host: "relay0" in host.ip("link"), what="the relay's device")
        host.ip("link", "set", "relay0", "mtu", 1438)
        host.address("relay0", inner)
    return client, server, link


def pass_on(client, server):
    """Send through the relay; returns whether it arrived as it was sent."""
    taker = server.start("python3", "-c", TAKE)
    taker.wait_for_output("listening")
    sent = client.run("python3", "-c", SEND).stdout.strip()
    return taker.wait_for_output(r"sum (\w+)", timeout=20).group(1) == sent


@pytest.mark.parametrize("wire", ("veth", "nic", "wire"))
def test_relay_passes_on_what_it_gets(relayed, wire):
    client, server, link = relayed
    if wire != "veth":
        link.as_wire(gro=wire == "nic")
    assert client.ping("10.99.0.1").received == 3
    assert pass_on(client, server)


def test_relay_burdens_the_wire_like_a_tunnel(relayed):
    client, server, link = relayed
    link.as_wire()
    counter = f"/sys/class/net/{link.a}/statistics/tx_bytes"
    before = int(client.run("cat", counter).stdout)
    assert pass_on(client, server)
    wire_bytes = int(client.run("cat", counter).stdout) - before
    # 1,386 bytes of TCP in 1,438 of IP in 1,472 of UDP in 1,514 of Ethernet.
    assert wire_bytes == pytest.approx(INNER_BYTES / 1386 * 1514, rel=0.01)


def test_relay_outlives_losses(relayed):
    client, server, link = relayed
    link.as_wire(gro=True)
    server.lose(link.b, 0.003)
    assert pass_on(client, server)

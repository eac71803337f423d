# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration behind tools/demo: a tunnel's whole life, told in short steps."""

import os
import re
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from lab import Lab, LabError, missing_needs, wait_for  # noqa: E402

COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
SECRET = "the-quick-brown-fox"      # what a wiretap must not find

PICTURE = """\
 client                        server                         web
 192.0.2.2 ──────────── 192.0.2.1 │ 203.0.113.1 ──────────── 203.0.113.80
 2001:db8:1::2      2001:db8:1::1 │ 2001:db8:2::1      2001:db8:2::80
              ▲
              wiretap
"""


def coloured(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOURS and code and text else text


class Stage:
    """Where the demonstration is shown: numbered titles, command lines, and what they print."""

    def __init__(self):
        self._step = 0

    def title(self, text):
        self._step += 1
        print(f"\n{coloured('1;36', f'{self._step}. {text}')}", flush=True)

    def command(self, host, text):
        print(f"   {coloured('1', f'{host.name}# {text}')}", flush=True)

    def output(self, text, code=None):
        for line in text.rstrip().splitlines():
            print(f"     {coloured(code, line)}", flush=True)

    def good(self, text):
        print(f"   {coloured('32', '✓')} {text}", flush=True)

    def show(self, host, *words):
        """Run a command in front of everybody."""
        self.command(host, " ".join(Path(word).name if word.startswith("/") else word
                                    for word in words))
        said = host.run(*words, timeout=30).stdout
        self.output(said)
        return said


def machines(lab):
    """Three hosts on two wires.  The web host knows no way to the client but the server's NAT."""
    client, server, web = lab.hosts("client", "server", "web")
    lab.link(client, "192.0.2.2/24 2001:db8:1::2/64", server, "192.0.2.1/24 2001:db8:1::1/64")
    lab.link(server, "203.0.113.1/24 2001:db8:2::1/64", web, "203.0.113.80/24 2001:db8:2::80/64")
    return client, server, web


def gigabits(client, address):
    report = client.iperf(address, "--interval", "0", "--congestion", "cubic", seconds=2)
    return report["end"]["sum_received"]["bits_per_second"] / 1e9


def before_the_tunnel(stage, client, server):
    stage.title("Three machines, and a web host that the client cannot reach")
    stage.output(PICTURE)
    if client.ping("203.0.113.80", count=1, timeout=0.3).received:
        raise LabError("the web host answers although nothing leads there")
    stage.good("client to web: no way, as it should be")
    server.serve_iperf()
    bare = gigabits(client, "192.0.2.1")
    stage.good(f"the bare wire between client and server carries {bare:.1f} Gbit/s")
    return bare


def make_key(stage, lab, server):
    stage.title("One key")
    key = str(lab.folder / "laptop.key")
    stage.command(server, "minivpn-keygen laptop --endpoint 192.0.2.1 --out laptop.key")
    server.run("minivpn-keygen", "laptop", "--endpoint", "192.0.2.1", "--out", key)
    stage.show(server, "minivpn-keygen", "--show", key)
    return key


def start_both(stage, client, server, key):
    stage.title("One command on each side")
    stage.command(server, "minivpn server laptop.key &")
    server_daemon = server.start("minivpn", "server", key)
    wait_for(lambda: server.run("ip", "link", "show", "minivpn0", check=False).returncode == 0,
             5, "the server's interface")
    stage.command(client, "minivpn client laptop.key &")
    started = time.monotonic()
    client_daemon = client.start("minivpn", "client", key)
    try:
        wait_for(lambda: client.ping("203.0.113.80", count=1, timeout=0.1).received, 10,
                 "an answer through the tunnel", every=0.002)
    except LabError as late:
        raise LabError(f"{late}\nthe server:\n{server_daemon.output()}\n"
                       f"the client:\n{client_daemon.output()}") from None
    took = time.monotonic() - started
    stage.output("server: " + server_daemon.output().strip().replace("\n", "\nserver: "), "2")
    stage.output("client: " + client_daemon.output().strip().replace("\n", "\nclient: "), "2")
    stage.good(f"the web host answered {took * 1000:.0f} ms after the client was started")
    return server_daemon, client_daemon


def through_the_nat(stage, client, web):
    stage.title("Out into the world, through the server's NAT, in both families")
    stage.show(client, "ping", "-n", "-q", "-c", "3", "-i", "0.2", "203.0.113.80")
    stage.show(client, "ping", "-n", "-q", "-c", "3", "-i", "0.2", "2001:db8:2::80")
    log = web.serve_http(text=f"hello, {SECRET}\n")
    for address in ("203.0.113.80", "[2001:db8:2::80]"):
        stage.show(client, "curl", "--silent", "--max-time", "5", f"http://{address}/page")
    seen = re.findall(r"^(\S+) - - .*GET /page", log.output(), re.MULTILINE)
    seen = [address.removeprefix("::ffff:") for address in seen]
    if seen != ["203.0.113.1", "2001:db8:2::1"]:
        raise LabError(f"the web host was asked by {seen}, not by the server")
    stage.good(f"the web host was asked by {seen[0]} and {seen[1]}: the server")
    stage.show(client, "traceroute", "-n", "-q", "1", "-w", "1", "203.0.113.80")


def wiretap(stage, client):
    stage.title("What a wiretap between client and server sees")
    with client.capture("eth0", "ip or ip6") as wire:
        client.fetch("203.0.113.80")
        client.fetch("2001:db8:2::80")
    stage.command(client, "tcpdump -i eth0   # while both pages are fetched again")
    lines = client.run("tcpdump", "-n", "-t", "-r", wire.path).stdout.splitlines()
    stage.output("\n".join(lines[:6] + ["..."]))
    other = [line for line in lines if "ESP(spi=" not in line]
    if other:
        raise LabError("not ESP: " + "\n".join(other))
    if SECRET.encode() in Path(wire.path).read_bytes():
        raise LabError("the wiretap could read the page")
    stage.good(f"{len(lines)} packets, every one ESP; the page's text is in none of them")


def throughput(stage, client, server, bare):
    stage.title("How fast it is (two seconds of one TCP stream, everything on this one computer)")
    inside = [a["local"] for link in server.ip("-j", "-4", "address", "show", "dev", "minivpn0")
              for a in link["addr_info"]][0]
    tunnel = gigabits(client, inside)
    widest = max(bare, tunnel)
    for name, figure in (("bare wire", bare), ("tunnel", tunnel)):
        bar = "█" * max(1, round(40 * figure / widest))
        print(f"     {name:9} {figure:6.1f} Gbit/s  {coloured('36', bar)}")


def status(stage, server):
    stage.title("What the server says of it")
    stage.show(server, "minivpn", "status")


def clean_end(stage, daemons, hosts_before):
    stage.title("The end, and what is left of it: nothing")
    for name, daemon in daemons:
        status_code = daemon.stop(signal.SIGINT)
        if status_code:
            raise LabError(f"the {name} ended with {status_code}:\n{daemon.output()}")
    for host, before in hosts_before:
        host.assert_as_before(before)
        stage.good(f"{host.name}: rules, routes, addresses, devices, firewall and "
                   f"{len(before['sysctls'])} sysctls are as before")


def main():
    lacking = missing_needs()
    if lacking:
        sys.exit(f"tools/demo: {lacking}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    stage = Stage()
    try:
        with Lab() as lab:
            client, server, web = machines(lab)
            bare = before_the_tunnel(stage, client, server)
            hosts_before = [(host, host.snapshot()) for host in (client, server, web)]
            key = make_key(stage, lab, server)
            server_daemon, client_daemon = start_both(stage, client, server, key)
            through_the_nat(stage, client, web)
            wiretap(stage, client)
            throughput(stage, client, server, bare)
            status(stage, server)
            clean_end(stage, [("client", client_daemon), ("server", server_daemon)], hosts_before)
    except LabError as failure:
        sys.exit(f"\n{coloured('31', 'the demonstration failed:')} {failure}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the three machines are gone")
    print()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""A laboratory of small machines on one computer, for end-to-end tests.

A *host* is a network namespace with a mount namespace of its own: it has its own devices, routes,
firewall and sysctls, and also its own /run and /etc (changes to them are seen by no other host and
never by the computer), so that a daemon finds /run/minivpn and /etc/minivpn as empty as on a fresh
machine.  A *link* is a veth pair between two hosts.  Everything belongs to a *lab*, which takes it
all away again at the end: processes first, killed by namespace, then the namespaces.

    def test_ping(lab):                         # `lab` is a fixture of conftest.py
        client, router, server = lab.hosts("client", "router", "server")
        lab.link(client, "192.0.2.2/24 2001:db8:1::2/64", router, "192.0.2.1/24 2001:db8:1::1/64")
        wan = lab.link(router, "203.0.113.1/24", server, "203.0.113.2/24")
        client.route("default", via="192.0.2.1")
        router.forward()
        router.nat(out=wan.a)

        before = server.snapshot()
        daemon = server.start("minivpn", "server", key)        # found in $MINIVPN_BUILD
        daemon.wait_for_output("ready")
        assert client.ping("203.0.113.2").received == 3
        daemon.stop()
        server.assert_as_before(before)

Several labs may exist at once, on one computer and in one process.  A lab whose process was killed
leaves its namespaces behind; the next lab that starts removes them.
"""

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("MINIVPN_BUILD", SOURCE / "build")).resolve()

_LABS = Path(tempfile.gettempdir())
_PROGRAM_FOLDERS = (".", "src", "src/cli", "keys", "tools", "tests/interop", "tests/netns",
                    "tests/assumptions")
# Counted or drawn by the kernel, no setting of anybody's.
_UNSTEADY_SYSCTLS = re.compile(r"nf_conntrack_count|stable_secret|\.base_reachable|tcp_fastopen_key")


class LabError(AssertionError):
    """Something that the test took for granted did not work; the message holds what was printed."""


def wait_for(question, timeout=5.0, what=None, every=0.02):
    """Ask @question until its answer is true, and return that answer.

    question: callable without arguments
    timeout:  seconds after which a LabError is raised
    what:     names the thing awaited in that error
    every:    seconds between two questions
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise LabError(f"waited {timeout:g} s in vain for {what or 'it to become true'}")
        time.sleep(every)


def has_ended(pid):
    """Is a process over, and all that it had open closed?

    Host.pids() knows it no more a moment before that: devices, sockets and locks that it held may
    still be there.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) == 1
    except (FileNotFoundError, ProcessLookupError):
        return True


def program(name):
    """The path of a program that this build made, by its name, as a string.

    It is looked for in $MINIVPN_BUILD (default: build/ beside the sources).
    """
    for folder in _PROGRAM_FOLDERS:
        path = BUILD / folder / name
        if path.is_file():
            return str(path)
    raise LabError(f"{name} has not been built in {BUILD} (is MINIVPN_BUILD set?)")


def missing_needs():
    """What this computer lacks for a lab, as a sentence, or None if nothing."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "needs /dev/net/tun"
    for tool in ("ip", "nft", "unshare", "nsenter", "sysctl"):
        if not shutil.which(tool):
            return f"needs the command {tool}"
    made = _quiet("unshare", "--net", "--mount", "nft", "list", "ruleset")
    if made.returncode:
        return f"needs namespaces and nf_tables: {made.stderr.strip()}"
    return None


def _quiet(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def _checked(*command, **options):
    done = _quiet(*command, **options)
    if done.returncode:
        raise LabError(f"{shlex.join(command)}: exit status {done.returncode}\n"
                       f"{done.stdout}{done.stderr}")
    return done


class Pings(NamedTuple):
    """What ping said: how many it sent, how many were answered, and the round trips in ms."""
    sent: int
    received: int
    rtt_ms: list
    output: str


class Process:
    """A program that runs in a host.  Its standard output and error go into one file.

    pid:   its process number, good for os.kill (no wrapper stands between)
    log:   path of the file with its output
    """

    def __init__(self, host, command, log, env=None, stdin=None):
        self.command = command
        self.log = log
        with open(log, "ab") as sink:
            self._popen = subprocess.Popen(
                host.enter(*command), stdin=stdin or subprocess.DEVNULL, stdout=sink, stderr=sink,
                env={**os.environ, **(env or {})}, start_new_session=True)
        self.pid = self._popen.pid

    @property
    def stdin(self):
        """The pipe to its standard input, if it was started with stdin=subprocess.PIPE."""
        return self._popen.stdin

    def output(self):
        """All that it has printed so far."""
        return Path(self.log).read_text(errors="replace")

    def running(self):
        return self._popen.poll() is None

    def wait_for_output(self, pattern, timeout=5.0):
        """Wait until a line matches the regular expression @pattern; return the match.

        Only whole lines count: a long one may come in pieces.  A process that ends without printing
        it is an error at once, not after the timeout.
        """
        regex = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.running()  # asked before looking, so that no last word is missed
            output = self.output()
            found = regex.search(output if ended else output[:output.rfind("\n") + 1])
            if found:
                return found
            if ended or time.monotonic() >= deadline:
                how = f"ended with {self._popen.returncode}" if ended else f"took over {timeout:g} s"
                raise LabError(f"{shlex.join(self.command)} {how} without printing "
                               f"/{pattern}/; it printed:\n{self.output()}")
            time.sleep(0.01)

    def send_signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def wait(self, timeout=5.0):
        """Wait for its end; return its exit status (negative: the signal that killed it)."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{shlex.join(self.command)} still runs after {timeout:g} s; "
                           f"it printed:\n{self.output()}") from None

    def stop(self, number=signal.SIGTERM, timeout=5.0):
        """Ask it to end, wait until it has, and return its exit status."""
        self.send_signal(number)
        return self.wait(timeout)

    def kill(self):
        """kill -9, and wait for its end."""
        self.stop(signal.SIGKILL)


def assert_all_answered(pings):
    """End a ping that goes on (Host.start): answers still come, and none is missing before the last.

    How many are under way when it ends depends on how busy this computer is.
    """
    def answered():
        return [int(number) for number in re.findall(r"icmp_seq=(\d+) .*time=", pings.output())]

    so_far = len(answered())
    wait_for(lambda: len(answered()) > so_far + 1, what="answers to go on")
    pings.stop(signal.SIGINT)
    assert answered() == list(range(1, len(answered()) + 1)), "lost, overtaken or doubled"


class Capture:
    """tcpdump on one device, as a context manager; afterwards the packets can be looked at.

        with server.capture("eth0", "udp port 4500") as wire:
            client.ping("10.0.0.1")
        assert wire.fields("frame.protocols") ...
    """

    def __init__(self, host, device, expression):
        self.path = host.lab.new_path(f"{host.name}-{device}", ".pcap")
        self._host, self._device, self._expression = host, device, expression
        self._process = None

    def __enter__(self):
        # -Z root: it would otherwise become another user, who may not write into our folder.
        self._process = self._host.start(
            "tcpdump", "-Z", "root", "-n", "-U", "--immediate-mode", "-i", self._device, "-w", self.path,
            *shlex.split(self._expression))
        self._process.wait_for_output("listening on", timeout=10)
        return self

    def __exit__(self, *_):
        time.sleep(0.1)  # what has been sent by now is on its way to tcpdump, but not there
        self._process.stop(signal.SIGINT, timeout=10)

    def count(self, display_filter="frame"):
        """How many packets match a Wireshark display filter."""
        return len(self.fields("frame.number", display_filter=display_filter))

    def fields(self, *names, display_filter="frame", decode_as=()):
        """One tuple of strings a packet, holding the named Wireshark fields ("" where absent).

        decode_as: tshark's own rules, like "udp.port==4501,udpencap"
        """
        command = ["tshark", "-n", "-r", self.path, "-Y", display_filter, "-T", "fields",
                   "-E", "separator=/t", *(a for name in names for a in ("-e", name)),
                   *(a for rule in decode_as for a in ("-d", rule))]
        out = _checked(*command, timeout=60).stdout
        return [tuple(line.split("\t")) for line in out.splitlines()]

    def read(self):
        """The packets as a list of scapy's objects."""
        from scapy.utils import rdpcap  # slow to import: only for those who ask
        return list(rdpcap(self.path))


class Rule:
    """Packets that a host loses on purpose (Host.lose and its like); count() and heal()."""

    def __init__(self, host, table, family):
        self._host, self._table, self._family = host, table, family

    def count(self):
        """How many packets it has taken so far."""
        text = self._host.run("nft", "list", "table", self._family, self._table).stdout
        return sum(int(n) for n in re.findall(r"counter packets (\d+)", text))

    def heal(self):
        """Lose nothing any more.  May be called twice."""
        self._host.run("nft", "delete", "table", self._family, self._table, check=False)


class Link:
    """A veth pair: a and b are the device names at its two ends."""

    def __init__(self, host_a, a, host_b, b):
        self.host_a, self.a, self.host_b, self.b = host_a, a, host_b, b

    def mtu(self, size):
        """Set the MTU of both ends, as two machines on one narrow wire would have it."""
        self.host_a.ip("link", "set", self.a, "mtu", size)
        self.host_b.ip("link", "set", self.b, "mtu", size)

    def up(self, up=True):
        """Plug the cable in, or pull it."""
        self.host_a.ip("link", "set", self.a, "up" if up else "down")

    def as_wire(self, gro=False):
        """Make it carry what a cable carries: packets of at most the MTU, each by itself.

        A bare veth hands over super-packets of 64 KiB, whole.
        gro: let the receiver join them again, as real cards and drivers do
        """
        for host, device in ((self.host_a, self.a), (self.host_b, self.b)):
            host.run("ethtool", "-K", device, "tso", "off", "gso", "off",
                     "tx-udp-segmentation", "off", "gro", "on" if gro else "off")

    def remove(self):
        self.host_a.ip("link", "del", self.a)


# As python3 -m http.server, which asks for its own name first: where no name server answers, for long.
_WEB_SERVER = """
import functools, http.server, socket, socketserver, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
folder, port = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
with Server(("::", int(port)), handler) as server:
    print("Serving HTTP")
    server.serve_forever()
"""


class Host:
    """A machine of the lab.  Made by Lab.host(), never directly.

    name:      the short name given to it
    namespace: the name that `ip netns exec` knows it by, when debugging
    """

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.namespace = f"{lab.name}-{name}"
        self.devices = 0    # veth ends made so far
        self._rules = 0     # tables made so far by lose() and its like
        _checked("ip", "netns", "add", self.namespace)
        self._keeper = self._start_keeper()
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)

    def _start_keeper(self):
        """A process that does nothing but hold the mount namespace with /run and /etc."""
        store = self.lab.folder / self.name
        changed, work = store / "etc", store / "work"
        changed.mkdir(parents=True)
        work.mkdir()
        for folder in (self.lab.folder, store, changed):
            folder.chmod(0o755)  # /etc must be readable for daemons that gave up their rights
        prepare = (
            "set -e\n"
            f"mount -t overlay -o lowerdir=/etc,upperdir={changed},workdir={work} overlay /etc\n"
            "rm -rf /etc/minivpn\n"     # seen from here only
            "mount -t tmpfs -o mode=755 tmpfs /run\n"
            "ip link set lo up\n"
            "echo ready\n"
            "exec sleep infinity\n")
        keeper = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--propagation", "private",
             "sh", "-c", prepare],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True)
        said = keeper.stdout.readline()
        if said != "ready\n":
            raise LabError(f"host {self.name}: no private /etc and /run: {said}"
                           f"{keeper.stdout.read()}")
        return keeper

    # -- programs ------------------------------------------------------------------------------

    def enter(self, *command):
        """The command line that runs @command inside this host, for subprocess.

        A first word that names a program of this build stands for it; nsenter becomes the
        program, so that process numbers and signals are the program's own.
        """
        head, *rest = (str(word) for word in command)
        if head.startswith(("minivpn", "static-tunnel", "esp-vectors", "handshake-vectors")):
            head = program(head)
        return ["nsenter", f"--net=/run/netns/{self.namespace}",
                f"--mount=/proc/{self._keeper.pid}/ns/mnt", f"--wd={os.getcwd()}", head, *rest]

    def run(self, *command, check=True, timeout=20, input=None, env=None):
        """Run a program to its end; returns subprocess.CompletedProcess with text captured.

        check: an exit status that is not 0 raises a LabError with everything it printed
        """
        line = self.enter(*command)
        done = _quiet(*line, timeout=timeout, input=input, env={**os.environ, **(env or {})})
        self.lab.note(f"[{self.name}] {shlex.join(str(word) for word in command)}"
                      f" -> {done.returncode}")
        if check and done.returncode:
            raise LabError(f"{self.name}: {shlex.join(line[4:])}: exit status {done.returncode}\n"
                           f"{done.stdout}{done.stderr}")
        return done

    def start(self, *command, env=None, stdin=None):
        """Start a program in the background; returns its Process."""
        command = [str(word) for word in command]
        log = self.lab.new_path(f"{self.name}-{Path(command[0]).name}", ".log")
        process = Process(self, command, log, env, stdin)
        self.lab.note(f"[{self.name}] {shlex.join(command)} &  (pid {process.pid})")
        self.lab.processes.append(process)
        return process

    def pids(self):
        """The processes that run in it, without the lab's own keeper; see has_ended()."""
        found = _quiet("ip", "netns", "pids", self.namespace).stdout.split()
        return [int(pid) for pid in found if int(pid) != self._keeper.pid]

    def path(self, inside):
        """Where a file of this host is found from outside: host.path("/etc/minivpn/client.key")."""
        return Path(f"/proc/{self._keeper.pid}/root{inside}")

    def overlay(self, *folders):
        """Let it find what was unpacked beside the system (debs.py), seen from here only.  Once."""
        lower = ":".join(f"{folder}/usr" for folder in (*folders, ""))
        self.run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower}", "/usr")
        for folder in folders:
            if Path(folder, "etc").is_dir():
                self.run("cp", "-a", f"{folder}/etc/.", "/etc/")

    # -- network -------------------------------------------------------------------------------

    def ip(self, *words):
        """`ip WORDS`: its output, as JSON if the first word is -j."""
        out = self.run("ip", *words).stdout
        return json.loads(out or "[]") if "-j" in words else out

    def address(self, device, *addresses):
        """Add addresses ("192.0.2.1/24", "2001:db8::1/64"), usable at once, and set it up."""
        for one in addresses:
            nodad = ["nodad"] if ":" in one else []
            self.ip("address", "add", one, "dev", device, *nodad)
        self.ip("link", "set", "dev", device, "up")

    def readdress(self, device, *addresses):
        """Take all addresses from a device and give it others: the machine has moved."""
        self.ip("address", "flush", "dev", device, "scope", "global")
        self.address(device, *addresses)

    def route(self, destination, via=None, device=None):
        """Set a route; the family follows from @via or from the destination."""
        six = ":" in (via or "") or ":" in destination
        words = ["via", via] if via else []
        words += ["dev", device] if device else []
        self.ip("-6" if six else "-4", "route", "replace", destination, *words)

    def sysctl(self, name, value=None):
        """Read a sysctl, or set it.  Returns its value as a string."""
        if value is not None:
            self.run("sysctl", "-q", "-w", f"{name}={value}")
        return self.run("sysctl", "-n", name).stdout.strip()

    def nft(self, script):
        """Feed a script to nft; all of it takes effect, or nothing."""
        return self.run("nft", "-f", "-", input=script).stdout

    def forward(self):
        """Let it forward packets of both families: now it is a router."""
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)

    def nat(self, out):
        """Masquerade, in both families, everything that leaves by the device @out."""
        self.nft("table inet lab_nat {\n"
                 "  chain post {\n"
                 "    type nat hook postrouting priority srcnat\n"
                 f"    oifname {out} masquerade\n"
                 "  }\n"
                 "}\n")

    # -- adversity -----------------------------------------------------------------------------

    def lose(self, device, fraction=1.0, match=""):
        """Lose packets that arrive on a device.  Returns the Rule (count, heal).

        fraction: of the packets that match, the share to lose; drawn at random
        match:    an nft expression to narrow it down, like "udp dport 4500"
        """
        dice = f"numgen random mod 10000 < {round(fraction * 10000)} " if fraction < 1 else ""
        return self._losing("netdev", f"type filter hook ingress device {device} priority 0",
                            f"{match} {dice}counter drop")

    def drop_forwarded(self, match=""):
        """Let nothing through that matches an nft expression: what other people's firewalls do."""
        return self._losing("inet", "type filter hook forward priority 0", f"{match} counter drop")

    def refuse(self, match):
        """Answer packets for this host by ICMP port unreachable, where they match."""
        return self._losing("inet", "type filter hook input priority 0", f"{match} counter reject")

    def _losing(self, family, hook, rule):
        self._rules += 1
        table = f"lab_loss_{self._rules}"
        self.nft(f"table {family} {table} {{\n  chain loss {{\n    {hook};\n    {rule}\n  }}\n}}\n")
        return Rule(self, table, family)

    def narrow(self, mtu, icmp=True):
        """Make a router's every way onward narrower than the wires on either side of it.

        Set its links and routes up before.  Calling it again changes the width.
        icmp: whether it tells senders of a packet too big, or swallows it in silence
        """
        for family in ("-4", "-6"):
            for line in self.ip(family, "route", "show", "table", "main").splitlines():
                words = re.sub(r" (mtu (lock )?\d+|linkdown|dead|expires \S+)", "", line).split()
                if words[0] in ("fe80::/64", "unreachable", "blackhole", "prohibit"):
                    continue
                self.ip(family, "route", "change", *words, "mtu", "lock", mtu)
        self.run("nft", "delete", "table", "inet", "lab_narrow", check=False)
        if not icmp:
            self.nft("table inet lab_narrow {\n"
                     "  chain out {\n"
                     "    type filter hook output priority 0\n"
                     "    icmp type destination-unreachable icmp code frag-needed counter drop\n"
                     "    icmpv6 type packet-too-big counter drop\n"
                     "  }\n"
                     "}\n")

    # -- asking --------------------------------------------------------------------------------

    def ping(self, address, count=3, size=None, unfragmented=False, timeout=2.0):
        """Send pings, one after the other; returns Pings.  No answer is a result, not an error.

        size:         bytes of ICMP payload
        unfragmented: forbid fragments (DF), also to this host's own kernel
        timeout:      seconds to wait for each answer
        """
        # One program for each: after a first answer ping waits for the others no longer than for two of
        # the slowest, or between two, whatever its -W is.
        words = ["-n", "-c", 1, "-W", timeout]
        words += ["-s", size] if size is not None else []
        words += ["-M", "do"] if unfragmented else []
        output = ""
        for _ in range(count):
            done = self.run("ping", *words, address, check=False, timeout=timeout + 10)
            output += done.stdout + done.stderr
        totals = re.findall(r"(\d+) packets transmitted, (\d+) received", output)
        sent, received = (sum(int(one[part]) for one in totals) for part in (0, 1))
        times = [float(t) for t in re.findall(r"time=([\d.]+) ms", output)]
        return Pings(sent, received, times, output)

    def capture(self, device, expression=""):
        """A Capture of what passes a device, narrowed by a tcpdump expression."""
        return Capture(self, device, expression)

    def serve_http(self, port=80, size=0, text=""):
        """Start a web server, on all addresses of both families; returns its Process.

        Its page /page holds @text and then @size bytes.  Each request becomes a line of the
        output, which begins with the address it came from.
        """
        folder = Path(tempfile.mkdtemp(prefix="http-", dir=self.lab.folder))
        (folder / "page").write_bytes(text.encode() + b"." * size)
        process = self.start("/usr/bin/python3", "-u", "-c", _WEB_SERVER, folder, port)
        process.wait_for_output("Serving HTTP")
        return process

    def fetch(self, host, port=80, timeout=5.0):
        """Get /page from a web server (address or name): its body as bytes."""
        where = f"[{host}]" if ":" in host else host
        line = self.enter("curl", "--silent", "--show-error", "--fail", "--noproxy", "*",
                          "--max-time", timeout, f"http://{where}:{port}/page")
        done = subprocess.run(line, capture_output=True, check=False, timeout=timeout + 10)
        if done.returncode:
            raise LabError(f"{self.name}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def serve_iperf(self, port=5201):
        """Start iperf3's server; returns its Process."""
        process = self.start("iperf3", "--server", "--forceflush", "--port", port)
        process.wait_for_output("Server listening")
        return process

    def iperf(self, address, *options, seconds=1, port=5201):
        """Run iperf3 against a serve_iperf(): its report, from JSON.

        TCP's figure: report["end"]["sum_received"]["bits_per_second"]
        """
        def report():
            done = self.run("iperf3", "--json", "--client", address, "--port", port,
                            "--time", seconds, *options, timeout=seconds + 20, check=False)
            if "server is busy" in done.stdout:     # still putting away the last one's test
                return None
            if done.returncode:
                raise LabError(f"{self.name}: iperf3: {done.stdout}{done.stderr}")
            return json.loads(done.stdout)

        return wait_for(report, 10, "the iperf3 server", every=0.1)

    # -- leaving no trace ----------------------------------------------------------------------

    def snapshot(self):
        """All that a VPN might change here: a dictionary of lists of lines, made to be compared.

        Rules, routes of all tables, addresses, devices, firewall, sysctls, resolv.conf, and which
        files lie in /run.  What the kernel counts or times is left out, and so is a server's note
        of where its clients were last, which is meant to stay for its next start.
        """
        def lines(*command, drop=None, keep=None):
            text = self.run(*command).stdout
            text = re.sub(r" (expires \S+|preferred_lft \S+|valid_lft \S+)", "", text)
            text = re.sub(r"counter packets \d+ bytes \d+", "counter", text)
            return [line.strip() for line in text.splitlines()
                    if not (drop and re.search(drop, line)) and (not keep or re.search(keep, line))]

        # Whether a wire has been found to be plugged in is a matter of time.
        links = re.sub(r" state \S+|NO-CARRIER,|,LOWER_UP", "", self.run("ip", "-o", "link").stdout)
        return {
            "rules": lines("ip", "-4", "rule") + lines("ip", "-6", "rule"),
            "routes": sorted(lines("ip", "-4", "route", "show", "table", "all") +
                             lines("ip", "-6", "route", "show", "table", "all", drop="cache")),
            "addresses": sorted(lines("ip", "-o", "address")),
            "links": sorted(line.rstrip() for line in links.splitlines()),
            "nft": lines("nft", "list", "ruleset"),
            "sysctls": lines("sysctl", "-a", "--pattern", r"^net\.",
                             drop=_UNSTEADY_SYSCTLS.pattern),
            "resolv.conf": self._text_of("/etc/resolv.conf"),
            "run": sorted(str(p.relative_to(self.path("/run")))
                          for p in self.path("/run").rglob("*")
                          if not p.is_dir() and "endpoints" not in p.name),
        }

    def _text_of(self, inside):
        try:
            return self.path(inside).read_text().splitlines()
        except FileNotFoundError:
            return []

    def assert_as_before(self, before, within=1.0):
        """Fail unless, @within seconds at most, all is as the snapshot @before had it."""
        deadline = time.monotonic() + within
        while True:
            now = self.snapshot()
            if now == before:
                return
            if time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        told = []
        for part in before:
            told += [f"  {part}: gone: {line}" for line in before[part] if line not in now[part]]
            told += [f"  {part}: new:  {line}" for line in now[part] if line not in before[part]]
            if before[part] != now[part] and not told:
                told.append(f"  {part}: in another order")
        raise LabError(f"{self.name} is not as before:\n" + "\n".join(told))

    def remove(self):
        """Kill all that runs in it and take it away.  Done by the lab at its end."""
        _remove_namespace(self.namespace)
        self._keeper.kill()
        self._keeper.wait()
        self._keeper.stdout.close()


def _remove_namespace(namespace):
    """Kill everything in a network namespace until nothing is left there, then unname it."""
    for _ in range(50):
        pids = _quiet("ip", "netns", "pids", namespace).stdout.split()
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.01)
    _quiet("ip", "netns", "del", namespace)


class Lab:
    """Hosts and links, from the first to the last.  A context manager; tests use the fixture."""

    def __init__(self):
        self.processes = []
        self._hosts = []
        self._story = []
        self._files = 0
        # The lock on a file in the lab's folder says that its process lives; it is taken under
        # a lock on all labs, so that nobody can find the folder without it.
        with all_labs_locked():
            _remove_dead_labs()
            self.folder = Path(tempfile.mkdtemp(prefix="minivpn-lab-", dir=_LABS))
            self._alive = open(self.folder / "alive", "w")
            fcntl.flock(self._alive, fcntl.LOCK_EX)
        self.name = _name_of(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def host(self, name):
        """Make a host.  @name is short and says its part: client, server, router."""
        made = Host(self, name)
        self._hosts.append(made)
        return made

    def hosts(self, *names):
        """Make several: client, server = lab.hosts("client", "server")."""
        return [self.host(name) for name in names]

    def switch(self, name):
        """Make a host that only joins the links made to it (as first or second end) into one LAN."""
        made = self.host(name)
        made.ip("link", "add", "bridge", "type", "bridge")
        made.ip("link", "set", "bridge", "up")
        made.is_switch = True
        return made

    def link(self, host_a, addresses_a, host_b, addresses_b, names=None):
        """Connect two hosts; returns the Link.

        addresses_*: prefixes parted by spaces, like "192.0.2.1/24 2001:db8::1/64", or ""
        names:       the two device names; otherwise each host counts: eth0, eth1, ...
        """
        ends = []
        for host, given in zip((host_a, host_b), names or (None, None)):
            ends.append(given or f"eth{host.devices}")
            host.devices += 1
        a, b = ends
        _checked("ip", "link", "add", a, "netns", host_a.namespace, "type", "veth",
                 "peer", "name", b, "netns", host_b.namespace)
        for host, device, addresses in ((host_a, a, addresses_a), (host_b, b, addresses_b)):
            host.address(device, *addresses.split())
            if getattr(host, "is_switch", False):
                host.ip("link", "set", device, "master", "bridge")
        self.note(f"link {host_a.name}:{a} ({addresses_a}) - {host_b.name}:{b} ({addresses_b})")
        return Link(host_a, a, host_b, b)

    def new_path(self, stem, suffix):
        """A path in the lab's folder that is not used yet, as a string."""
        self._files += 1
        return str(self.folder / f"{self._files:02}-{stem}{suffix}")

    def note(self, line):
        """Remember a step for story()."""
        self._story.append(line)

    def story(self):
        """All that was run, and what the background programs printed: for a failed test."""
        told = ["\n".join(self._story)]
        for process in self.processes:
            state = "running" if process.running() else f"ended: {process.wait()}"
            # A lab that broke while it was taken away has no files any more.
            output = process.output() if os.path.exists(process.log) else "(its output is gone)\n"
            told.append(f"--- {shlex.join(process.command)} (pid {process.pid}, {state})\n{output}")
        return "\n".join(told)

    def remove(self):
        """Take everything away.  May be called twice."""
        for host in self._hosts:
            host.remove()
        self._hosts.clear()
        for process in self.processes:
            process.wait()
        self._alive.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _name_of(folder):
    """The first part of the names of a lab's namespaces, from its folder's random end."""
    return "mv" + folder.name.rsplit("-", 1)[1]


@contextlib.contextmanager
def all_labs_locked():
    """Meanwhile no lab is made, and none of the dead is removed."""
    with open(_LABS / "minivpn-labs.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_dead_labs():
    """Remove what labs left behind whose processes were killed."""
    for folder in _LABS.glob("minivpn-lab-*"):
        with contextlib.suppress(OSError):
            with open(folder / "alive", "a") as alive:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for namespace in os.listdir("/run/netns"):
                    if namespace.startswith(_name_of(folder) + "-"):
                        _remove_namespace(namespace)
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":  # what this computer lacks, for shell scripts
    sys.exit(missing_needs())

# SPDX-License-Identifier: GPL-2.0-or-later
"""What is compared: the bare wire, minivpn in its variants, and the tunnels of others.

Each contender is set up on a Pair the way its own manual has it for two machines, with
ChaCha20-Poly1305 where it has that.
"""

import re
import subprocess
import time

from benchmark import builds, rivals
from benchmark.pair import CLIENT, INNER_CLIENT, INNER_SERVER, SERVER


class Contender:
    """One way from client to server.

    name:     in tables
    tunnel:   has it addresses of its own?
    rival:    is it somebody else's?
    measured: names of what is measured of it; None for everything
    """
    tunnel = False
    rival = False
    measured = None

    def __init__(self, name):
        self.name = name

    def missing(self):
        """Why it cannot take part, or None."""
        return None

    def version(self):
        return ""

    def prepare(self, pair):
        """Make keys and configuration; may take its time."""

    def start_server(self, pair):
        """Start the server's daemon."""

    def start_client(self, pair):
        """Start the client's, and set pair.target to the server's address in the tunnel."""


class Bare(Contender):
    """No tunnel at all."""

    def __init__(self):
        super().__init__("bare")


def about(build):
    """What minivpn of a build says of itself."""
    return subprocess.run([builds.program(build, "minivpn"), "--version"], capture_output=True,
                          text=True, check=False).stdout


def missing_backend(build, aead):
    """Why an AEAD back-end is not to be had in a build, or None."""
    backends = re.search(r"back-ends: ([^;\n]*)", about(build))
    if backends and aead in backends.group(1).split(", "):
        return None
    return f"not built with {aead}"


class Relay(Contender):
    """The least that a tunnel in user space can do: tools/benchmark/relay.c says what that is.

    aead: the back-end that takes the time of encrypting; None for no cipher
    """
    tunnel = True
    measured = ("tcp", "tcp4", "reverse", "both", "idle", "loaded")     # all but small packets
    DEVICE, MTU = "relay0", 1438        # minivpn's, over the same wire
    SUPER_BYTES = 44 * (1438 - 52) + 52     # as many packets as one segmented send takes as records

    def __init__(self, name="relay", aead=None):
        super().__init__(name)
        self.aead = aead

    def missing(self):
        return missing_backend("ordinary", self.aead) if self.aead else None

    def start_server(self, pair):
        self._start(pair.server, SERVER, CLIENT)

    def start_client(self, pair):
        self._start(pair.client, CLIENT, SERVER)
        pair.devices(self.DEVICE, self.MTU)
        for end in pair.ends():
            end.host.ip("link", "set", self.DEVICE, "gso_max_size", self.SUPER_BYTES)

    def _start(self, end, local, remote):
        end.daemon(builds.program("ordinary", "bench-relay"), self.DEVICE, local, remote,
                   *[self.aead] if self.aead else [])


class Minivpn(Contender):
    """minivpn with one AEAD back-end, of one build.

    workers: as --workers says it; with more than one it is not pinned to one core
    """
    tunnel = True
    workers = "1"

    def __init__(self, name, build, aead):
        super().__init__(name)
        self.build, self.aead = build, aead

    def missing(self):
        return missing_backend(self.build, self.aead)

    def version(self):
        return about(self.build).splitlines()[0].removeprefix("minivpn ")

    def prepare(self, pair):
        self.key = str(pair.folder / "key")
        pair.server.host.run(builds.program("ordinary", "minivpn-keygen"), "bench", "--endpoint",
                             SERVER, "--address", INNER_CLIENT, "--out", self.key)

    def _daemon(self, end, role, *options):
        several = self.workers != "1"
        if several:
            options += ("--workers", self.workers)
        end.daemon(builds.program(self.build, "minivpn"), role, "--aead", self.aead, *options,
                   self.key, pinned=not several)

    def start_server(self, pair):
        self._daemon(pair.server, "server", "--address", f"{INNER_SERVER}/24", "--no-nat")
        # Its device has an address once it is ready.
        for _ in range(300):
            if INNER_SERVER in pair.server.host.run("ip", "-4", "address").stdout:
                return
            time.sleep(0.01)

    def start_client(self, pair):
        self._daemon(pair.client, "client", "--no-default-route")
        pair.target = INNER_SERVER


class Rival(Contender):
    """A program of somebody else's, installed or unpacked beside the system."""
    tunnel = rival = True
    program = ""
    package = None      # if it is not called like the program

    def folder(self):
        """Where it was unpacked; None for the system's own."""
        return rivals.ROOT if (rivals.ROOT / "usr").is_dir() else None

    def path(self, program):
        return rivals.path_of(program, self.folder())

    def missing(self):
        if self.path(self.program):
            return None
        return f"{self.program} not found (tools/bench --install-rivals unpacks it beside the system)"

    def version(self):
        if self.folder():
            return rivals.version_of(self.package or self.program)
        said = subprocess.run([self.path(self.program), "--version"], capture_output=True,
                              text=True, check=False)
        found = re.search(r"\d+(\.\d+)*\S*", said.stdout + said.stderr)
        return found.group(0) if found else "?"

    def prepare(self, pair):
        if self.folder():
            pair.overlay(self.folder())
        self.configure(pair)

    def configure(self, pair):
        """Make keys and configuration."""

    def _daemon(self, end, *command, **options):
        return end.daemon(self.program_in(), *command, **options)

    def program_in(self):
        """The program's path as its own machine sees it."""
        return self.program


class WireguardGo(Rival):
    """WireGuard in user space; the program alone differs between the two versions."""
    program = "wireguard-go"

    def __init__(self, name="wireguard-go", newest=False):
        super().__init__(name)
        self.newest = newest

    def path(self, program):
        if program == "wireguard-go" and self.newest:
            return rivals.path_of(program, rivals.NEWEST)
        return super().path(program)

    def version(self):
        return rivals.version_of("wireguard-go", newest=True) if self.newest else super().version()

    def program_in(self):
        return str(rivals.NEWEST / "usr/bin/wireguard-go") if self.newest else self.program

    def configure(self, pair):
        self.public = {}
        for end, name in ((pair.client, "client"), (pair.server, "server")):
            secret = end.host.run("wg", "genkey").stdout
            pair.file(name, secret)
            self.public[name] = end.host.run("wg", "pubkey", input=secret).stdout.strip()

    def start_server(self, pair):
        self._start(pair, pair.server, "server", "client", INNER_SERVER, "listen-port", 51820)

    def start_client(self, pair):
        self._start(pair, pair.client, "client", "server", INNER_CLIENT,
                    endpoint=("endpoint", f"{SERVER}:51820"))
        pair.target = INNER_SERVER

    def _start(self, pair, end, own, other, address, *options, endpoint=()):
        self._daemon(end, "-f", "wg0")
        for _ in range(500):
            if end.host.path("/run/wireguard/wg0.sock").exists():
                break
            time.sleep(0.005)
        end.host.run("wg", "set", "wg0", "private-key", pair.folder / own, *options, "peer",
                     self.public[other], "allowed-ips", "10.99.0.0/24", *endpoint)
        end.host.ip("link", "set", "wg0", "mtu", 1420)
        end.host.address("wg0", f"{address}/24")


class OpenVpn(Rival):
    """OpenVPN with TLS, self-signed certificates known by fingerprint, and no kernel module."""
    program = "openvpn"

    def __init__(self):
        super().__init__("OpenVPN")

    def configure(self, pair):
        self.fingerprint = {}
        for name in ("client", "server"):
            key, certificate = pair.folder / f"{name}.key", pair.folder / f"{name}.crt"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:secp384r1", "-nodes", "-days", "30", "-subj",
                            f"/CN={name}", "-keyout", key, "-out", certificate],
                           capture_output=True, check=True)
            said = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-fingerprint",
                                   "-sha256"], capture_output=True, text=True, check=True).stdout
            self.fingerprint[name] = said.strip().partition("=")[2]

    def start_server(self, pair):
        self._start(pair, pair.server, "server", "client", INNER_SERVER, INNER_CLIENT,
                    "--tls-server", "--dh", "none")

    def start_client(self, pair):
        self._start(pair, pair.client, "client", "server", INNER_CLIENT, INNER_SERVER,
                    "--tls-client", "--remote", SERVER, "1194")
        pair.target = INNER_SERVER

    def _start(self, pair, end, own, other, local, remote, *options):
        self._daemon(end, "--dev", "tun0", "--dev-type", "tun", "--proto", "udp", "--disable-dco",
                     "--ifconfig", local, remote, "--tun-mtu", "1420", "--mssfix", "0",
                     "--cert", pair.folder / f"{own}.crt", "--key", pair.folder / f"{own}.key",
                     "--peer-fingerprint", self.fingerprint[other],
                     "--cipher", "CHACHA20-POLY1305", "--data-ciphers", "CHACHA20-POLY1305",
                     "--sndbuf", "1000000", "--rcvbuf", "1000000", "--fast-io", "--verb", "1",
                     *options)


class Fastd(Rival):
    """fastd with the fastest of its encrypting methods."""
    program = "fastd"

    def __init__(self):
        super().__init__("fastd")

    def configure(self, pair):
        self.keys = {}
        for name in ("client", "server"):
            said = pair.client.host.run("fastd", "--machine-readable", "--generate-key").stdout
            secret = said.strip()
            shown = pair.client.host.run("fastd", "--machine-readable", "--show-key", "--config",
                                         "-", input=f'secret "{secret}";\n').stdout.strip()
            self.keys[name] = (secret, shown)

    def _configuration(self, pair, own, other, address, bind, remote):
        return pair.file(f"{own}.conf", f"""
log level warn;
mode tun;
interface "fastd0";
method "salsa2012+umac";
mtu 1420;
{bind}
secret "{self.keys[own][0]}";
on up "ip link set fastd0 up; ip address add {address}/24 dev fastd0";
peer "{other}" {{
	key "{self.keys[other][1]}";
	{remote}
}}
""")

    def start_server(self, pair):
        self._daemon(pair.server, "--config", self._configuration(
            pair, "server", "client", INNER_SERVER, f"bind {SERVER}:10000;", ""))
        time.sleep(0.2)

    def start_client(self, pair):
        self._daemon(pair.client, "--config", self._configuration(
            pair, "client", "server", INNER_CLIENT, "", f"remote {SERVER}:10000;"))
        pair.target = INNER_SERVER


class Tinc(Rival):
    """tinc 1.0, which has its own protocol and no AEAD; AES-256 and SHA-256 stand in."""
    program = "tincd"
    package = "tinc"

    def __init__(self):
        super().__init__("tinc")

    def configure(self, pair):
        for name in ("client", "server"):
            (pair.folder / name / "hosts").mkdir(parents=True)
            subprocess.run(["openssl", "genrsa", "-traditional", "-out",
                            pair.folder / name / "rsa_key.priv", "2048"], capture_output=True,
                           check=True)
        for name, address in (("client", INNER_CLIENT), ("server", INNER_SERVER)):
            public = subprocess.run(["openssl", "rsa", "-in", pair.folder / name / "rsa_key.priv",
                                     "-RSAPublicKey_out"], capture_output=True, text=True,
                                    check=True).stdout
            about = f"Subnet = {address}/32\nCipher = aes-256-cbc\nDigest = sha256\n{public}"
            if name == "server":
                about = f"Address = {SERVER}\n{about}"
            for place in ("client", "server"):
                pair.file(f"{place}/hosts/{name}", about)
            joins = "ConnectTo = server\n" if name == "client" else ""
            pair.file(f"{name}/tinc.conf", f"Name = {name}\nInterface = tinc0\nMode = router\n{joins}")
            pair.file(f"{name}/tinc-up", "#!/bin/sh\nip link set tinc0 up mtu 1420\n"
                      f"ip address add {address}/24 dev tinc0\n", 0o700)

    def start_server(self, pair):
        self._daemon(pair.server, "-D", "-c", pair.folder / "server", "--pidfile", "/run/tinc.pid")
        time.sleep(0.3)

    def start_client(self, pair):
        self._daemon(pair.client, "-D", "-c", pair.folder / "client", "--pidfile", "/run/tinc.pid")
        pair.target = INNER_SERVER


class StrongSwan(Rival):
    """strongSwan with ESP in user space (kernel-libipsec), ChaCha20-Poly1305, a shared secret."""
    program = "swanctl"
    package = "strongswan-swanctl"
    PLUGINS = ("random nonce openssl aes sha1 sha2 hmac kdf curve25519 gmp chapoly x509 pem pkcs1 "
               "pubkey kernel-libipsec kernel-netlink socket-default vici updown")

    def __init__(self):
        super().__init__("strongSwan")

    def configure(self, pair):
        for name, local, remote, inner, far in (
                ("client", CLIENT, SERVER, INNER_CLIENT, INNER_SERVER),
                ("server", SERVER, CLIENT, INNER_SERVER, INNER_CLIENT)):
            pair.file(f"{name}.conf", f"charon {{\n  load = {self.PLUGINS}\n  install_routes = yes\n"
                      "  filelog { stderr { default = 0 } }\n"
                      "  plugins { kernel-libipsec { allow_peer_ts = yes } "
                      "vici { socket = unix:///run/charon.vici } }\n}\n"
                      "swanctl { socket = unix:///run/charon.vici\n  load = \n}\n", 0o644)
            pair.file(f"{name}.swan", f"""
connections {{
  bench {{
    local_addrs = {local}
    remote_addrs = {remote}
    version = 2
    encap = yes
    proposals = chacha20poly1305-prfsha256-curve25519
    local {{ auth = psk
      id = {name} }}
    remote {{ auth = psk }}
    children {{ bench {{
      local_ts = {inner}/32
      remote_ts = {far}/32
      esp_proposals = chacha20poly1305
    }} }}
  }}
}}
secrets {{ ike-bench {{ secret = "only for a benchmark" }} }}
""")

    def _start(self, pair, end, name, inner):
        environment = {"STRONGSWAN_CONF": str(pair.folder / f"{name}.conf")}
        end.host.address("lo", f"{inner}/32")
        end.daemon("/usr/lib/ipsec/charon", env=environment)
        for _ in range(300):
            if end.host.path("/run/charon.vici").exists():
                break
            time.sleep(0.01)
        end.host.run("swanctl", "--load-all", "--file", pair.folder / f"{name}.swan",
                     env=environment)
        return environment

    def start_server(self, pair):
        self._start(pair, pair.server, "server", INNER_SERVER)

    def start_client(self, pair):
        environment = self._start(pair, pair.client, "client", INNER_CLIENT)
        pair.client.host.run("swanctl", "--initiate", "--child", "bench", env=environment)
        for end in pair.ends():
            end.host.run("ip", "link", "set", "ipsec0", "mtu", "1400", check=False)
        pair.target = INNER_SERVER


def all_of_them():
    """Every contender there is, in the order of tables."""
    return [
        Bare(),
        Relay(),
        Relay("sealing relay", "ipsec-mb"),
        Minivpn("ipsec-mb", "ordinary", "ipsec-mb"),
        Minivpn("libsodium", "ordinary", "sodium"),
        Minivpn("null", "benchmark", "null"),
        Minivpn("one-at-a-time", "one-at-a-time", "ipsec-mb"),
        WireguardGo("wireguard-go"),
        WireguardGo("wireguard-go new", newest=True),
        OpenVpn(),
        Fastd(),
        StrongSwan(),
        Tinc(),
    ]

# SPDX-License-Identifier: GPL-2.0-or-later
"""The second implementation by itself: against the vectors, and both its ends against each other."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VECTORS = HERE.parent / "vectors"
PEER = HERE / "minivpn_peer.py"


def load_peer():
    spec = importlib.util.spec_from_file_location("minivpn_peer", PEER)
    module = importlib.util.module_from_spec(spec)
    sys.modules["minivpn_peer"] = module
    spec.loader.exec_module(module)
    return module


peer = load_peer()


def vectors(name):
    return json.loads((VECTORS / name).read_text())["vectors"]


def as_bytes(value):
    return {key: bytes.fromhex(text) if isinstance(text, str) else text
            for key, text in value.items() if key not in ("initiator_role", "direction")}


def test_siphash():
    # appendix A of the SipHash paper (Aumasson and Bernstein, 2012)
    assert peer.siphash24(bytes(range(16)), bytes(range(15)))[::-1].hex() == "a129ca6149be45e5"


@pytest.mark.parametrize("number", [0, 1])
def test_handshake_vectors(number):
    raw = vectors("minivpn-handshake.json")[number]
    v = as_bytes(raw)
    keys = peer.Keys(v["psk"], raw["initiator_role"].encode())
    assert keys.hint == v["k_hint"] and keys.retry == v["k_retry"]
    sent = peer.offer_from_items(v["payload1"].ljust(944, b"\0"), False, False)
    attempt = peer.init_make(keys, v["initiator_ephemeral_private"], v["payload1"], sent.spis,
                             v["cookie"])
    assert attempt.message == v["init"]
    assert attempt.message[8:16] == v["hint"]
    assert peer.prologue(keys, attempt.message) == v["prologue"]

    opened = peer.init_open(keys, v["init"])
    assert opened.offer == sent
    response, split = peer.response_make(opened, v["responder_ephemeral_private"], v["payload2"])
    assert response == v["response"]
    answer, again, handshake_hash = peer.response_open(attempt, v["response"], False)
    assert again == split == (v["split_k1"], v["split_k2"])
    assert handshake_hash == v["handshake_hash"]

    for sa in raw["sa"]:
        forward = sa["direction"] == "initiator to responder"
        spi = (answer if forward else sent).spis[sa["index"]]
        assert spi == int(sa["spi"], 16)
        assert peer.sa_key(split[not forward], sa["index"], spi).hex() == sa["keymat"]

    assert peer.retry_make(keys, v["init"], v["retry_cookie"]) == v["retry"]
    assert peer.retry_open(keys, attempt, v["retry"]) == v["retry_cookie"]


def test_published_noise_vector():
    name = "Noise_NNpsk0_25519_ChaChaPoly_SHA512"
    (raw,) = [v for v in vectors("noise-NNpsk0.json") if v["protocol_name"] == name]
    state = [peer.Noise(name.encode(), bytes.fromhex(raw[f"{side}_prologue"]))
             for side in ("init", "resp")]
    secret = [bytes.fromhex(raw[f"{side}_ephemeral"]) for side in ("init", "resp")]
    for noise in state:
        noise.mix_key_and_hash(bytes.fromhex(raw["init_psks"][0]))
    for i, message in enumerate(raw["messages"][:2]):
        sent, payload = bytes.fromhex(message["ciphertext"]), bytes.fromhex(message["payload"])
        assert sent[:32] == peer.public_of(secret[i])
        for noise in state:
            noise.mix_hash(sent[:32])
            noise.mix_key(sent[:32])
            if i == 1:
                noise.mix_key(peer.shared_secret(secret[0], sent[:32]))
        assert state[i].seal(payload) == sent[32:]
        assert state[1 - i].open(sent[32:]) == payload
    assert state[0].h.hex() == state[1].h.hex() == raw["handshake_hash"]


@pytest.mark.parametrize("vector", vectors("esp-chacha20poly1305.json"), ids=lambda v: v["id"])
def test_esp_vectors(vector):
    material = bytes.fromhex(vector["key"] + vector["salt"])
    packet = bytes.fromhex(vector["esp"])
    if not vector["valid"] or vector["esn"]:
        with pytest.raises(peer.Refused):
            peer.esp_open(material, packet)
        return
    number, payload, next_header = peer.esp_open(material, packet)
    assert (number, next_header) == (vector["seq_lo"], vector["next_header"])
    inner = bytes.fromhex(vector["inner"])
    if next_header == peer.DUMMY:
        assert payload == inner + bytes(vector["tfc_len"])
    else:
        assert payload == inner


@pytest.mark.parametrize("at", [0, 4, 5, 6, 7, 8, 11, 12, 43, 44, 91])
def test_no_byte_of_a_response_can_be_changed(at):
    v = as_bytes(vectors("minivpn-handshake.json")[0])
    keys = peer.Keys(v["psk"], b"C")
    attempt = peer.init_make(keys, v["initiator_ephemeral_private"], v["payload1"], [0xA1B2C300])
    changed = bytearray(v["response"])
    changed[at] ^= 0x80
    with pytest.raises(peer.Refused):
        peer.classify(bytes(changed))
        peer.response_open(attempt, bytes(changed), True)


@pytest.mark.parametrize("inside", ["10.9.0.1", "fd00:9::1"])
@pytest.mark.parametrize("outside", ["192.0.2.2", "2001:db8:1::2"])
def test_both_ends_over_udp(lab, outside, inside):
    client, server = lab.hosts("client", "server")
    lab.link(client, "192.0.2.1/24 2001:db8:1::1/64", server, "192.0.2.2/24 2001:db8:1::2/64")
    place = f"[{outside}]:4500" if ":" in outside else f"{outside}:4500"
    answering = server.start(sys.executable, PEER, "--role", "server", "--psk-hex", "7" * 64,
                             "--listen", place, "--inner", inside, "--demand-cookie",
                             "--address", "10.9.0.2/24", "--address", "fd00:9::2/64")
    answering.wait_for_output("listening")
    said = client.run(sys.executable, PEER, "--role", "client", "--psk-hex", "7" * 64,
                      "--remote", place, "--ping", inside).stdout
    events = [json.loads(line)["event"] for line in said.splitlines()]
    events = [event for event in events if event != "refused"]     # copies of what came before
    assert events[:3] == ["retry", "session", "pong"] and events.count("echo-reply") == 3
    assert answering.wait() == 0

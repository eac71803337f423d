# SPDX-License-Identifier: GPL-2.0-or-later
"""The second kernel boots, is reached in both families, and has the ESP that we want of it.

    here tap0 -- vec0 second kernel
"""

import pytest

import uml
from lab import LabError

STATE = ("ip xfrm state add src {src} dst {dst} proto esp spi {spi} reqid 1 mode tunnel"
         " aead 'rfc7539esp(chacha20,poly1305)' 0x" + "42" * 36 + " 128"
         " encap espinudp 4500 4500 0.0.0.0 replay-window 128 flag af-unspec\n")


@pytest.fixture
def here(lab):
    return lab.host("here")


def test_second_kernel_is_reached_and_knows_our_esp(here):
    with uml.Machine(here, outside="192.0.2.1/24 2001:db8::1/64",
                     inside="192.0.2.2/24 2001:db8::2/64", modules=uml.XFRM) as kernel:
        assert kernel.run("uname -r").startswith("6.1.")
        assert here.ping("192.0.2.2").received == 3
        assert here.ping("2001:db8::2").received == 3
        kernel.run(STATE.format(src="192.0.2.2", dst="192.0.2.1", spi="0x1001") +
                   STATE.format(src="192.0.2.1", dst="192.0.2.2", spi="0x1002"))
        kernel.receive_esp_in_udp(4500)
        assert kernel.run("ip xfrm state").count("rfc7539esp(chacha20,poly1305)") == 2

        # What it sends is ESP; what comes back with a wrong tag is refused by its XFRM.
        kernel.run("ip address add 10.9.0.2/32 dev lo\n"
                   "ip xfrm policy add src 10.9.0.2/32 dst 10.9.0.1/32 dir out"
                   " tmpl src 192.0.2.2 dst 192.0.2.1 proto esp reqid 1 mode tunnel\n"
                   "ip route add 10.9.0.1/32 dev vec0 src 10.9.0.2\n")
        with here.capture("tap0", "udp port 4500") as wire:
            kernel.run("ping -c 2 -W 1 -i .2 10.9.0.1", check=False)
        assert wire.fields("esp.spi", "esp.sequence") == [("0x00001001", "1"), ("0x00001001", "2")]
        here.run("/usr/bin/python3", "-c",
                 "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                 "s.bind(('192.0.2.1', 4500));"
                 "s.sendto(b'\\0\\0\\x10\\x02' + b'\\0\\0\\0\\1' + b'x' * 40, ('192.0.2.2', 4500))")
        refused = kernel.run("grep XfrmInStateProtoError /proc/net/xfrm_stat").split()
        assert refused == ["XfrmInStateProtoError", "1"]


def test_failed_command_is_told(here):
    with uml.Machine(here, "192.0.2.1/24", "192.0.2.2/24", modules=()) as kernel:
        assert kernel.run("echo one\nfalse", check=False) == "one\n"
        with pytest.raises(LabError, match="exit status 3\nbefore"):
            kernel.run("echo before; exit 3")

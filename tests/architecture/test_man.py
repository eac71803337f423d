# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages have every option that there is, and none that there is not."""

import re
import shutil
import subprocess

import pytest

from lab import SOURCE, program

PAGES = SOURCE / "docs" / "man"


def said(*command):
    """All that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout + done.stderr


def flags_of(*command):
    """{"--name": "-n" or None} by the program's own --help."""
    text = said(*command, "--help")
    lines = re.findall(r"^  (?:(-\w), |    )(--[\w-]+)", text, re.MULTILINE)
    rare = re.findall(r"^  more in minivpn\(8\): (.*)$", text, re.MULTILINE)
    return ({name: letter or None for letter, name in lines} |
            {name: None for line in rare for name in line.split(", ")})


def paragraphs(page, heading):
    """The terms of the definition list under a heading of a page."""
    text = (PAGES / page).read_text()
    section = text.split(f"\n# {heading}\n")[1].split("\n# ")[0]
    return [line for line in section.splitlines() if line.startswith("*")]


def flags_in(page):
    """The same by the manual page."""
    found = {}
    for line in paragraphs(page, "OPTIONS"):
        letter, name = re.match(r"(?:\*(-\w)\*, )?\*(--[\w-]+)\*", line).groups()
        assert name not in found
        found[name] = letter
    return found


def test_minivpn():
    both = flags_of(program("minivpn"), "server") | flags_of(program("minivpn"), "client")
    assert flags_in("minivpn.8.scd") == both


@pytest.mark.parametrize("name, page", [("minivpn-keygen", "minivpn-keygen.1.scd"),
                                        ("minivpn-nft", "minivpn-nft.8.scd")])
def test_the_other_programs(name, page):
    assert flags_in(page) == flags_of(program(name))


def test_every_command_is_there():
    commands = re.findall(r"^  ([a-z]+) ", said(program("minivpn"), "help"), re.MULTILINE)
    text = (PAGES / "minivpn.8.scd").read_text()
    assert commands and all(f"*minivpn {command}*" in text for command in commands)


def test_the_file_has_the_settings_that_it_may_have(tmp_path):
    """Asked of the program: which names does a file take, and for which role?"""
    settings = {line.split("*")[1] for line in paragraphs("minivpn.conf.5.scd", "SETTINGS")}
    names = {"key"} | {flag[2:] for role in ("server", "client")
                       for flag in flags_of(program("minivpn"), role)}
    taken = set()
    for name in names:
        for role in ("server", "client"):
            file = tmp_path / "conf"
            file.write_text(f"{name} =\n")
            if "is no setting" not in said(program("minivpn"), role, "--config", file, "--dry-run"):
                taken.add(name)
    assert settings == taken


def test_what_no_file_may_have_stands_last_and_is_counted():
    settings = {line.split("*")[1] for line in paragraphs("minivpn.conf.5.scd", "SETTINGS")}
    flags = [name for name in flags_in("minivpn.8.scd") if name[2:] not in settings]
    assert list(flags_in("minivpn.8.scd"))[-len(flags):] == flags
    number = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight"][len(flags)]
    assert f"All but the last {number} may also stand" in (PAGES / "minivpn.8.scd").read_text()


def test_the_lines_of_a_key_file_are_all_there():
    told = re.findall(r"^\| `([\w-]+)` \|", (SOURCE / "keys" / "README.md").read_text(), re.MULTILINE)
    assert [line.strip("*") for line in paragraphs("minivpn-keygen.1.scd", "KEY FILES")] == told
    source = (SOURCE / "keys" / "keytext.c").read_text()
    fields = source.split("} fields[] = {")[1].split("};")[0]
    assert re.findall(r'\{ "([\w-]+)",', fields) == told


def test_the_examples_are_taken(tmp_path):
    examples = re.findall(r"```\n(\[(\w+)\].*?)```", (PAGES / "minivpn.conf.5.scd").read_text(),
                          re.DOTALL)
    assert len(examples) == 2
    for text, role in examples:
        file = tmp_path / f"{role}.conf"
        file.write_text(re.sub("^key = .*$", "key = /nonexistent.key", text, flags=re.MULTILINE))
        answer = said(program("minivpn"), role, "--config", file, "--dry-run")
        # It got as far as the key, which is the only thing wrong.
        assert answer.startswith("minivpn: /nonexistent.key: does not exist")


def test_help_fits_a_screen():
    for command in (["help"], ["server", "--help"], ["client", "--help"]):
        lines = said(program("minivpn"), *command).splitlines()
        assert len(lines) <= 24 and max(map(len, lines)) <= 80, command


@pytest.mark.parametrize("page", sorted(p.name for p in PAGES.glob("*.scd")))
def test_pages_are_formatted_without_complaint(page):
    if not shutil.which("scdoc") or not shutil.which("groff"):
        pytest.skip("needs scdoc and groff")
    roff = subprocess.run(["scdoc"], input=(PAGES / page).read_bytes(), capture_output=True,
                          check=True, timeout=10)
    shown = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=roff.stdout,
                           capture_output=True, check=False, timeout=20)
    assert shown.returncode == 0 and shown.stderr == b""

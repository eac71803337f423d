# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures that every end-to-end test may use; what a lab can do is told in lab.py."""

import signal
import sys

import pytest

from four_machines import World
from lab import Lab, missing_needs


def pytest_configure(config):
    # A run that is told to end (a time limit, a closed terminal) still takes its labs away.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("told to end"))


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the long campaigns too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def _lab_needs():
    lacking = missing_needs()
    if lacking:
        pytest.skip(lacking)


@pytest.fixture
def lab(_lab_needs):
    """An empty lab, taken away at the end of the test."""
    with Lab() as made:
        yield made


@pytest.fixture
def world(lab):
    """The four machines of four_machines.py, without any daemon yet."""
    return World(lab)


@pytest.fixture(scope="module")
def module_lab(_lab_needs):
    """The same for all tests of a file: for topologies that the tests only look at."""
    with Lab() as made:
        yield made


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test also tells what was run in its lab and what the daemons printed."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name in ("lab", "module_lab"):
            if name in getattr(item, "funcargs", {}):
                report.sections.append((name, item.funcargs[name].story()))

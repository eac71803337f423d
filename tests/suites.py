# SPDX-License-Identifier: GPL-2.0-or-later
"""All suites of tests, two at a time, and one line that sums them up (run by tests/run).

Each suite is a function that takes a Run and returns its Results.  A build is a suite as well: it
passes or fails.  What a suite prints goes into a log; only what failed is shown.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("MINIVPN_TEST_BUILD", SOURCE / "build-tests"))
JOBS = os.cpu_count() or 1

# Tests and suites that qemu-user cannot run: it knows neither UDP's segmentation nor some of
# netlink, and what the kernel does is not a question for it.  The simulation takes it minutes.
NOT_EMULATED = {"udp", "udp_fallback", "worker", "netwatch", "tun", "assumptions", "sim"}

# What waits more than it computes, or is not about our programs: with sanitizers only if --long.
UNSANITIZED = ("vm", "architecture", "netns/test_contact.py", "netns/test_rekeying.py",
               "netns/test_roaming.py")

# When more than this fails beside others, it is not because the computer was busy.
SECOND_TRIES = 12

# Where threads meet: what ThreadSanitizer looks at.
THREADED = ("lane", "mailbox", "worker")
THREADED_END_TO_END = "(flows_pass and numbers0) or removed or status_is"

C_FOLDERS = ("include", "src", "keys", "tools", "tests")


class Results:
    """How many tests passed, and what is to be said about the others."""

    def __init__(self, passed=0, failed=(), skipped=()):
        self.passed = passed
        self.failed = list(failed)      # texts, the test's name in the first line
        self.skipped = list(skipped)    # "name: reason"
        self.again = []                 # names of those that were tried a second time, alone

    @staticmethod
    def one(name, trouble=None):
        """The results of a suite that is one test; @trouble is None if it passed."""
        return Results(1) if trouble is None else Results(0, [f"{name}\n{trouble}"])


class ToldToEnd(Exception):
    """Raised in a suite whose run is told to end: what it found does not count."""


class Run:
    """What the suites need to know: options, and where their logs go."""

    def __init__(self, options):
        self.options = options
        self.telling = threading.Lock()     # held by who prints, or adds to the sum
        self.told_to_end = threading.Event()
        self._working = set()               # the processes of command(), under the lock below
        self._starting = threading.Lock()
        self.sanitized_built = threading.Event()    # or not: has_sanitized
        self.has_sanitized = False
        self.logs = BUILD / "logs"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)

    def command(self, log, *words, env=None, timeout=1800):
        """Run a command with its output in a log; returns (exit status, output)."""
        path = self.logs / f"{log}.log"
        with open(path, "w+b") as sink:
            with self.start(*words, stdout=sink, stderr=subprocess.STDOUT, env=env) as process:
                try:
                    status = process.wait(timeout)
                except subprocess.TimeoutExpired:
                    status = "over its time"
                    process.kill()
        return status, path.read_text(errors="replace")

    @contextlib.contextmanager
    def start(self, *words, env=None, **options):
        """A process that end() ends: subprocess.Popen as a context.

        It has a session of its own, so that Ctrl-C reaches us alone, and each of ours but once.
        """
        with self._starting:
            if self.told_to_end.is_set():
                raise ToldToEnd
            process = subprocess.Popen([str(word) for word in words], cwd=SOURCE,
                                       stdin=subprocess.DEVNULL, start_new_session=True,
                                       env={**os.environ, **(env or {})}, **options)
            self._working.add(process)
        with process:
            try:
                yield process
            finally:
                process.wait()
                self._working.discard(process)
        if self.told_to_end.is_set():
            raise ToldToEnd

    def end(self):
        """Begin nothing any more, and have what works put its things away and end."""
        self.told_to_end.set()
        with self._starting:
            for process in list(self._working):
                try:
                    process.send_signal(signal.SIGINT)
                except PermissionError:     # sudo, which hands it on
                    subprocess.run(["sudo", "-n", "kill", "-INT", str(process.pid)], check=False)
        self.sanitized_built.set()


def build(run, kind, compiler, *settings, targets=()):
    """Configure and build, everything or only @targets; @kind names the folder and the log."""
    folder = BUILD / kind
    if not (folder / "build.ninja").exists():
        shutil.rmtree(folder, ignore_errors=True)
        status, output = run.command(f"setup-{kind}", "meson", "setup", folder, "-Dwerror=true",
                                     *settings, env={"CC": compiler})
        if status:
            return Results.one(f"configure {kind}", _tail(output))
    status, output = run.command(f"build-{kind}", "ninja", "-k", "0", "-C", folder, *targets)
    return Results.one(f"build {kind}", _complaints(output) if status else None)


def unit(run, kind, env=None, without=(), only=None, slower=1):
    """meson's tests, but for some.  Each test function of cmocka counts, not each program.

    @only: the names of those that are wanted; None: all.

    @slower: how many times longer than its usual limit a test may take, beside compilers or emulated.
    """
    folder = BUILD / kind
    words = ["meson", "test", "-C", folder, "--no-rebuild", "--suite", "unit"]
    listed = subprocess.run([str(word) for word in (*words, "--list")], cwd=SOURCE,
                            capture_output=True, text=True, check=False).stdout
    wanted = []
    for line in listed.splitlines():        # "minivpn:unit+sim / sim", or the name alone
        suites_of, _, name = line.rpartition(" / ")
        if only is not None and name not in only:
            continue
        if not {name, *re.split("[:+]", suites_of)} & set(without):
            if (run.options.pattern or "") in name:
                wanted.append(name)
    if not wanted:
        return Results() if run.options.pattern else Results.one(f"unit tests, {kind}",
                                                                 "meson lists none")
    words += ["--timeout-multiplier", slower, *wanted]
    status, output = run.command(f"unit-{kind}", *words, env=env)
    results = Results()
    record = folder / "meson-logs/testlog.json"
    if not record.exists():
        return Results.one(f"unit tests, {kind}", _tail(output))
    for line in record.read_text().splitlines():
        _count_unit(json.loads(line), kind, results)
    if status and not results.failed:
        results.failed.append(f"unit tests, {kind}\n{_tail(output)}")
    return results


def _count_unit(test, kind, results):
    """Add what one test program said (a line of meson's testlog.json) to @results."""
    name = f"{test['name'].split(' / ')[-1]} ({kind})"
    said = (test.get("stdout") or "") + (test.get("stderr") or "")
    good = re.findall(r"^\[       OK \] (\S+)", said, re.MULTILINE)
    bad = re.findall(r"^\[  FAILED  \] (?:\S+: )?([A-Za-z_]\w*)$", said, re.MULTILINE)
    left = re.findall(r"^\[  SKIPPED \] ([A-Za-z_]\w*)$", said, re.MULTILINE)
    results.passed += len(good)
    results.skipped += [f"{name}: {one}" for one in sorted(set(left))]
    if test["result"] == "SKIP":
        results.skipped.append(f"{name}: {said.strip() or 'no reason given'}")
    elif test["result"] not in ("OK", "EXPECTEDFAIL"):
        results.failed += [f"{name}: {one}\n{_tail(said)}" for one in sorted(set(bad))] or [
            f"{name}: {test['result']} (status {test.get('returncode')})\n{_tail(said)}"]
    elif not good:
        results.passed += 1


def end_to_end(run, kind, *words, env=None):
    """The pytest suites, with the programs of one build.

    Most tests wait most of the time, so they run side by side; many assert how soon something
    happens.  What fails beside others is tried once more, alone, with the same bounds: a fault
    fails again, a computer that was too busy does not.  Whoever needed it is told.
    """
    results = _pytest(run, kind, "-n", 2 * JOBS, *words, env=env)
    if not results.failed or len(results.failed) > SECOND_TRIES:
        return results
    second = _pytest(run, kind, "-n", 0, "--last-failed", "--last-failed-no-failures=none",
                     *words, env=env)
    # One that failed and could not put its things away is in there twice.
    tried = sorted({failure.splitlines()[0] for failure in results.failed})
    if second.passed + len({failure.splitlines()[0] for failure in second.failed}) != len(tried):
        return results          # pytest did not come so far: the first run counts
    results.again = tried
    results.passed += second.passed
    results.failed = second.failed
    return results


def _pytest(run, kind, *words, env=None, where="tests"):
    """One run of pytest; returns what it found."""
    report = run.logs / f"pytest-{kind}.xml"
    report.unlink(missing_ok=True)
    command = ["/usr/bin/python3", "-m", "pytest", "-q", where, f"--junitxml={report}",
               "-o", f"cache_dir={BUILD / kind / 'pytest'}", *words]
    if run.options.long:
        command.append("--long")
    if run.options.pattern:
        command += ["-k", run.options.pattern]
    status, output = run.command(f"pytest-{kind}", *_as_root(), *command,
                                 env={"MINIVPN_BUILD": str(BUILD / kind), **(env or {})})
    if status == 5 and run.options.pattern:     # nothing matches
        return Results()
    if not report.exists():
        return Results.one(f"pytest, {kind}", _tail(output, 40))
    results = Results()
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').removeprefix('tests.')}.{case.get('name')} ({kind})"
        trouble = [*case.findall("failure"), *case.findall("error")]
        skip = case.find("skipped")
        if trouble:
            results.failed.append(f"{name}\n{trouble[0].text or trouble[0].get('message')}")
        elif skip is not None:
            results.skipped.append(f"{name}: {skip.get('message')}")
        else:
            results.passed += 1
    if status and not results.failed:
        results.failed.append(f"pytest, {kind}: status {status}\n{_tail(output, 40)}")
    return results


def _as_root():
    """What to put before a command that makes namespaces; nothing if that will not help."""
    if os.geteuid() == 0 or not shutil.which("sudo"):
        return []
    able = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    return ["sudo", "-n", "-E"] if able else []


class Reports:
    """Where sanitizers put their reports.  Any report fails the run, whoever wrote it."""

    def __init__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="minivpn-sanitizers-"))
        self._folder.chmod(0o1777)      # daemons write theirs after they gave up their rights

    def path(self, stem):
        return self._folder / stem

    def add_to(self, results):
        """Take all that were made."""
        for report in sorted(self._folder.iterdir()):
            results.failed.append(f"sanitizer report {report.name}\n"
                                  f"{_tail(report.read_text(errors='replace'), 40)}")
        shutil.rmtree(self._folder)


def _sanitizers(reports, *settings):
    """The environment of a program with AddressSanitizer and UBSan."""
    return {"UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:log_path={reports.path('ubsan')}",
            "ASAN_OPTIONS": ":".join(("detect_stack_use_after_return=1",
                                      f"log_path={reports.path('asan')}", *settings))}


def sanitized(run):
    """The unit tests under AddressSanitizer and UBSan, and the build that sanitized_end_to_end() needs."""
    try:
        results = build(run, "sanitized", "gcc", "-Doptimization=1",
                        "-Db_sanitize=address,undefined", "-Db_lundef=false")
        run.has_sanitized = not results.failed
    finally:
        run.sanitized_built.set()
    if run.has_sanitized:
        reports = Reports()
        _add(results, unit(run, "sanitized", _sanitizers(reports), slower=3))
        reports.add_to(results)
    return results


def sanitized_end_to_end(run):
    """The same of both daemons, once the other lane has built them; if it could not, it says so."""
    run.sanitized_built.wait()
    if not run.has_sanitized:
        return Results()
    reports = Reports()
    ignored = [] if run.options.long else [f"--ignore=tests/{path}" for path in UNSANITIZED]
    # The leak checker traces its own process, and our daemons are not to be traced.
    results = end_to_end(run, "sanitized", "-m", "not unsanitized", *ignored,
                         env=_sanitizers(reports, "detect_leaks=0"))
    reports.add_to(results)
    return results


def threads(run):
    """What has threads under ThreadSanitizer.  Any report fails the run."""
    kind = "threads"
    results = build(run, kind, "gcc", "-Doptimization=1", "-Db_sanitize=thread",
                    "-Db_lundef=false", targets=("src/cli/minivpn", "keys/minivpn-keygen",
                                                 *(f"tests/unit/test_{one}" for one in THREADED)))
    if results.failed:
        return results
    reports = Reports()
    env = {"TSAN_OPTIONS": f"log_path={reports.path('tsan')}"}
    _add(results, unit(run, kind, env, only=THREADED, slower=5))
    _add(results, _pytest(run, kind, "-n", 0, "-m", "not unsanitized", "-k", THREADED_END_TO_END,
                          "-o", "timeout=240", env=env, where="tests/netns/test_workers.py"))
    reports.add_to(results)
    return results


def other_processor(run, architecture):
    """The build and the unit tests for another processor, emulated."""
    compiler = {"arm64": "aarch64-linux-gnu-gcc", "s390x": "s390x-linux-gnu-gcc"}[architecture]
    if not shutil.which(compiler):
        return Results(0, (), [f"{architecture}: needs {compiler}"])
    status, output = run.command(f"build-{architecture}", "tools/dev/cross-build", architecture,
                                 BUILD / architecture)
    if status and "apt" in _tail(output, 3):
        return Results(0, (), [f"{architecture}: its libraries cannot be downloaded"])
    results = Results.one(f"build {architecture}", _complaints(output) if status else None)
    if not results.failed:
        _add(results, unit(run, architecture, without=NOT_EMULATED, slower=10))
    return results


def formatting(run):
    """Does clang-format agree with every C file?"""
    status, output = run.command("format", "clang-format", "--dry-run", "--Werror", *_c_files())
    return Results.one("clang-format", _tail(output) if status else None)


def tidy(run):
    """clang-tidy over every source of the clang build that is shipped; each file is a test."""
    database = BUILD / "clang" / "compile_commands.json"
    sources = {Path(BUILD / "clang", entry["file"]).resolve().relative_to(SOURCE)
               for entry in json.loads(database.read_text())}
    ours = sorted(source for source in sources if source.parts[0] != "tests")
    results = Results()

    def look_at(source):
        with run.start("clang-tidy", "--quiet", "-p", database.parent, source, stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL, text=True) as process:
            output, _ = process.communicate()
        return source, process.returncode, output

    with ThreadPoolExecutor(JOBS) as pool:
        for source, status, output in pool.map(look_at, ours):
            if status:
                results.failed.append(f"clang-tidy {source}\n{output}")
            else:
                results.passed += 1
    return results


def _c_files():
    """Every C file of the tree, as git sees it (or as it lies there, in an unpacked release)."""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co",
                             "--exclude-standard", "*.c", "*.h"],
                            cwd=SOURCE, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [f for f in listed.stdout.splitlines() if (SOURCE / f).exists()]
    return [str(path.relative_to(SOURCE)) for folder in C_FOLDERS
            for path in sorted((SOURCE / folder).rglob("*.[ch]"))]


def lanes(options):
    """The suites that the options ask for, as lists of (title, function).

    A lane goes from one suite to the next; the lanes go side by side.  In the first one time
    matters, so the others are nice to it.  A build that fails ends its lane.
    """
    first = [("build, gcc", lambda run: build(run, "gcc", "gcc")),
             ("unit tests", lambda run: unit(run, "gcc", slower=3)),
             ("end to end", lambda run: end_to_end(run, "gcc"))]
    if options.pattern:
        return [first]
    second = [("clang-format", formatting),
              ("build, clang", lambda run: build(run, "clang", "clang", "-Doptimization=0"))]
    if not options.quick:
        first.append(("sanitizers, end to end", sanitized_end_to_end))
        second += [("sanitizers, unit tests", sanitized),
                   ("clang-tidy", tidy),
                   ("threads", threads),
                   ("arm64", lambda run: other_processor(run, "arm64")),
                   ("s390x, big-endian", lambda run: other_processor(run, "s390x"))]
    return [first, second]


def follow(run, lane, total, nice):
    """Run the suites of a lane; add what they find to @total, and tell it."""
    # On Linux this is the thread's own, and that of what it starts.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    for title, suite in lane:
        started = time.monotonic()
        try:
            results = suite(run)
        except ToldToEnd:
            break
        except Exception:       # a suite that breaks has failed; the others go on
            results = Results.one(title, traceback.format_exc())
        told = f"{title}: {results.passed} passed, {len(results.failed)} failed"
        told += f", {len(results.skipped)} skipped" if results.skipped else ""
        told += f"  ({time.monotonic() - started:.0f} s)"
        for failure in results.failed:
            told += "\n\n  FAILED " + failure.replace("\n", "\n    ") + "\n"
        for name in results.again:
            told += f"\n  tried again alone: {name}"
        for skip in results.skipped:
            told += f"\n  skipped {skip}"
        with run.telling:
            print(told, flush=True)
            _add(total, results)
        if "build" in title and results.failed:
            break
    run.sanitized_built.set()       # if this lane did not come so far, nobody need wait for it


def _add(sum_of, results):
    sum_of.passed += results.passed
    sum_of.failed += results.failed
    sum_of.skipped += results.skipped
    sum_of.again += results.again


def _tail(text, lines=25):
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _complaints(output):
    """What a compiler or linker complained of, out of the output of ninja."""
    lines = output.splitlines()
    errors = [number for number, line in enumerate(lines)
              if re.search(r"\b(error|undefined reference|multiple definition)\b", line)]
    return "\n".join("\n".join(lines[number:number + 4]) for number in errors[:8]) or _tail(output)


def main():
    parser = argparse.ArgumentParser(
        prog="tests/run", description="Builds minivpn and runs its tests.")
    parser.add_argument("--quick", action="store_true",
                        help="without clang-tidy, sanitizers and other processors")
    parser.add_argument("--long", action="store_true", help="with the long campaigns")
    parser.add_argument("pattern", nargs="?",
                        help="only tests whose name contains this, in one build")
    options = parser.parse_args()

    # A shell that starts us in the background has us ignore Ctrl-C, and what we start inherits that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    run = Run(options)
    total = Results()
    walkers = [threading.Thread(target=follow, args=(run, lane, total, 10 if number else 0))
               for number, lane in enumerate(lanes(options))]
    for walker in walkers:
        walker.start()
    try:
        for walker in walkers:
            walker.join()
    except KeyboardInterrupt:
        print("\ntold to end: what runs now is put away", flush=True)
        run.end()
        for walker in walkers:
            walker.join()
        return 130
    print(f"\n{total.passed} passed, {len(total.failed)} failed" +
          (f", {len(total.skipped)} skipped" if total.skipped else ""))
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())

"""All tests, each part even if one before it failed, and one line that counts them: `make test`.

What cannot run here is skipped with its reason, and counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "tests"

CHECKED = ROOT / "build" / "firmware" / "check" / "vectors_8_0"
"""A variant of the C decoder that `make -C firmware_decoder check` builds with sanitizers."""

NO_TESTS = 5
"""Exit code of pytest if it selected none."""

Outcome = Counter[str]
"""How many ``passed``, ``failed`` and ``skipped``."""


def python_tests(marker: str) -> Outcome:
    """Those of pytest with a marker, the firmware images among them."""
    report = BUILD / "pytest.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", os.environ.get("JOBS", "2"), "-m", marker]
    # The vectors' test takes the program with sanitizers and so compares with the manifest what `check` compared
    # among variants.
    environment = os.environ | ({"NCD_VECTORS": str(CHECKED)} if CHECKED.exists() else {})
    code = subprocess.run([*command, "--junit-xml", str(report)], cwd=ROOT, env=environment, check=False).returncode
    if code == NO_TESTS:
        return Counter()
    outcome: Outcome = Counter()
    if report.exists():
        for case in ET.parse(report).iter("testcase"):
            kinds = {child.tag for child in case}
            outcome["failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"] += 1
    if code != 0 and not outcome["failed"]:
        outcome["failed"] += 1  # it broke off
    return outcome


def decoder(target: str) -> Outcome:
    """A target of firmware_decoder/Makefile, of whose output only the end is shown, more of it after a failure."""
    # Options of the make around this one, as its job server, are not meant for it.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    command = ["make", "-s", f"-j{os.environ.get('JOBS', '2')}", "--no-print-directory"]
    command += ["-C", str(ROOT / "firmware_decoder"), target]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", check=False
    )
    print(*done.stdout.splitlines()[-100 if done.returncode else -1 :], sep="\n")
    return Counter(["failed" if done.returncode else "passed"])


def sanitizers() -> Outcome:
    """The golden vectors through the C decoder in each of its variants, under ASan and UBSan."""
    return decoder("check")


def fuzzing() -> Outcome:
    """Damaged streams, from libFuzzer, through the C decoder under ASan and UBSan."""
    source, program = BUILD / "probe.c", BUILD / "probe"
    source.write_text("int LLVMFuzzerTestOneInput(void) { return 0; }\n", encoding="utf-8")
    clang = shutil.which(os.environ.get("CLANG", "clang"))
    command = [str(clang), "-fsanitize=fuzzer,address,undefined", str(source), "-o", str(program)]
    if clang is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        print("skipped: no clang with libFuzzer here; on Debian: sudo apt-get install clang libclang-rt-dev")
        return Counter(["skipped"])
    return decoder("fuzz")


def main() -> int:
    """Runs the parts; the exit code is 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", action="store_true", help="only the tests marked slow")
    slow = parser.parse_args().slow
    parts: dict[str, Callable[[], Outcome]] = {
        "C decoder under ASan and UBSan, golden vectors": sanitizers,
        "Python tests and firmware images in QEMU": lambda: python_tests("not slow"),
        "fuzzing the C decoder": fuzzing,
    }
    if slow:
        parts = {"slow tests": lambda: python_tests("slow")}
    BUILD.mkdir(parents=True, exist_ok=True)
    lines = []
    total: Outcome = Counter()
    for title, run in parts.items():
        print(f"\n=== {title}", flush=True)
        start = time.monotonic()
        outcome = run()
        total += outcome
        lines.append(f"  {title:<50} {counts(outcome):<40} {time.monotonic() - start:4.0f} s")
    print("\n=== summary", *lines, sep="\n")
    if not slow:
        print("  left out: the slow tests, `make test-slow`")
    print(counts(total))
    return 1 if total["failed"] or not (total or slow) else 0


def counts(outcome: Outcome) -> str:
    """In the words of pytest."""
    return ", ".join(f"{outcome[kind]} {kind}" for kind in ("passed", "failed", "skipped"))


if __name__ == "__main__":
    sys.exit(main())

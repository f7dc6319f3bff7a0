"""The sizes that the decoder's README states are those that this compiler gives."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "bench"))

import sizes  # noqa: E402 (needs the line above)

from bench.report.markdown import markdown  # noqa: E402


def test_page_has_what_is_measured():
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    version = subprocess.run(["arm-none-eabi-gcc", "-dumpversion"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("12.2"):
        pytest.skip(f"the page has figures of gcc 12.2, and this is {version.strip()}")
    page = (sizes.DECODER / "README.md").read_text(encoding="utf-8")
    tables = sizes.measured()
    assert len(tables) == 3
    for table in tables:
        assert markdown(table, heading="###") in page, "run `python bench/sizes.py --page`"

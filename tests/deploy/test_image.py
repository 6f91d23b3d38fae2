"""The Dockerfile names what is there: settings, locks, folders."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "deploy/Dockerfile").read_text()
FINAL = TEXT.rpartition("\nFROM ")[2]


def test_settings_are_known(variables: frozenset[str]) -> None:
    assert set(re.findall(r"\b(HIVE_[A-Z_]+)=", TEXT)) <= variables


def test_it_does_not_run_as_root() -> None:
    (user,) = re.findall(r"^USER (\d+):0$", FINAL, re.MULTILINE)
    assert int(user) > 0
    assert f"install -d -o {user} -g 0 -m 0770 /data /blobs" in FINAL


def test_what_is_copied_is_in_the_build_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(\S+) ", TEXT, re.MULTILINE):
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source


def test_the_installer_comes_from_the_lock_with_its_hashes() -> None:
    (expression,) = re.findall(r"sed -n '(.+?)' requirements/dev\.lock", TEXT)
    command = ["sed", "-n", expression, str(ROOT / "requirements/dev.lock")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert re.match(r"uv==[\d.]+ \\$", lines[0])
    assert len(lines) > 1
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])
    assert [line.endswith("\\") for line in lines] == [True] * (len(lines) - 1) + [False]

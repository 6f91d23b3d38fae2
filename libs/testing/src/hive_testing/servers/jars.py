"""Jars of a server, copied once into the user's cache folder by Maven."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from hive_testing.servers.commands import command
from hive_testing.servers.errors import ServerUnavailable

POMS = Path(__file__).resolve().parent / "poms"
COPY = "dependency:copy-dependencies"
FETCH_SECONDS = 600


def java() -> str:
    """The command; raises ServerUnavailable."""
    return command("java", "default-jre-headless")


def jars_of(name: str) -> Path:
    """The folder with what `poms/<name>.xml` needs; fetched where it is not there yet. Raises ServerUnavailable."""
    pom = POMS / f"{name}.xml"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    folder = cache_folder() / f"{name}-{digest}"
    if not folder.exists():
        _fetch(pom, folder)
    return folder


def cache_folder() -> Path:
    """The user's, for what is prepared once on a machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelhive"


def _fetch(pom: Path, folder: Path) -> None:
    maven = command("mvn", "maven")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as part:
        copied = Path(part) / "jars"
        result = subprocess.run(
            [
                maven,
                "-q",
                "-B",
                "-f",
                str(pom),
                COPY,
                "-DincludeScope=runtime",
                f"-DoutputDirectory={copied}",
            ],
            cwd=part,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
        if result.returncode:
            raise ServerUnavailable(
                f"Maven could not fetch {pom.name}: {result.stdout[-2000:]}{result.stderr[-500:]}"
            )
        try:
            copied.rename(folder)
        except OSError:
            if not folder.exists():  # another test run was not quicker
                raise

"""A service needs what its own package says and nothing else: it is installed, imported, started, stopped.

`make isolated`. Each environment is made by the steps of `deploy/Dockerfile`, from the service's own lock.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import sleep
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent.parent
UV = ROOT / ".venv/bin/uv"
IMAGES = sorted(
    lock.stem for lock in (ROOT / "requirements").glob("*.lock") if lock.stem not in {"run", "dev"}
)
MIB = 1024 * 1024
POLL_SECONDS = 0.1
MOST_POLLS = 300

IMPORT_ALL = """
import importlib, json, pkgutil, sys
for name, absent in json.loads(sys.argv[1]).items():
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + ".", lambda _: None):
        if not set(module.name.split(".")) & {*absent, "env", "worker", "versions"}:
            importlib.import_module(module.name)
"""
"""Alembic starts `env` and `versions`, and a process its `worker`; an extra's files are for those who have it."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a container image of a service holds; `name` is that of its lock, such as `routing-local`."""

    name: str
    folder: Path

    @property
    def service(self) -> str:
        return self.name.partition("-")[0]

    @property
    def extras(self) -> list[str]:
        return ["cluster", *self.name.split("-")[1:]]

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def site(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    @property
    def command(self) -> list[str]:
        if self.service == "embedded":
            return [str(self.folder / "bin/modelhive")]
        return [str(self.python), "-m", f"hive_{self.service}"]

    def run(self, *command: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run it in a folder where no code is."""
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=seconds, check=False
        )


def uv(*arguments: str) -> None:
    done = subprocess.run(
        [str(UV), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"uv {' '.join(arguments)}: {done.stderr}"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of all members: what an editable installation finds by luck has to be inside."""
    folder = tmp_path_factory.mktemp("wheels")
    uv("build", "-q", "--all-packages", "--wheel", "-o", str(folder))
    return folder


@pytest.fixture(scope="session", params=IMAGES)
def image(request: pytest.FixtureRequest, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The members come last and without an index: what they need has to be in the lock."""
    found = Image(request.param, tmp_path_factory.mktemp(request.param) / "venv")
    uv("venv", "-q", "--python", str(ROOT / ".venv/bin/python"), str(found.folder))
    into = ["pip", "install", "-q", "--python", str(found.python)]
    lock = ROOT / "requirements" / f"{found.name}.lock"
    uv(*into, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(lock))
    wanted = f"hive-{found.service}[{','.join(found.extras)}]"
    uv(*into, "--no-index", "--find-links", str(wheels), wanted)
    return found


def needed(name: str, extras: Iterable[str], found: dict[str, set[str]] | None = None) -> dict[str, set[str]]:
    """The members that this one brings, itself included, each with the extras that somebody asks for."""
    found = {} if found is None else found
    known = found.setdefault(name, set())
    if not set(extras) - known and known:
        return found
    known |= {"", *extras}
    for requirement in MEMBERS[name].requirements(extras):
        if requirement.name in MEMBERS:
            needed(requirement.name, requirement.extras, found)
    return found


class Member:
    """What one `pyproject.toml` of the workspace says."""

    def __init__(self, path: Path) -> None:
        project = tomllib.loads(path.read_text())["project"]
        self.name: str = project["name"]
        self.dependencies: list[str] = project["dependencies"]
        self.extras: dict[str, list[str]] = project.get("optional-dependencies", {})

    def requirements(self, extras: Iterable[str]) -> list[Requirement]:
        lines = [*self.dependencies, *(line for extra in extras if extra for line in self.extras[extra])]
        return [Requirement(line) for line in lines]


MEMBERS = {
    member.name: member
    for member in map(Member, [*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")])
}


def test_what_is_in_the_image_can_be_imported(image: Image) -> None:
    brought = needed(f"hive-{image.service}", image.extras)
    present = {path.name for path in image.site.glob("hive_*") if "." not in path.name}
    assert present | {"hive_contracts"} == {name.replace("-", "_") for name in brought}
    absent = {
        name.replace("-", "_"): sorted(MEMBERS[name].extras.keys() - extras)
        for name, extras in brought.items()
        if name != "hive-contracts"
    }
    done = image.run(str(image.python), "-c", IMPORT_ALL, json.dumps(absent))
    assert done.returncode == 0, done.stderr
    size = sum(path.stat().st_size for path in image.site.rglob("*") if path.is_file()) // MIB
    print(f"\n{image.name}: {size} MiB of packages")


def test_the_command_says_what_it_can_do(image: Image) -> None:
    done = image.run(*image.command, "--help")
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


def test_it_starts_and_ends(image: Image, tmp_path: Path) -> None:
    """With adapters that need no server: what is shown is that nothing is missing, not what it can do."""
    public, internal = free_ports(2)
    settings = {
        "HIVE_DATA_DIR": str(tmp_path / "data"),
        "HIVE_PORT": str(public),
        "HIVE_INTERNAL_PORT": str(internal),
        "HIVE_DISCOVER": "0",
        "HIVE_LOCAL_MODELS": "0",
    }
    if image.name == "analytics":  # it has no store of its own; a server may come later
        settings["HIVE_OLAP_URL"] = f"http://127.0.0.1:{free_ports(1)[0]}"
    with running(image, settings, tmp_path) as process:
        for tries in count():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert tries < MOST_POLLS, (tmp_path / "log").read_text()
            if status(internal, "/readyz") == 200:
                break
            sleep(POLL_SECONDS)
        assert status(internal, "/healthz") == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, (tmp_path / "log").read_text()


@contextmanager
def running(image: Image, settings: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*image.command, *(["serve"] if image.service == "embedded" else [])]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **settings}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def status(port: int, path: str) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except (URLError, ConnectionError):
        return 0


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports

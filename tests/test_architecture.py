"""Promises that hold for all of the code: nothing starts at import, modes are not asked for, numbers agree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from hive_console import catalogue
from hive_routing.providers.local import limits

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = sorted(
    path
    for path in [*ROOT.glob("libs/*/src/hive_*"), *ROOT.glob("services/*/src/hive_*")]
    if path.name != "hive_testing"
)
SERVICES = sorted(path for path in ROOT.glob("services/*/src/hive_*") if path.name != "hive_embedded")
RESERVED = {
    "__init__", "__main__", "service", "settings", "http", "wire", "rpc", "consumers", "store", "migrations",
}  # fmt: skip
DOORS = {
    "hive_edge.answer", "hive_edge.body", "hive_edge.gateway",
    "hive_routing.providers", "hive_routing.rest",
    "hive_console.changes", "hive_console.ollama", "hive_console.records",
}  # fmt: skip
"""Modules that translate too, under names of their own."""

IMPORT_ALL = """
import importlib, os, pkgutil, sys, threading
threads, files = threading.active_count(), set(os.listdir("/proc/self/fd"))
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith((".__main__", ".env", ".worker")) and "conformance" not in module.name \\
                and ".versions." not in module.name:
            importlib.import_module(module.name)
assert threading.active_count() == threads, threading.enumerate()
here = "/proc/self/fd/"
left = {os.readlink(here + fd) for fd in set(os.listdir(here)) - files if os.path.exists(here + fd)}
assert not left, left
"""


def test_importing_starts_nothing(tmp_path: Path) -> None:
    names = [path.name for path in PACKAGES]
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *names], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.iterdir()) == []


def test_services_do_not_ask_how_they_are_deployed() -> None:
    words = re.compile(r"\b(embedded|cluster|kafka)\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for service in SERVICES
        for path in service.rglob("*.py")
        if "local" not in path.parts  # there, texts are embedded
        for line in path.read_text().splitlines()
        if words.search(line)
    ]
    assert found == []


def test_the_contract_for_the_domain_names_every_module_that_is_no_door() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each["name"].startswith("A service's domain"))
    modules = {
        f"{service.name}.{path.stem}"
        for service in SERVICES
        for path in service.iterdir()
        if path.stem not in RESERVED | {"__pycache__", "py"} and (path.is_dir() or path.suffix == ".py")
    }
    assert modules >= DOORS
    assert modules - DOORS == set(contract["source_modules"])


def test_the_catalogue_knows_the_local_models_as_they_are() -> None:
    windows = {model.name: model.context_window for model in catalogue.LOCAL_MODELS}
    assert windows == {
        limits.CHAT_MODEL: limits.CONTEXT_TOKENS,
        limits.EMBEDDING_MODEL: limits.EMBEDDING_TOKENS,
    }

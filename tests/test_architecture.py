"""Promises that hold for all of the code: nothing starts at import, modes are not asked for, numbers agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
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
    "hive_edge.answer", "hive_edge.body", "hive_edge.gateway", "hive_edge.request_log", "hive_edge.sockets",
    "hive_edge.valkey",
    "hive_routing.bank", "hive_routing.cache_door", "hive_routing.guard_calls", "hive_routing.idempotency",
    "hive_routing.stored",
    "hive_routing.providers", "hive_routing.realtime_door", "hive_routing.realtime_rest",
    "hive_routing.recovery", "hive_routing.rest",
    "hive_routing.telling", "hive_routing.usage_events",
    "hive_console.books", "hive_console.changes", "hive_console.ollama", "hive_console.records", "hive_console.rows",
    "hive_console.tables",
    "hive_billing.catalogue", "hive_billing.holder_calls", "hive_billing.loading", "hive_billing.messages",
    "hive_billing.office", "hive_billing.ownership", "hive_billing.price_feed", "hive_billing.work",
    "hive_billing.payments", "hive_billing.price_list", "hive_billing.price_store", "hive_billing.rooms",
    "hive_billing.rows", "hive_billing.tables", "hive_billing.writer", "hive_billing.writing",
    "hive_analytics.books", "hive_analytics.olap", "hive_guardrails.telling",
}  # fmt: skip
"""Modules that translate too, under names of their own."""

IMPORT_ALL = """
import importlib, os, pkgutil, sys, threading
threads, files = threading.active_count(), set(os.listdir("/proc/self/fd"))
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith((".__main__", ".env", ".worker")) and "conformance" not in module.name \\
                and ".versions." not in module.name and ".longtail." not in module.name:
            importlib.import_module(module.name)
assert threading.active_count() == threads, threading.enumerate()
here = "/proc/self/fd/"
left = {os.readlink(here + fd) for fd in set(os.listdir(here)) - files if os.path.exists(here + fd)}
assert not left, left
"""
"""What `longtail` wants is installed in an environment of its own only."""


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


MONEY = {
    "hive_runtime": {"money"},
    "hive_billing": None,
    "hive_routing": {
        "attempts",
        "bank",
        "bounds",
        "holds",
        "likely",
        "prices",
        "recovery",
        "spending",
        "usage",
    },
    "hive_console": {"budgets", "caps", "money", "wallets"},
}
"""Modules where amounts are; None: all of the package."""
MOMENT = re.compile(
    r"(seconds|until|monotonic|asked|began|next|now|clock|grantable|booked|deadline|timeout|at|pause|age|patience|rests|left|renew)$",
    re.IGNORECASE,
)
"""Names of times, which may be fractions."""


def test_money_is_never_a_float() -> None:
    """No float type, no literal with a fraction and no true division where amounts are, but for times."""
    looked_at, found = 0, []
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            names = MONEY.get(package.name, set())
            if "versions" in path.parts or (
                names is not None and not set(path.with_suffix("").parts) & names
            ):
                continue
            looked_at += 1
            found += [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in fractions(path)]
    assert looked_at > 20
    assert found == [], "\n".join(found)


def fractions(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text())
    of_times = {id(inner) for node in ast.walk(tree) for named in times(node) for inner in ast.walk(named)}
    for node in ast.walk(tree):
        if id(node) in of_times:
            continue
        match node:
            case ast.Name(id="float", lineno=line):
                yield line, "float"
            case ast.Constant(value=float(), lineno=line):
                yield line, "a literal with a fraction"
            case ast.BinOp(op=ast.Div(), left=left, lineno=line) if not is_path(left):
                yield line, "true division"


def times(node: ast.AST) -> Iterator[ast.AST]:
    """The node, where it is a declaration, an assignment or a parameter that is named like a time; of a function
    that is, what it returns."""
    match node:
        case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name)):
            found: ast.AST | None = node
        case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)]):
            found = node
        case ast.arg(arg=name) | ast.keyword(arg=str(name)):
            found = node
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            found = node.returns
        case _:
            return
    if found is not None and MOMENT.search(name):
        yield found


def is_path(node: ast.AST) -> bool:
    """`folder / "name"` is no division."""
    return any(isinstance(each, ast.Name) and each.id in ("Path", "folder") for each in ast.walk(node))

"""Members declare exactly what they import, and the locks hold exactly what that needs."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETTINGS = PROJECT["tool"]["uv"]
NOT_IMPORTED = {
    "aiosqlite",  # named in a database's URL
    "asyncpg",  # the same
    "chdb-core-lite",  # the same
    "pytest-asyncio",  # a plugin: pytest finds it
}
ELSEWHERE = {"any_llm": "any-llm-sdk"}
"""What is installed in an environment of its own only: modules, and the distributions that they are of."""


class Member:
    """One member of the workspace. The files of an extra bear its name, or are in a folder that does."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "src"
        project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        self.name: str = project["name"]
        self.dependencies = parsed(project["dependencies"])
        self.extras = {
            extra: parsed(lines) for extra, lines in project.get("optional-dependencies", {}).items()
        }

    def package(self) -> str:
        (package,) = (path.name for path in self.source.iterdir() if path.name.isidentifier())
        return package

    def requirements(self, extras: Iterable[str]) -> list[Requirement]:
        return [*self.dependencies, *(each for extra in extras for each in self.extras[extra])]

    def imports(self, extra: str | None) -> set[str]:
        """Distributions that the files of this extra import, or those of none."""
        modules = {
            module
            for path in self.source.rglob("*.py")
            if self._extra_of(path) == extra
            for module in imported(ast.parse(path.read_text()))
            if module.partition(".")[0] not in sys.stdlib_module_names
        }
        return {owner(module) for module in modules} - {self.name}

    def _extra_of(self, path: Path) -> str | None:
        parts = path.relative_to(self.source).with_suffix("").parts
        return next((extra for extra in self.extras if extra in parts), None)


def parsed(lines: Iterable[str]) -> list[Requirement]:
    return [Requirement(line) for line in lines]


def names(requirements: Iterable[Requirement]) -> set[str]:
    return {canonicalize_name(each.name) for each in requirements}


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules that are named in imports, wherever they stand, or that are asked for by a literal name.

    What is imported from a module follows it with a dot: it may be a module itself.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(module=str(module), names=aliases):
                yield from (f"{module}.{alias.name}" for alias in aliases)
            case ast.Call(
                func=ast.Name(id="import_module" | "find_spec"), args=[ast.Constant(value=str(module))]
            ):
                yield module


MEMBERS = {each.name: each for each in map(Member, map(ROOT.joinpath, SETTINGS["workspace"]["members"]))}


PACKAGES = {member.package(): member.name for member in MEMBERS.values()}


@cache
def distributions() -> dict[str, list[str]]:
    """Whose each top-level module is; one that is several's is a name space."""
    owners = metadata.packages_distributions().items()
    return {top: sorted({canonicalize_name(name) for name in names}) for top, names in owners}


@cache
def files(distribution: str) -> frozenset[str]:
    """Paths of its modules and of their folders, without suffix."""
    paths = [Path(str(path)) for path in metadata.files(distribution) or () if path.suffix in {".py", ".so"}]
    return frozenset(str(each) for path in paths for each in (path.with_suffix(""), *path.parents))


@cache
def owner(module: str) -> str:
    """The distribution that a module, or a name in one, comes from."""
    parts = module.split(".")
    if parts[0] in PACKAGES:
        return PACKAGES[parts[0]]
    if parts[0] in ELSEWHERE:
        return ELSEWHERE[parts[0]]
    owners = distributions().get(parts[0], parts[:1])
    for depth in range(len(parts), 0, -1):
        if having := [name for name in owners if len(owners) == 1 or "/".join(parts[:depth]) in files(name)]:
            return having[0]
    return owners[0]


def differences(place: str, needed: set[str], declared: set[str]) -> list[str]:
    missing = [f"{place} lacks {name}, which is imported" for name in sorted(needed - declared)]
    superfluous = declared - needed - NOT_IMPORTED
    return missing + [f"{place} has {name}, which nothing imports" for name in sorted(superfluous)]


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
def test_a_member_declares_what_it_imports_and_nothing_else(member: Member) -> None:
    own, place = member.imports(None), f"the pyproject.toml of {member.name}"
    found = differences(f"{place}: dependencies", own, names(member.dependencies))
    for extra, requirements in member.extras.items():
        if names(requirements) <= MEMBERS.keys():
            continue  # it asks for extras of others, which have files of their own
        needed = member.imports(extra) - own
        found += differences(f"{place}: extra {extra}", needed, names(requirements))
    assert not found, "\n".join(found)


def requirements_of(name: str, extras: Iterable[str]) -> list[Requirement]:
    if member := MEMBERS.get(name):
        return member.requirements(extras)
    for override in SETTINGS["dependency-metadata"]:
        if override["name"] == name:
            return parsed(override["requires-dist"])
    return parsed(metadata.requires(name) or ())


def applies(requirement: Requirement, extras: Iterable[str] = ()) -> bool:
    """On this platform, with this Python, for one who asked for these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def reachable(requirements: Iterable[Requirement]) -> set[str]:
    """The distributions that these requirements bring to this machine; members are followed, not named."""
    seen: set[tuple[str, frozenset[str]]] = set()
    ahead = [each for each in requirements if applies(each)]
    while ahead:
        requirement = ahead.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) not in seen:
            seen.add((name, extras))
            ahead += [each for each in requirements_of(name, extras) if applies(each, extras)]
    return {name for name, _ in seen} - MEMBERS.keys()


def pinned(lock: str) -> list[Requirement]:
    lines = (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines()
    return parsed(line.rstrip(" \\") for line in lines if line[:1].isalnum())


def pins(lock: str) -> set[str]:
    return {f"{canonicalize_name(each.name)}{each.specifier}" for each in pinned(lock)}


def locked(lock: str) -> set[str]:
    return names(each for each in pinned(lock) if applies(each))


GROUPS = {"run": ["build"], "dev": ["build", "dev"]}
IMAGES = sorted(path.stem for path in (ROOT / "requirements").glob("*.lock") if path.stem not in GROUPS)


def asked_of(lock: str) -> list[str]:
    """What this lock is for: groups of the project, or a service with its extras, after which it is named."""
    if lock in GROUPS:
        groups = PROJECT["dependency-groups"]
        return [
            *PROJECT["project"]["dependencies"],
            *(each for group in GROUPS[lock] for each in groups[group]),
        ]
    service, *extras = lock.split("-")
    return [f"hive-{service}[{','.join(['cluster', *extras])}]"]


def test_every_service_has_a_lock_of_its_own() -> None:
    services = {
        folder.name for folder in (ROOT / "services").iterdir() if (folder / "pyproject.toml").exists()
    }
    assert services == {image.partition("-")[0] for image in IMAGES}


@pytest.mark.parametrize("lock", [*GROUPS, *IMAGES])
def test_a_lock_holds_what_is_needed_and_nothing_else(lock: str) -> None:
    needed, held = reachable(parsed(asked_of(lock))), locked(lock)
    assert not needed - held, f"`make lock`: {lock}.lock lacks {sorted(needed - held)}"
    assert not held - needed, f"`make lock`: nobody needs {sorted(held - needed)} in {lock}.lock"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_the_versions_that_the_tests_run_with(image: str) -> None:
    assert pins(image) <= pins("dev")


HEAVY = {
    "chdb-core-lite": {"embedded"},
    "pyarrow": {"embedded"},
    "pandas": set(),
    "numpy": {"embedded", "guardrails", "routing-local"},
    "onnxruntime": {"embedded", "routing-local"},
    "xllamacpp": {"embedded", "routing-local"},
    "fastapi": {"console", "embedded", "routing", "routing-local"},
    "sqlalchemy": {"billing", "console", "embedded", "routing", "routing-local"},
    "clickhouse-connect": {"analytics", "embedded"},
    "rich": {"embedded"},
}
"""What makes an image large or its door wide, and which images may have it."""


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_no_larger_than_its_service(image: str) -> None:
    assert {name for name, images in HEAVY.items() if image not in images} & locked(image) == set()

"""Lint the protos and generate `libs/contracts` from them; `--check` only says whether that is up to date.

Usage: python scripts/protos.py [--check | --release]

`--release` stores the image (`protos/released.binpb`) against which later changes must stay compatible.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
CONTRACTS = ROOT / "libs" / "contracts" / "src"
RELEASED = PROTOS / "released.binpb"


def main(arguments: list[str]) -> int:
    buf("format", "--diff", "--exit-code") if "--check" in arguments else buf("format", "--write")
    buf("lint")
    if "--release" in arguments:
        buf("build", "-o", RELEASED.name)
    elif RELEASED.exists():
        buf("breaking", "--against", RELEASED.name)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        generate(made)
        if "--check" in arguments:
            return report_stale(made)
        shutil.rmtree(CONTRACTS / "modelhive", ignore_errors=True)
        shutil.copytree(made / "modelhive", CONTRACTS / "modelhive")
    return 0


def buf(*arguments: str) -> None:
    program = Path(sys.executable).parent / "buf"
    subprocess.run([program, *arguments], cwd=PROTOS, check=True)


def generate(target: Path) -> None:
    """Messages, stubs and their types, in a tree of packages below `target`."""
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    kinds = ("python", "grpc_python", "mypy", "mypy_grpc")
    outputs = [f"--{kind}_out={target}" for kind in kinds]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *files]
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    result = subprocess.run(command, cwd=PROTOS, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(result.stderr)
    for folder in {path.parent for path in target.rglob("*.py")}:
        (folder / "__init__.py").touch()
    for folder in (target / "modelhive").iterdir():
        (folder / "__init__.py").touch()
    (target / "modelhive" / "py.typed").touch()


def report_stale(made: Path) -> int:
    """Name every generated file that differs from the committed one."""
    fresh = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    kept = {
        path.relative_to(CONTRACTS)
        for path in CONTRACTS.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    stale = sorted(fresh ^ kept) + sorted(
        path for path in fresh & kept if not filecmp.cmp(made / path, CONTRACTS / path, shallow=False)
    )
    for path in stale:
        print(f"stale: {path} (run `make protos`)")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

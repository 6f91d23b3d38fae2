"""What the deployment files may name: the settings that there are."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from hive_runtime.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def variables() -> frozenset[str]:
    """Every HIVE_… variable that some part of ModelHive reads."""
    for path in [
        *ROOT.glob("libs/*/src/hive_*/settings.py"),
        *ROOT.glob("services/*/src/hive_*/settings.py"),
    ]:
        import_module(f"{path.parent.name}.settings")
    found, ahead = {"HIVE_SECRETS_DIR"}, [Settings]
    while ahead:
        settings = ahead.pop()
        ahead += settings.__subclasses__()
        found |= {f"HIVE_{name.upper()}" for name in settings.model_fields}
    return frozenset(found)

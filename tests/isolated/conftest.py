"""Nothing here is collected without `--install`: it takes packages from the index, or from uv's cache."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--install", action="store_true", help="install every service alone, and try it")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return None if config.getoption("--install", default=False) else True

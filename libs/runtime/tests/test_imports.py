"""Libraries that are hidden from others while those are imported."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from hive_runtime.imports import without


def test_what_is_hidden_counts_as_not_installed() -> None:
    sys.modules.pop("this", None)
    with without("this"), pytest.raises(ImportError):
        importlib.import_module("this.is")
    assert "this" not in sys.modules


def test_it_can_be_imported_afterwards_also_where_something_failed() -> None:
    with pytest.raises(ImportError), without("wave"):
        importlib.import_module("wave")
    assert importlib.import_module("wave").open


def test_what_is_imported_already_stays() -> None:
    with without("subprocess"):
        assert importlib.import_module("subprocess") is subprocess

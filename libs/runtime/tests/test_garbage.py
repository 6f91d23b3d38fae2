"""Imports are left alone by the garbage collection, and nothing else is."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from hive_runtime.garbage import uncollected


class Ring:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_nothing_is_looked_for_meanwhile() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_made_meanwhile_is_left_alone_and_what_comes_later_is_not() -> None:
    with uncollected():
        early = weakref.ref(Ring())
    late = weakref.ref(Ring())
    gc.collect()
    assert early() is not None
    assert late() is None


def test_an_import_that_fails_leaves_it_on() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()

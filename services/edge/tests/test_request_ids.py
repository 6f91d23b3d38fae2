"""Ids of requests: nobody can guess one, and later ones sort behind earlier ones."""

from __future__ import annotations

import re

from hive_edge.request_ids import new_request_id

NOW = 1_795_564_800.0


def test_ids_sort_by_their_time() -> None:
    moments = [NOW, NOW + 0.001, NOW + 60, NOW + 100 * 365 * 86_400]
    ids = [new_request_id(moment) for moment in moments]
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ() -> None:
    ids = {new_request_id(NOW) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"req_[0-9a-f]{32}", each) for each in ids)

"""A minute of mixed traffic while processes and servers are killed, stopped and cut off; then the books are proved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hive_testing.chaos.callers import catalogue
from hive_testing.chaos.run import SETTINGS, disturb
from hive_testing.cluster import Cluster
from hive_testing.gateway import PRICE, Launch
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.cluster

SEED = 5
SECONDS, EVERY = 60, 8
KEEP = 100_000


@pytest.fixture
def provider() -> Iterator[SimulatorThread]:
    with SimulatorThread(keep=KEEP) as running:
        yield running


# The official client leaves the end of its own generators to the garbage collector where a stream is left.
@pytest.mark.filterwarnings("ignore:.*BoundAsyncStream:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(600)
def test_a_minute_of_faults(launch: Launch, provider: SimulatorThread, tmp_path: Path) -> None:
    cluster = launch("chaos", catalogue(provider.url, PRICE), **SETTINGS)
    assert isinstance(cluster, Cluster)
    report = disturb(cluster, provider, SEED, SECONDS, EVERY)
    report.write(tmp_path / "report.json")
    print(f"\n{report.text}")
    assert not report.problems
    assert report.calls > 100 and report.billed > 50
    assert report.replayed > 0

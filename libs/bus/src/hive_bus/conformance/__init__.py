"""What every adapter of the bus port must pass, one suite per delivery.

An adapter's tests subclass each suite (`class TestMemoryRequests(RequestConformance)`) and give the fixture
`open_bus`, which opens a bus that reports to the function it gets; see `BusConformance` for what else an
adapter declares. Topics may outlive a test: each has a lane and groups of its own. A conftest names this
package in `pytest.register_assert_rewrite` for readable failures.
"""

from hive_bus.conformance.batches import BatchConformance
from hive_bus.conformance.events import EventConformance
from hive_bus.conformance.requests import RequestConformance
from hive_bus.conformance.state import StateConformance
from hive_bus.conformance.suite import BusConformance, OpenBus

__all__ = [
    "BatchConformance",
    "BusConformance",
    "EventConformance",
    "OpenBus",
    "RequestConformance",
    "StateConformance",
]

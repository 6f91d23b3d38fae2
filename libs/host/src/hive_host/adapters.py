"""Which adapter stands behind each port: decided here by URL schemes, and nowhere else.

An adapter of a network is imported where its scheme is asked for: a gateway in one process needs none of them.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from hive_bus import Bus
from hive_bus.memory import MemoryBus
from hive_rpc import Network
from hive_rpc.local import LocalNetwork
from hive_runtime.blobs import Blobs, ObjectBlobs
from hive_runtime.clock import Clock
from hive_runtime.settings import HostSettings
from hive_runtime.telemetry import report_lost_task


class CannotStart(Exception):
    """Settings or surroundings do not let the process start; the words are for its operator."""


def bus_of(settings: HostSettings, clock: Clock) -> Bus:
    one_of(settings.bus_url, "HIVE_BUS_URL", "memory")
    return MemoryBus(clock, report_lost_task)


def network_of(settings: HostSettings) -> Network:
    one_of(settings.rpc_url, "HIVE_RPC_URL", "local")
    return LocalNetwork(report_lost_task)


def blobs_of(settings: HostSettings, data_dir: Path, clock: Clock) -> Blobs:
    url = settings.blob_url or f"file://{data_dir}/blobs"
    one_of(url, "HIVE_BLOB_URL", "file")
    return ObjectBlobs.in_folder(Path(unquote(urlsplit(url).path)), clock)


async def make_topics(settings: HostSettings) -> list[str]:
    """Make the broker's topics what this release needs; says what was done. Raises CannotStart."""
    one_of(settings.bus_url, "HIVE_BUS_URL", "memory")
    return ["HIVE_BUS_URL=memory:// has no topics to make."]


def one_of(url: str, setting: str, *known: str) -> str:
    """The URL's scheme; raises CannotStart where nothing here speaks it."""
    scheme = urlsplit(url).scheme
    if scheme not in known:
        raise CannotStart(f"{setting}={url}: this release knows {', '.join(f'{name}://' for name in known)}.")
    return scheme

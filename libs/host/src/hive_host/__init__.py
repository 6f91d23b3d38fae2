"""The process: which adapter stands behind each port, the two listeners, start and drain."""

from hive_host.adapters import CannotStart
from hive_host.host import Host, Process
from hive_host.listener import CannotListen
from hive_host.mounts import Later

__all__ = ["CannotListen", "CannotStart", "Host", "Later", "Process"]

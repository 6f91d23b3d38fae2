"""The process: which adapter stands behind each port, the two listeners, start and drain."""

from hive_host.adapters import CannotStart
from hive_host.host import Host, Process
from hive_host.listener import CannotListen

__all__ = ["CannotListen", "CannotStart", "Host", "Process"]

"""The process: which adapter stands behind each port, the two listeners, start and drain."""

from hive_host.host import Host, Process

__all__ = ["Host", "Process"]

"""The analytical store: a port, and its adapters."""

from hive_analytics.olap.port import Arrived, Olap

__all__ = ["Arrived", "Olap"]

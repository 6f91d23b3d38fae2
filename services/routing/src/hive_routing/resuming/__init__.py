"""Streams that go on without their client for a while, and are given on where it asks again."""

from hive_routing.resuming.app import Resuming

__all__ = ["Resuming"]

"""A provider's realtime endpoint for tests."""

from hive_testing.simulator.realtime.script import Heard, Line, Turn
from hive_testing.simulator.realtime.server import RealtimeSimulator

__all__ = ["Heard", "Line", "RealtimeSimulator", "Turn"]

"""A provider for tests and benchmarks: speaks OpenAI's dialect, fails as it is told, keeps its own bill.

It answers "Echo: " and the last words of the request, four characters a token; the same request gets the
same answer. `Behaviour` lists what a test may ask of it; the model `sim/cut_after=3` behaves so by itself.
Other processes use GET /_sim/calls, GET /_sim/bill, POST /_sim/script and POST /_sim/reset:

    POST /_sim/script {"behaviour": {"status": 429, "fail_times": 2}, "model": "gpt-4o", "once": false}
"""

from hive_testing.simulator.behaviour import Behaviour, ScriptedTool
from hive_testing.simulator.bill import BillLine
from hive_testing.simulator.calls import Call
from hive_testing.simulator.simulator import Simulator
from hive_testing.simulator.thread import SimulatorThread

__all__ = ["Behaviour", "BillLine", "Call", "ScriptedTool", "Simulator", "SimulatorThread"]

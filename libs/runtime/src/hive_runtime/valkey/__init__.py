"""A Valkey or Redis server, which the processes of a cluster share: counters, and what may be forgotten.

`port.py` says what it is asked, `circuit.py` keeps callers from waiting for one that is away, `client.py` is the
network client, over `connection.py` and `resp.py`.
"""

from hive_runtime.valkey.port import Argument, Reply, Script, Valkey

__all__ = ["Argument", "Reply", "Script", "Valkey"]

"""Calls between processes: the generated stubs and servicers over gRPC."""

from hive_rpc.remote.hooks import Hooks
from hive_rpc.remote.network import RemoteNetwork
from hive_rpc.remote.options import Keepalive
from hive_rpc.remote.tls import Tls

__all__ = ["Hooks", "Keepalive", "RemoteNetwork", "Tls"]

"""The rpc port and its adapters: generated gRPC stubs and servicers over a local or remote channel."""

from hive_rpc.beside import beside
from hive_rpc.errors import error_of, failure_of
from hive_rpc.port import Channel, Network, Server
from hive_rpc.prompt import is_near, prompt

__all__ = ["Channel", "Network", "Server", "beside", "error_of", "failure_of", "is_near", "prompt"]

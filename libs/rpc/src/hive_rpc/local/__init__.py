"""Calls inside one process: the generated stubs and servicers, unchanged, without a byte serialized."""

from hive_rpc.local.network import LocalNetwork

__all__ = ["LocalNetwork"]

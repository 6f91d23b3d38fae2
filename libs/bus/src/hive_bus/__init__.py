"""The bus port and its adapters: REQUEST, EVENT and STATE delivery of protobuf messages."""

from hive_bus.port import Batch, Bus, DeadLetterLimit, Options, Retry, StateChange, Subscription

__all__ = ["Batch", "Bus", "DeadLetterLimit", "Options", "Retry", "StateChange", "Subscription"]

"""One HTTP request as an envelope, to the service that owns it and back as reply frames."""

from hive_relay.call import Call
from hive_relay.caller import Caller
from hive_relay.exchange import Exchange, exchange_of
from hive_relay.request import Request
from hive_relay.responder import Responder

__all__ = ["Call", "Caller", "Exchange", "Request", "Responder", "exchange_of"]

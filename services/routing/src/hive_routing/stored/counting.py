"""How many tokens a response's input has, with all that was said before."""

from __future__ import annotations

from hive_routing.catalogue import Catalogue
from hive_routing.dialects.registry import BY_NAME
from hive_routing.request import model_name, parse_object
from hive_routing.stored.context import Contexts
from hive_routing.stored.responses import ResponsesWire
from hive_routing.token_counter import count_prompt
from hive_routing.tokens import TokenCounter
from hive_routing.visit import Caller


class Counting:
    def __init__(self, catalogue: Catalogue, counter: TokenCounter, contexts: Contexts) -> None:
        self._catalogue = catalogue
        self._counter = counter
        self._contexts = contexts
        self._wire = ResponsesWire()

    async def count(self, body: bytes, caller: Caller) -> int:
        """Raises HiveError `invalid`, `not_found`."""
        fields = parse_object(body)
        model = model_name(fields)
        asked = self._wire.read(fields)
        whole = await self._contexts.body(self._wire, asked, caller.payer.tenant_id)
        dialect = BY_NAME[self._wire.name]
        return await count_prompt(dialect, whole, model, self._catalogue, self._counter, caller.allowed)

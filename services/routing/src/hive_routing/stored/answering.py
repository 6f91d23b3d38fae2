"""A request to an API that keeps its answers: what was said before is put in, and what is answered is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec
from msgspec import Raw

from hive_routing.answers import Send
from hive_routing.catalogue import Catalogue
from hive_routing.endpoints import invalid
from hive_routing.once import Once
from hive_routing.pipeline import Pipeline
from hive_routing.request import Request, parse_object
from hive_routing.stored.background import Background
from hive_routing.stored.context import Contexts
from hive_routing.stored.keeping import Keeper
from hive_routing.stored.kept import Asked, Members, State
from hive_routing.stored.port import Truth, Wire
from hive_routing.stored.rewriting import Recording, Rewriting
from hive_routing.visit import Caller
from hive_runtime.clock import Clock

_FALSE = Raw(b"false")
_encode = msgspec.json.encode


class Answering:
    """Raises what the pipeline does, and HiveError `not_found` for what cannot be gone on from."""

    def __init__(
        self,
        pipeline: Pipeline,
        once: Once,
        catalogue: Catalogue,
        contexts: Contexts,
        keeper: Keeper,
        background: Background,
        clock: Clock,
    ) -> None:
        self._pipeline = pipeline
        self._once = once
        self._catalogue = catalogue
        self._contexts = contexts
        self._keeper = keeper
        self._background = background
        self._clock = clock

    async def answer(self, wire: Wire, body: bytes, caller: Caller, send: Send) -> None:
        async with self.claimed(wire.endpoint.path, body, caller, send) as claimed:
            if claimed is not None:
                await self._answer(wire, body, caller, claimed)

    @asynccontextmanager
    async def claimed(self, path: str, body: bytes, caller: Caller, send: Send) -> AsyncIterator[Send | None]:
        """The way to send the one answer to an `Idempotency-Key`, None where the one of before was sent.

        body: the client's own: what the pipeline is asked may change meanwhile, for it has all that was said before.
        """
        if caller.idempotency_key is None:
            yield send
            return
        async with self._once.claim(caller, path, body, send) as recorded:
            caller.idempotency_key = None
            yield recorded

    async def _answer(self, wire: Wire, body: bytes, caller: Caller, send: Send) -> None:
        asked = wire.read(parse_object(body))
        tenant_id = caller.payer.tenant_id
        await self._contexts.check_room(wire, asked, tenant_id)
        fields = await self._contexts.body(wire, asked, tenant_id)
        if not asked.store and asked.previous is None and asked.conversation is None:
            whole = _encode(fields | {"store": _FALSE})
            await self._pipeline.answer(wire.endpoint, whole, caller, send)
            return
        truth = Truth(wire.new_id(), asked.store, asked.background, asked.previous, asked.conversation)
        if asked.background:
            await self._queue(wire, asked, truth, fields, caller, send)
            return
        prompt = None if wire.is_whole else Request.parse(wire.endpoint, _encode(fields)).prompt()
        keep = partial(self._keeper.keep, wire, asked, truth, tenant_id)
        recording = Recording(send, Rewriting(wire, truth, prompt), keep)
        await self._pipeline.answer(wire.endpoint, _encode(fields), caller, recording)

    async def _queue(
        self, wire: Wire, asked: Asked, truth: Truth, fields: Members, caller: Caller, send: Send
    ) -> None:
        """What can be refused at once is refused at once."""
        body = _encode(fields)
        request = Request.parse(wire.endpoint, body)
        model = self._catalogue.find(request.model, caller.allowed)
        request.check()
        if model.mode == wire.endpoint.refused_mode:
            said = f"The model `{model.id}` is for `{model.mode}`: use {wire.endpoint.instead}."
            raise invalid("model", said)
        begun = wire.begun(request.prompt(), truth, self._clock.now())
        kept = self._keeper.kept(wire, asked, truth, caller.payer.tenant_id, begun)
        kept.state, kept.item_ids = State.QUEUED, []
        await self._background.begin(kept, body, caller, send)

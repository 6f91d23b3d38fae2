"""What was said before, put in front of what is said now: the input that a model gets to see."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from hive_routing.endpoints import invalid
from hive_routing.stored.conversations import MOST_ITEMS, ConversationStore
from hive_routing.stored.keeping import new_items
from hive_routing.stored.kept import Asked, Members, State, not_found
from hive_routing.stored.port import Wire
from hive_routing.stored.store import AnswerStore
from hive_routing.stored.summaries import Summaries


class Contexts:
    """Raises HiveError: `not_found` for what is not there, `invalid` for what is too long or cannot be read."""

    def __init__(self, answers: AnswerStore, conversations: ConversationStore, summaries: Summaries) -> None:
        self._answers = answers
        self._conversations = conversations
        self._summaries = summaries

    async def check_room(self, wire: Wire, asked: Asked, tenant_id: str) -> None:
        """Raises HiveError where the conversation could not take what is said now and an answer to it."""
        if asked.conversation is not None:
            new = len(new_items(wire, asked.input))
            await self._conversations.check_room(asked.conversation, tenant_id, new)

    async def body(self, wire: Wire, asked: Asked, tenant_id: str) -> Members:
        """The whole body that the pipeline is asked, with all that was said before in its input."""
        earlier = await self._earlier(wire, asked, tenant_id)
        given = asked.input
        if given is None and not earlier:
            return asked.fields
        if given is not None and not earlier and not any(mark in bytes(given) for mark in wire.marks):
            return asked.fields | {"input": given}
        items = await self._resolved(wire, earlier, wire.items(given), tenant_id)
        said = [self._summaries.opened(item, tenant_id) for item in wire.passed_on([*earlier, *items])]
        return asked.fields | {"input": Raw(msgspec.json.encode(said))}

    async def _earlier(self, wire: Wire, asked: Asked, tenant_id: str) -> list[Raw]:
        if asked.conversation is not None:
            return await self._conversations.whole(asked.conversation, tenant_id)
        if asked.previous is None:
            return []
        chain = await self._answers.chain(asked.previous, tenant_id, wire.name, wire.previous)
        for kept in chain:
            if kept.state is not State.ENDED:
                message = f"`{kept.id}` is still being answered: wait for its end to go on from it."
                raise invalid(wire.previous, message)
        return [item for kept in chain for item in wire.said(kept)]

    async def _resolved(self, wire: Wire, earlier: list[Raw], items: list[Raw], tenant_id: str) -> list[Raw]:
        """The items with those in place of references that they name; what is said already is not said again."""
        wanted = {id for item in items if (id := wire.referred(item)) is not None}
        if not wanted:
            return items
        if len(wanted) > MOST_ITEMS:
            raise invalid("input", f"`input` must refer to at most {MOST_ITEMS} items; got {len(wanted)}.")
        known = wire.ids(earlier)
        kept = await self._answers.with_items(wanted - known.keys(), tenant_id, wire.name)
        found = wire.ids(item for each in reversed(kept) for item in wire.put_out(each.answer))
        resolved = []
        for place, item in enumerate(items):
            id = wire.referred(item)
            if id is None:
                resolved.append(item)
            elif id in found:
                resolved.append(found[id])
            elif id not in known:
                raise not_found("Item", id, f"input[{place}].id")
        return resolved

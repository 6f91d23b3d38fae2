"""How a session comes to be: which model it is of, whether there is money for it, which provider opens it."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec

from hive_routing.attempts import Handling
from hive_routing.catalogue import Catalogue, Deployment, Model
from hive_routing.guarding.port import Asker, Guards
from hive_routing.realtime.charges import ENDPOINT, Charges
from hive_routing.realtime.client_secrets import Grant
from hive_routing.realtime.conversation import CHARS_PER_TOKEN, Conversation
from hive_routing.realtime.guarding import SessionGuard
from hive_routing.realtime.port import OPERATION, Line, SessionCall, SessionProvider
from hive_routing.realtime.session import Session
from hive_routing.request import Request
from hive_routing.spending import Payer, Spending
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for. query: as it sent it. headers: what a provider may read. guard: `x-hive-guard`.

    allowed: names of the models that may be asked; None: all. grant: of the secret that it came with.
    """

    request_id: str
    payer: Payer
    allowed: Collection[str] | None
    query: str
    headers: dict[str, str] = field(default_factory=dict)
    guard: str | None = None
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that is ready to run. opening: events that its maker set it up with."""

    session: Session
    charges: Charges
    guard: SessionGuard
    deployment: Deployment
    opening: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Opener:
    catalogue: Catalogue
    guards: Guards
    spending: Spending
    tasks: Tasks
    chance: random.Random = field(default_factory=random.Random)

    async def open(self, wish: Wish, client: Line) -> Opened:
        """Raises HiveError for all that keeps the client out, before it is let in."""
        name, query = _named(wish)
        model = self.find(name, wish.allowed)
        guard = SessionGuard(
            self.guards,
            Asker(wish.request_id, wish.payer.tenant_id, wish.payer.key_id, model.id, wish.guard),
        )
        await guard.begin()
        handling = Handling(guards=guard.names)
        conversation = Conversation(window=model.context_window)
        await self._require_money(wish, model)
        deployment, provider = await self._connected(model, query, wish)
        charges = Charges(
            self.spending, wish.payer, wish.request_id, model, deployment, handling, conversation
        )
        public = {name, model.id}
        session = Session(client, provider, charges, guard, public, deployment.model, self.tasks)
        opening = [] if wish.grant is None else [_set_up(wish.grant)]
        return Opened(session, charges, guard, deployment, opening)

    def find(self, name: str, allowed: Collection[str] | None) -> Model:
        """The model; raises HiveError `not_found`, and `invalid` where it has no sessions."""
        model = self.catalogue.find(name, allowed)
        if next(_deployments(model, self.chance), None) is None:
            said = (
                f"The model `{model.id}` cannot be asked at /v1/realtime: its provider has no such endpoint."
            )
            raise HiveError(Kind.INVALID, said, "model", reason="not_supported")
        return model

    async def _require_money(self, wish: Wish, model: Model) -> None:
        """Where there is not enough for one token, no session begins. Raises HiveError `budget_exceeded`."""
        price = await self.spending.price_of(model)
        amount = (
            max(1, price.cost({"prompt": 1, "completion": 1}))
            if price.tariff and not price.tariff.is_free
            else 0
        )
        request = Request(ENDPOINT, model.id, {}, CHARS_PER_TOKEN)
        bill = await self.spending.reserve_again(
            request, wish.payer, wish.request_id, 1, model, amount, Handling()
        )
        bill.close()

    async def _connected(
        self, model: Model, query: Sequence[tuple[str, str]], wish: Wish
    ) -> tuple[Deployment, Line]:
        failed: HiveError | None = None
        for tried, deployment in enumerate(_deployments(model, self.chance)):
            provider = deployment.provider
            assert isinstance(provider, SessionProvider), "it says that it has sessions"
            try:
                call = SessionCall(deployment.model, query, wish.headers, deployment.timeouts)
                return deployment, await provider.open_session(call)
            except HiveError as error:
                failed = error
                if not error.kind.retryable or tried + 1 == MOST_TRIES:
                    break
        assert failed is not None, "`find` saw a deployment"
        raise failed


def _deployments(model: Model, chance: random.Random) -> Iterator[Deployment]:
    """Those that have sessions, in the order in which they are asked: by group, within one by weight."""
    for group in model.groups:
        able = [each for each in group if OPERATION in each.provider.speaks]
        yield from sorted(able, key=lambda each: -(chance.random() ** (1 / (each.weight or 1))))


def _named(wish: Wish) -> tuple[str, list[tuple[str, str]]]:
    """The model's name, and the rest of the query."""
    query = parse_qsl(wish.query, keep_blank_values=True)
    if any(name == "call_id" for name, _ in query):
        raise HiveError(Kind.NOT_FOUND, "`call_id` is not enabled on this deployment.", "call_id")
    names = [value for name, value in query if name == "model" and value]
    rest = [pair for pair in query if pair[0] != "model"]
    granted = None if wish.grant is None else wish.grant.model
    if not names and granted is None:
        raise HiveError(Kind.INVALID, "`model` is missing: open /v1/realtime?model=….", "model")
    if granted is not None and any(name != granted for name in names):
        said = f"This client secret is for the model `{granted}`."
        raise HiveError(Kind.FORBIDDEN, said, "model")
    return names[-1] if names else str(granted), rest


def _set_up(grant: Grant) -> bytes:
    """The event that makes the session what the maker of the secret wanted."""
    session = msgspec.Raw(grant.session)
    return msgspec.json.encode({"type": "session.update", "session": session})

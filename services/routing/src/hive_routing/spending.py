"""The money of a request, from the hold before its first call to the settlement of its last one.

Every call of a provider is an `Attempt`: in the journal before it is sent, closed there before the caller hears
the end of the answer. Of one request only the attempt that answers costs its tenant anything; what each provider
charges is noted for all of them. All attempts share one hold, which ends once.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hive_routing.attempts import ANSWERED, Attempt, Handling, Outcome, UsageLog
from hive_routing.bounds import Bound, bound_of, worst_cost
from hive_routing.catalogue import Deployment, Model
from hive_routing.holds import Hold, Purse, Terms
from hive_routing.likely import Likely
from hive_routing.prices import PriceBook, PriceTag
from hive_routing.request import Request
from hive_routing.tokens import TokenCounter
from hive_routing.usage import Usage
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

CACHE = "cache"
"""The provider, in usage, of answers that are given again."""
PROGRESS_SECONDS = 1.0
"""How often the journal hears how far a stream has come."""
UNBOUND = 1 << 62
CHARS_PER_TOKEN = 4
_WITHOUT_OUTPUT = frozenset({"embeddings", "rerank", "moderations"})
MORE_OUTPUT = 256
"""Tokens by which a hold grows at least, when a stream has used it up."""


class Payer(msgspec.Struct, frozen=True):
    """Whose money a request spends, and the words that it is to be found by."""

    tenant_id: str
    key_id: str
    tags: tuple[str, ...] = ()


class Spending:
    """Opens bills; one for the process."""

    def __init__(
        self, purse: Purse, prices: PriceBook, log: UsageLog, counter: TokenCounter, clock: Clock
    ) -> None:
        self.clock = clock
        self.log = log
        self.likely = Likely()
        self.purse = purse
        self.prices = prices
        self.counter = counter

    async def reserve(
        self,
        request: Request,
        payer: Payer,
        request_id: str,
        number: int,
        model: Model,
        handling: Handling | None = None,
        percent: int = 100,
    ) -> Bill:
        """Hold what the request may cost at `model`; the bill has to be closed.

        number: counts the processes that the request was given to. percent: of it, where an answer is shared.
        Raises HiveError `budget_exceeded`, `not_found`
        where the model has no price, `unavailable` where billing cannot be asked and has to be.
        """
        price = self.prices.known(model.declared) or await self.prices.of_model(model.declared)
        terms = self.purse.known_terms(payer.key_id) or await self._terms(payer)
        bill = Bill(self, request, payer, request_id, number, terms, handling or Handling(), percent)
        await bill.cover(model, price)
        return bill

    async def reserve_again(
        self,
        request: Request,
        payer: Payer,
        request_id: str,
        number: int,
        model: Model,
        amount: int,
        handling: Handling,
    ) -> Bill:
        """Hold just so much: for an answer that is given once more, or one whose bound no body says.

        Raises as `reserve` does.
        """
        price = self.prices.known(model.declared) or await self.prices.of_model(model.declared)
        terms = self.purse.known_terms(payer.key_id) or await self._terms(payer)
        hold = await self.purse.hold(payer.tenant_id, payer.key_id, terms, amount if terms.scopes else 0)
        return Bill(
            self,
            request,
            payer,
            request_id,
            number,
            terms,
            handling,
            _hold=hold,
            _model=model.id,
            _price=price,
        )

    async def copy(
        self,
        request: Request,
        payer: Payer,
        request_id: str,
        number: int,
        model: Model,
    ) -> Bill:
        """The bill of a copy for another model: nothing is held, the tenant pays nothing, the operator what it costs.

        Its calls have to be numbered behind those of the request itself.
        """
        nobody = Terms((), balanced=False, default_max_output=0, until=0.0)
        bill = Bill(self, request, payer, request_id, number, nobody, Handling(), is_copy=True)
        await bill.cover(model, PriceTag(f"model/{model.declared}", 0, None))
        return bill

    async def added_bound(self, request: Request, payer: Payer) -> int:
        """Tokens of a choice that money has a provider told as the bound, for the caller named none; 0: nothing."""
        if not request.endpoint.is_bounded or request.output_bound is not None:
            return 0
        terms = self.purse.known_terms(payer.key_id) or await self._terms(payer)
        return 0 if terms.balanced or not terms.scopes else terms.default_max_output

    def now_ms(self) -> int:
        return int(self.clock.now() * 1000)

    async def price_of(self, model: Model) -> PriceTag:
        return await self.prices.of_model(model.declared)

    async def _terms(self, payer: Payer) -> Terms:
        return await self.purse.terms(payer.tenant_id, payer.key_id, self.now_ms())


class Bill(msgspec.Struct):
    """What one request spends. `close` it: what is held then goes back.

    cost: nano-dollars that the tenant pays, None until it is known. calls: of deployments, so far.
    """

    _spending: Spending
    _request: Request
    _payer: Payer
    _request_id: str
    _number: int
    _terms: Terms
    _handling: Handling
    _percent: int = 100
    is_copy: bool = False
    cost: int | None = None
    calls: int = 0
    usage: Usage | None = None
    _hold: Hold | None = None
    _bound: Bound | None = None
    _model: str = ""
    _price: PriceTag | None = None
    _amount: int = 0
    _open: list[Attempt] = []
    _failed: Attempt | None = None

    def covers(self, model: Model) -> bool:
        """Whether the hold carries it already."""
        return model.id == self._model

    async def cover(self, model: Model, price: PriceTag | None = None) -> None:
        """Make sure that the hold carries this model too; raises HiveError `budget_exceeded` where it cannot."""
        spending, terms, payer = self._spending, self._terms, self._payer
        price = price or await spending.price_of(model)
        if not terms.scopes or price.tariff is None or price.tariff.is_free:
            amount, bound = 0, None
        else:
            most = terms.default_max_output
            bound = await bound_of(
                self._request, model.counted_as, most, spending.counter, model.context_window
            )
            amount = worst_cost(price.tariff, bound, self._request)
            if terms.balanced:
                amount = min(amount, self._likely_cost(model, price, bound))
            amount = -(-amount * self._percent // 100)
        if self._hold is None:
            self._hold = await spending.purse.hold(payer.tenant_id, payer.key_id, terms, amount)
        else:
            await self._hold.raise_to(amount)
        self._model, self._price, self._bound, self._amount = model.id, price, bound, amount

    async def cover_second(self, model: Model) -> None:
        """Make sure that the hold carries one more call of the model beside the one under way.

        Raises HiveError `budget_exceeded` or `unavailable` where it cannot: that call must not be made.
        """
        assert self._hold is not None, "`reserve` comes first"
        if model.id != self._model or not self._open:
            raise HiveError(Kind.UNAVAILABLE, "No call of this model is under way.")
        await self._hold.raise_to(sum(each.held for each in self._open) + self._amount)

    def keep_only(self, attempt: Attempt) -> None:
        """No other call is under way any more: hold what this one needs."""
        if self._hold is not None:
            self._hold.lower_to(attempt.held)

    @property
    def output_bound(self) -> int | None:
        """Tokens of a choice that a provider has to be told as the bound; None: nothing has to be added."""
        return None if self._bound is None or self._terms.balanced else self._bound.added

    def open(self, model: Model, deployment: Deployment, call: int, streamed: bool) -> Attempt:
        """An attempt that is about to be sent; raises HiveError `unavailable` where it cannot be kept."""
        if self._failed is not None:
            self._end_failed()
        if call > self.calls:
            self.calls = call
        # As counted for the hold, else a token for each four bytes.
        bound = self._bound
        tokens = -(-self._request.size // CHARS_PER_TOKEN) if bound is None else bound.prompt
        charged = self._spending.prices.of_deployment(deployment.declared)
        return self._opened(
            model, deployment.provider_id, deployment.id, call, streamed, {"prompt": tokens}, charged
        )

    def again(self, model: Model, cost: int, streamed: bool) -> None:
        """The answer is one that was given before, for so much: an attempt of the provider `cache`."""
        assert self._hold is not None and self._price is not None, "`reserve` comes first"
        attempt = self._opened(model, CACHE, CACHE, 0, streamed, {}, self._price)
        attempt.outcome = Outcome.ANSWERED
        attempt.cost = cost
        attempt.carried = self._hold.settle(cost)
        attempt.generation = self._spending.purse.generation
        attempt.last = True
        self.cost = cost
        self._stop(attempt)
        self._spending.log.close(attempt)

    def _opened(
        self,
        model: Model,
        provider: str,
        deployment: str,
        call: int,
        streamed: bool,
        prompt: dict[str, int],
        charged: PriceTag,
    ) -> Attempt:
        spending, payer, hold, price = self._spending, self._payer, self._hold, self._price
        assert hold is not None and price is not None, "`cover` comes first"
        # Of two calls at a time, each has its own part of what is held.
        held = hold.amount
        for each in self._open:
            held -= each.held
        attempt = Attempt(  # in the order of its fields: by their names takes four times as long
            self._request_id,
            self._number,
            call,
            payer.tenant_id,
            payer.key_id,
            self._request.endpoint.path,
            model.id,
            provider,
            deployment,
            int(spending.clock.now() * 1000),
            streamed,
            prompt,
            price,
            charged,
            spending.clock.monotonic(),
            hold.scopes,
            held,
            payer.tags,
            self._handling,
        )
        spending.log.open(attempt)
        self._open.append(attempt)
        return attempt

    def fail(self, attempt: Attempt, outcome: Outcome, error: str) -> None:
        """It gave no answer: the tenant pays nothing. What was sent, the provider may have read, and charge."""
        attempt.outcome = outcome
        attempt.error = error
        if outcome in (Outcome.UNANSWERED, Outcome.BROKEN, Outcome.ABANDONED):
            attempt.units = dict(attempt.prompt)
            attempt.estimated = True
            attempt.provider_cost = attempt.provider_price.cost(attempt.units)
        self._stop(attempt)
        self._end_failed()
        self._failed = attempt

    def lose(self, attempt: Attempt, usage: Usage) -> None:
        """It answered when another call of the request had answered already: the tenant does not pay for it."""
        attempt.outcome = Outcome.ABANDONED
        attempt.units = usage.units
        attempt.estimated = usage.estimated
        attempt.provider_cost = attempt.provider_price.cost(usage.units)
        self._stop(attempt)
        self._spending.log.close(attempt)

    def settle(self, attempt: Attempt, outcome: Outcome, usage: Usage, error: str = "") -> None:
        """It answered, whole or in part: the tenant pays for it, and the hold ends."""
        hold, units, price, charged_at = self._hold, usage.units, attempt.price, attempt.provider_price
        assert hold is not None
        cost, charged = 0, charged_at.cost(units)
        if usage.completion_tokens or _needs_no_output(attempt, usage):
            cost = charged if price.tariff is charged_at.tariff else price.cost(units)
        attempt.outcome = outcome
        attempt.error = error
        attempt.units = units
        attempt.estimated = usage.estimated
        attempt.provider_cost = charged
        attempt.cost = cost
        attempt.held = hold.amount
        attempt.carried = hold.settle(cost)
        attempt.generation = self._spending.purse.generation
        attempt.last = not self.is_copy
        if self._failed is not None:
            self._end_failed()
        self.cost, self.usage = cost, usage
        if outcome is ANSWERED and not self.is_copy:
            self._spending.likely.note(self._payer.key_id, attempt.model, usage)
        self._stop(attempt)
        self._spending.log.close(attempt)

    def close(self) -> None:
        """The request has ended: nothing is held for it any more."""
        while self._open:  # whatever happened between, no attempt stays open
            self._end_failed()
            self.fail(self._open[0], Outcome.ABANDONED, Kind.INTERNAL.label)
        if self._failed is not None:
            self._failed.last = not self.is_copy and self.cost is None
            self._end_failed()
        if self._hold is not None:
            self._hold.release()

    def meter(self, attempt: Attempt) -> Meter:
        """Watches the stream of an attempt."""
        return Meter(self, attempt, self._spending, self._allowed_output(attempt.held))

    async def extend(self, attempt: Attempt, tokens: int) -> int:
        """Hold enough for `tokens` of output and more; returns for how many. Raises HiveError where it cannot."""
        assert self._hold is not None and self._bound is not None and self._price is not None
        wanted = tokens + max(MORE_OUTPUT, tokens // 2)
        units = {**self._likely_prompt(attempt.model, self._bound.prompt), "completion": wanted}
        await self._hold.raise_to(self._price.cost(units))
        attempt.held = self._hold.amount
        return wanted

    def _stop(self, attempt: Attempt) -> None:
        attempt.duration_us = int((self._spending.clock.monotonic() - attempt.began) * 1_000_000)
        self._open.remove(attempt)

    def _end_failed(self) -> None:
        """A failure is told once it is known whether another attempt follows it."""
        if self._failed is not None:
            self._spending.log.close(self._failed)
            self._failed = None

    def _likely_cost(self, model: Model, price: PriceTag, bound: Bound) -> int:
        output = self._spending.likely.output(self._payer.key_id, model.id, bound.output)
        return price.cost({**self._likely_prompt(model.id, bound.prompt), "completion": output})

    def _likely_prompt(self, model_id: str, prompt: int) -> Mapping[str, int]:
        cached = self._spending.likely.cached(self._payer.key_id, model_id, prompt)
        return {"prompt": prompt - cached, "cached_prompt": cached}

    def _allowed_output(self, held: int) -> int:
        """Tokens of output that the hold carries; a bound that the provider knows needs no watching."""
        if self._bound is None or not self._terms.balanced or not held:
            return UNBOUND
        assert self._price is not None and self._price.tariff is not None
        prompt = self._price.cost(self._likely_prompt(self._model, self._bound.prompt))
        each = self._price.tariff.prices(self._bound.prompt).get("completion", 0)
        return (held - prompt) * 1000 // each if each else UNBOUND


class Meter:
    """Hears how far a stream has come: tells the journal, and says when more money is needed."""

    __slots__ = ("_allowed", "_attempt", "_bill", "_log", "_monotonic", "_next")

    def __init__(self, bill: Bill, attempt: Attempt, spending: Spending, allowed: int) -> None:
        self._bill = bill
        self._attempt = attempt
        self._log = spending.log
        self._monotonic = spending.clock.monotonic
        self._allowed = allowed
        self._next = 0.0

    def note(self, tokens: int) -> bool:
        """So many tokens came so far; true where that is more than there is money for."""
        now = self._monotonic()
        if now >= self._next:
            self._tell(tokens, now)
        return tokens > self._allowed

    def _tell(self, tokens: int, now: float) -> None:
        attempt = self._attempt
        attempt.delivered = tokens
        if attempt.first_content_us is None:
            attempt.first_content_us = int((now - attempt.began) * 1_000_000)
        self._log.progress(attempt)
        self._next = now + PROGRESS_SECONDS

    async def extend(self, tokens: int) -> bool:
        """Find money for more than so many tokens; false where there is none."""
        try:
            self._allowed = await self._bill.extend(self._attempt, tokens)
        except HiveError as error:
            if error.kind in (Kind.BUDGET_EXCEEDED, Kind.UNAVAILABLE, Kind.TIMEOUT):
                return False
            raise
        return True


def _needs_no_output(attempt: Attempt, usage: Usage) -> bool:
    """Whether an answer that generated nothing costs its caller something: no output was expected, or none is known."""
    return attempt.endpoint in _WITHOUT_OUTPUT or "completion" not in usage.units

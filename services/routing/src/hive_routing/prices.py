"""What models cost, as billing lists it: what tenants pay for a model, what providers charge for a deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff

PATIENCE_SECONDS = 2.0
"""How long a model that is new may wait for its price."""


@dataclass(frozen=True, slots=True)
class PriceTag:
    """The price of one subject at one version of the list; None as its tariff: it has no price.

    subject: `model/<id>` or `deployment/<provider>/<model>`.
    """

    subject: str
    version: int
    tariff: Tariff | None
    cost: Callable[[Mapping[str, int]], int] = field(init=False, repr=False, compare=False)
    """Nano-dollars of counted units; 0 where there is no price."""
    key: tuple[str, int] = field(init=False, repr=False, compare=False)
    """Subject and version."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.subject, self.version))
        object.__setattr__(self, "cost", _nothing if self.tariff is None else self.tariff.cost)


def _nothing(units: Mapping[str, int]) -> int:
    return 0


class PriceBook:
    """The newest price of each subject. A lookup on a request's path is one dictionary access."""

    def __init__(self) -> None:
        self._models: dict[str, PriceTag] = {}
        self._deployments: dict[str, PriceTag] = {}
        self._changed = asyncio.Event()

    def put(self, tag: PriceTag) -> None:
        tags, name = self._place(tag.subject)
        tags[name] = tag
        self._changed.set()

    def drop(self, subject: str) -> None:
        tags, name = self._place(subject)
        tags.pop(name, None)

    def known(self, model_id: str) -> PriceTag | None:
        """What tenants pay; None where `of_model` has something to wait for, or to say."""
        tag = self._models.get(model_id)
        return None if tag is None or tag.tariff is None else tag

    async def of_model(self, model_id: str) -> PriceTag:
        """What tenants pay; waits a little for a model that was made just now.

        Raises HiveError `not_found` where the model has no price, `unavailable` where none is known yet.
        """
        tag = self._models.get(model_id) or await self._wait_for(model_id)
        if tag is None:
            message = f"The price of the model `{model_id}` is not known yet. Try again in a moment."
            raise HiveError(Kind.UNAVAILABLE, message, retry_after=1)
        if tag.tariff is None:
            message = (
                f"The model `{model_id}` has no price, so it cannot be used: the operator can set one "
                "(`price` of the model in the configuration, zero if it is free) or a ceiling for all."
            )
            raise HiveError(Kind.NOT_FOUND, message, "model", reason="model_unpriced")
        return tag

    def of_deployment(self, deployment_id: str) -> PriceTag:
        """What the provider charges; a tag without tariff where nobody knows."""
        return self._deployments.get(deployment_id) or PriceTag(f"deployment/{deployment_id}", 0, None)

    def _place(self, subject: str) -> tuple[dict[str, PriceTag], str]:
        kind, _, name = subject.partition("/")
        return (self._models if kind == "model" else self._deployments), name

    async def _wait_for(self, model_id: str) -> PriceTag | None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (tag := self._models.get(model_id)) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return None
        return tag

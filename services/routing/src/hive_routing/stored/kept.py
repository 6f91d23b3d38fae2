"""An answer that is kept, and the rules of what may be asked of it; nothing is stored here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.choosing.terms import NO_WISHES, Wishes
from hive_runtime.errors import HiveError, Kind

DAY_MS = 24 * 3600 * 1000
MOST_EARLIER = 1000
"""Answers that a chain may have."""
MOST_ID_CHARS = 512
"""Of an item: an index of Postgres holds no more than 2700 bytes of a row."""
MAX_CHAIN_BYTES = 16 * 1024 * 1024
"""Of all that was said before."""

Members = dict[str, Raw]

decode_members = msgspec.json.Decoder(Members).decode
decode_items = msgspec.json.Decoder(list[Raw]).decode
decode_value = msgspec.json.decode


class State(IntEnum):
    """How far an answer has come."""

    QUEUED = 0
    RUNNING = 1
    ENDED = 2


@dataclass(slots=True)
class Kept:
    """One answer and what was asked for it.

    wire: name of the API that it belongs to. streamed: the client wants it as a stream. previous: the answer it goes
    on from. input: JSON, as the client sent it. answer: a JSON object, as the client gets it. item_ids: of what it
    put out.
    """

    id: str
    tenant_id: str
    wire: str
    created_ms: int
    input: bytes
    answer: bytes
    state: State = State.ENDED
    background: bool = False
    streamed: bool = False
    previous: str | None = None
    conversation: str | None = None
    item_ids: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.input) + len(self.answer)

    @property
    def shown(self) -> bytes:
        """The answer as it is told now."""
        if self.state is State.RUNNING:
            return with_members(self.answer, status="in_progress")
        return self.answer


class Job(msgspec.Struct):
    """A request that is answered in the background, with all that its answer needs.

    body: what the pipeline is asked. models: those that the caller may ask; None: all. deadline_ms: Unix time.
    request_id, tags, headers, guard, look_up, wishes: as in `Caller`.
    """

    body: bytes
    tenant_id: str
    key_id: str
    request_id: str
    deadline_ms: int
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    headers: dict[str, str] = {}
    guard: str | None = None
    look_up: bool = True
    wishes: Wishes = NO_WISHES


@dataclass(frozen=True, slots=True)
class Run:
    """A job that somebody has taken. epoch: how many have, so that nobody ends what another one has taken over."""

    id: str
    owner: str
    epoch: int
    job: Job = field(repr=False)


@dataclass(slots=True)
class Asked:
    """What a request says of keeping.

    input: raw, None where there is none. fields: the body as the pipeline is to see it, but for `input`.
    """

    store: bool
    background: bool
    stream: bool
    previous: str | None
    conversation: str | None
    input: Raw | None
    fields: Members

    def check(self, previous: str) -> None:
        """Raises HiveError `invalid` for what does not go together, and for ids that nothing can have.

        previous: how the field is called that names the answer before.
        """
        check_id(previous, self.previous)
        check_id("conversation", self.conversation)
        if self.background and not self.store:
            raise HiveError(Kind.INVALID, "`background` needs `store` to be true.", "background")
        if self.previous is not None and self.conversation is not None:
            message = (
                f"`{previous}` and `conversation` cannot be used together: a conversation has all before."
            )
            raise HiveError(Kind.INVALID, message, previous)


def with_members(answer: bytes, **members: Any) -> bytes:
    """The JSON object with these members in place of its own; all others keep their bytes."""
    changed = {name: Raw(msgspec.json.encode(value)) for name, value in members.items()}
    return msgspec.json.encode(decode_members(answer) | changed)


def refuse_too_long(count: int, size: int, param: str) -> None:
    """Raises HiveError `invalid` for what came before, where it is more than can be said again."""
    if count > MOST_EARLIER or size > MAX_CHAIN_BYTES:
        message = (
            f"What came before is too long to be said again: at most {MOST_EARLIER} answers and "
            f"{MAX_CHAIN_BYTES} bytes. Compact it, or begin anew."
        )
        raise HiveError(Kind.INVALID, message, param, reason="context_too_long")


def is_id(id: str) -> bool:
    """Whether both kinds of databases can keep it as the name of something, and find it by it."""
    return len(id) <= MOST_ID_CHARS and "\0" not in id


def check_id(param: str, id: str | None) -> None:
    """Raises HiveError `invalid` for an id that could not be kept."""
    if id is not None and not is_id(id):
        message = f"`{param}` must be an id of at most {MOST_ID_CHARS} characters, none of them NUL."
        raise HiveError(Kind.INVALID, message, param)


def not_found(what: str, id: str, param: str | None = None) -> HiveError:
    return HiveError(Kind.NOT_FOUND, f"{what} with id `{id[:80]}` was not found.", param)

"""What is believed of a topic, from three witnesses: what was kept on disk, the bus, and the owner.

Live records carry a revision, so of two the newer one counts, whoever tells it. What is hard is the end of a key:

* The owner tells a retirement with its revision, and while it is *followed*, all that it told is complete up to
  `through`: a key that it did not tell is retired as of then. What the bus still tells of before is refused.
* The bus tells a retirement without a revision, and may be late with it, or tell it twice. It counts until the bus
  tells of the same record again, or of a newer one. Where the owner is followed and knows the key, it is a *doubt*:
  it counts only if the owner leaves before it could have confirmed it.
* The bus's whole replay retires what it does not hold: keys that the bus had told in an earlier life, and keys
  that are not newer than the newest of the replay. (A newer one may not have reached the bus yet.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from hive_bus.port import M
from hive_bus.snapshots.source import Record

# So long after a doubt an owner that is still followed has told whatever there was.
DOUBT_SECONDS = 5.0
# Of retired keys, where no owner says how far it told everything.
MOST_GONE = 10_000
_NEVER = -1


@dataclass(slots=True)
class Entry(Generic[M]):
    """A live key. published: the bus told this revision. heard: it told any one since `bus_begins`."""

    revision: int
    message: M
    published: bool
    heard: bool = False


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A retirement by the bus of the record with this revision, or of one before it."""

    raised: float
    revision: int


@dataclass(slots=True)
class Belief(Generic[M]):
    """What is kept on disk. through: the owner told all up to here; -1: it was never heard.

    gone: retired keys, each with the revision behind which it was retired; what is older stays refused.
    """

    through: int = _NEVER
    live: dict[str, Entry[M]] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)


class Merge(Generic[M]):
    """`tell` hears each change of the result.

    revision: orders messages; without it the bus alone counts, in its order.
    reused: a retired key can come back with the revision that it had.
    monotonic: seconds, for the age of doubts.
    """

    def __init__(
        self,
        tell: Callable[[str, M | None], None],
        monotonic: Callable[[], float],
        revision: Callable[[M], int] | None = None,
        *,
        reused: bool = False,
    ) -> None:
        self.following = False
        self._tell = tell
        self._monotonic = monotonic
        self._revision = revision
        self._reused = reused
        self._belief = Belief[M]()
        self._trying = False
        self._newest_heard = _NEVER
        self._doubts: dict[str, _Doubt] = {}

    @property
    def live(self) -> Mapping[str, Entry[M]]:
        return self._belief.live

    def load(self, belief: Belief[M]) -> None:
        """Begin with what an earlier life believed; before anything is told."""
        self._belief = belief
        for key, entry in belief.live.items():
            self._tell(key, entry.message)

    def copy(self) -> Belief[M]:
        """What is believed now, to be kept."""
        live = {
            key: Entry(entry.revision, entry.message, entry.published)
            for key, entry in self._belief.live.items()
        }
        return Belief(self._belief.through, live, dict(self._belief.gone))

    # The bus

    def bus_begins(self) -> None:
        """It will tell the whole topic from its beginning."""
        self._newest_heard = _NEVER
        for entry in self._belief.live.values():
            entry.heard = False

    def bus_tells(self, key: str, message: M | None) -> None:
        if message is None:
            entry = self._belief.live.get(key)
            if entry is not None:
                self._bus_retires(key, entry)
        else:
            self._bus_puts(key, message)

    def bus_told_all(self) -> None:
        """Whatever stood on the topic when it began was told."""
        if self._revision is not None and self._newest_heard == _NEVER:
            return  # an empty topic is one that was just made: it knows nothing
        for key, entry in list(self._belief.live.items()):
            if not entry.heard and (entry.published or entry.revision <= self._newest_heard):
                self._bus_retires(key, entry)

    def _bus_puts(self, key: str, message: M) -> None:
        revision = 0 if self._revision is None else self._revision(message)
        self._newest_heard = max(self._newest_heard, revision)
        self._doubts.pop(key, None)
        entry = self._belief.live.get(key)
        if entry is None:
            if not self._is_past(key, revision):
                self._put(key, Entry(revision, message, published=True, heard=True))
            return
        entry.heard = True
        if self._revision is None or revision > entry.revision:
            self._put(key, Entry(revision, message, published=True, heard=True))
        elif revision == entry.revision:
            entry.published = True
            if revision > self._belief.through and message != entry.message:
                self._put(key, Entry(revision, message, published=True, heard=True))

    def _bus_retires(self, key: str, entry: Entry[M]) -> None:
        if self._trying:
            self._doubts[key] = _Doubt(self._monotonic(), entry.revision)
        if not (self.following and entry.revision <= self._belief.through):
            self._retire(key, entry.revision)

    def _is_past(self, key: str, revision: int) -> bool:
        """Whether a record of a key that is not live is from before its end."""
        if self._revision is None:
            return False
        gone = self._belief.gone.get(key)
        if gone is None:
            known = self.following or not self._reused
            return known and revision <= self._belief.through
        # The same revision again is the bus's last word: after a crash it may repeat a retirement before it.
        return revision < gone

    # The owner

    def owner_begins(self) -> None:
        """It is asked now, and will answer with what it knows from now on."""
        self._trying = True

    def owner_tells(self, records: Sequence[Record[M]], through: int, *, whole: bool) -> None:
        """All changes up to `through` that it did not tell yet; with `whole` all that is live."""
        if whole and through < self._belief.through:
            self._set_back()
        for record in records:
            if record.message is None:
                self._owner_retires(record)
            else:
                self._owner_puts(record, record.message)
        if whole:
            told = {record.key for record in records}
            for key, entry in list(self._belief.live.items()):
                if key not in told and entry.revision <= through:
                    self._retire(key, through)
        self._belief.through = through
        self.following = True
        self._forget()

    def owner_leaves(self) -> None:
        """It cannot be heard any more: what the bus said since, and it did not answer, counts."""
        self._trying = self.following = False
        doubts, self._doubts = self._doubts, {}
        for key, doubt in doubts.items():
            if key in self._belief.live:
                self._retire(key, doubt.revision)

    def _owner_puts(self, record: Record[M], message: M) -> None:
        doubt = self._doubts.get(record.key)
        if doubt is not None and record.revision > doubt.revision:
            del self._doubts[record.key]
        entry = self._belief.live.get(record.key)
        if entry is None:
            if record.revision >= self._belief.gone.get(record.key, _NEVER):
                self._put(record.key, Entry(record.revision, message, published=False))
        elif record.revision > entry.revision:
            self._put(record.key, Entry(record.revision, message, published=False, heard=entry.heard))
        elif record.revision == entry.revision and message != entry.message:
            self._put(record.key, Entry(record.revision, message, entry.published, entry.heard))

    def _owner_retires(self, record: Record[M]) -> None:
        entry = self._belief.live.get(record.key)
        if entry is None:
            gone = self._belief.gone.get(record.key, _NEVER)
            self._note_gone(record.key, max(gone, record.revision))
        elif record.revision >= entry.revision:
            self._retire(record.key, record.revision)

    def _set_back(self) -> None:
        """Its history is another one, from a backup: nothing that was told before counts against it."""
        self._belief.gone.clear()
        for entry in self._belief.live.values():
            entry.revision = _NEVER

    def _forget(self) -> None:
        """What `through` says as well, and doubts that it would have confirmed by now."""
        through, oldest = self._belief.through, self._monotonic() - DOUBT_SECONDS
        self._belief.gone = {key: gone for key, gone in self._belief.gone.items() if gone > through}
        self._doubts = {key: doubt for key, doubt in self._doubts.items() if doubt.raised > oldest}

    # The result

    def _put(self, key: str, entry: Entry[M]) -> None:
        self._belief.gone.pop(key, None)
        self._belief.live[key] = entry
        self._tell(key, entry.message)

    def _retire(self, key: str, gone: int) -> None:
        del self._belief.live[key]
        if self._revision is not None:
            self._note_gone(key, gone)
        self._tell(key, None)

    def _note_gone(self, key: str, gone: int) -> None:
        self._belief.gone[key] = gone
        if len(self._belief.gone) > MOST_GONE:
            del self._belief.gone[next(iter(self._belief.gone))]

"""Whatever order the witnesses speak in: what is believed in the end is the owner's state."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_bus.snapshots import Record
from hive_bus.snapshots.file import CannotRead, Saved, read, write
from hive_bus.snapshots.merge import DOUBT_SECONDS, MOST_GONE, Belief, Merge
from modelhive.control.v1.control_pb2 import ApiKey, ControlChanged
from modelhive.events.v1.ledger_pb2 import PriceListed

Word = tuple[str, ControlChanged | None]
NAMES = ("a", "b", "c")


def message(key: str, revision: int, text: str = "") -> ControlChanged:
    return ControlChanged(key=key, revision=revision, api_key=ApiKey(id=key, name=text))


class Rig:
    """A merge whose result is kept as its subscribers would keep it."""

    def __init__(self, belief: Belief[ControlChanged] | None = None, *, reused: bool = False) -> None:
        self.now = 0.0
        self.state: dict[str, ControlChanged] = {}
        self.merge = Merge[ControlChanged](
            self._take, lambda: self.now, lambda each: each.revision, reused=reused
        )
        if belief is not None:
            self.merge.load(belief)

    def _take(self, key: str, found: ControlChanged | None) -> None:
        if found is None:
            del self.state[key]  # told once, and only of what lived
        else:
            self.state[key] = found

    def hear(self, *words: Word) -> None:
        for word in words:
            self.merge.bus_tells(*word)

    def follow(self, through: int, *live: ControlChanged) -> None:
        self.merge.owner_begins()
        records = [Record(each.key, each.revision, each) for each in live]
        self.merge.owner_tells(records, through, whole=True)


@dataclass
class World:
    """An owner with an outbox, a broker's log, and a process that hears both, is restarted, and is cut off."""

    reused: bool
    truth: dict[str, ControlChanged] = field(default_factory=dict)
    revision: int = 0
    last: dict[str, ControlChanged] = field(default_factory=dict)
    outbox: list[Word] = field(default_factory=list)
    log: list[Word] = field(default_factory=list)
    inbox: deque[Word | None] = field(default_factory=deque)
    """On its way from the broker; None is the end of the replay."""
    trying: bool = False
    read: dict[str, ControlChanged] | None = None
    portions: deque[tuple[list[Record[ControlChanged]], int, bool]] = field(default_factory=deque)
    """On their way from the owner."""
    ended: dict[str, int] = field(default_factory=dict)
    """By key, the newest revision by which the owner said that it is no more."""

    def __post_init__(self) -> None:
        self.rig = Rig(reused=self.reused)
        self.inbox.append(None)

    # The owner

    def change(self, name: str, *others: str) -> None:
        """One transaction: what lives is changed or ends, what does not is made."""
        self.revision += 1
        for key in {name, *others}:
            if key in self.truth:
                del self.truth[key]
                self.outbox.append((key, None))
            else:
                again = self.last.get(key) if self.reused else None
                self.truth[key] = self.last[key] = again or message(key, self.revision)
                self.outbox.append((key, self.truth[key]))

    def renew(self) -> None:
        """It starts again, and tells everything anew."""
        self.revision += 1
        for key in self.truth:
            self.truth[key] = self.last[key] = message(key, self.revision)
            self.outbox.append((key, self.truth[key]))

    def publish(self, count: int) -> None:
        self._to_broker(self.outbox[:count])
        del self.outbox[:count]

    def publish_and_crash(self, count: int) -> None:
        """The rows stay in the outbox: they will be published again."""
        self._to_broker(self.outbox[:count])

    def _to_broker(self, words: list[Word]) -> None:
        self.log.extend(words)
        self.inbox.extend(words)

    # The process

    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.inbox))):
            word = self.inbox.popleft()
            if word is None:
                self.rig.merge.bus_told_all()
            else:
                self.rig.hear(word)

    def ask(self) -> None:
        """The owner reads what it will tell next."""
        if not self.trying:
            self.rig.merge.owner_begins()
            self.trying = True
        before, whole = ({}, True) if self.read is None else (self.read, False)
        records = [Record(key, each.revision, each) for key, each in self.truth.items()]
        records = [record for record in records if before.get(record.key) != record.message]
        gone = [Record[ControlChanged](key, self.revision, None) for key in before.keys() - self.truth.keys()]
        self.portions.append((records + gone, self.revision, whole))
        self.read = dict(self.truth)

    def answer(self) -> None:
        if not self.portions:
            return
        records, through, whole = self.portions.popleft()
        self.rig.merge.owner_tells(records, through, whole=whole)
        live = {record.key for record in records if record.message is not None}
        for key in NAMES:
            if (whole and key not in live) or any(r.key == key and r.message is None for r in records):
                self.ended[key] = through

    def lose_owner(self) -> None:
        if self.trying:
            self.rig.merge.owner_leaves()
        self.trying, self.read = False, None
        self.portions.clear()

    def wait(self) -> None:
        """Long enough for the owner to have told whatever there was."""
        if self.trying:
            self.ask()
            while self.portions:
                self.answer()
        self.rig.now += 2 * DOUBT_SECONDS

    def restart(self) -> None:
        belief = self.rig.merge.copy()
        self.lose_owner()
        self.rig = Rig(belief, reused=self.reused)
        self.rig.merge.bus_begins()
        replay: dict[str, ControlChanged] = {}
        for key, found in self.log:
            replay.pop(key, None)
            if found is not None:
                replay[key] = found
        self.inbox = deque([*replay.items(), None])

    def check(self) -> None:
        """Nothing that the owner ended is back, unless by what came after."""
        if not self.reused:
            for key, found in self.rig.state.items():
                assert found.revision > self.ended.get(key, 0)


ACTIONS = st.lists(
    st.tuples(st.just("change"), st.sampled_from(NAMES))
    | st.tuples(st.just("change"), st.sampled_from(NAMES), st.sampled_from(NAMES))
    | st.tuples(st.sampled_from(["publish", "publish_and_crash", "deliver"]), st.integers(1, 6))
    | st.tuples(
        st.sampled_from(["ask", "ask", "answer", "answer", "lose_owner", "wait", "renew", "restart"])
    ),
    max_size=60,
)


def play(world: World, actions: list[tuple[str | int, ...]], *without: str) -> None:
    for name, *arguments in actions:
        if name not in without and not (name == "renew" and world.reused):
            getattr(world, str(name))(*arguments)
            world.check()


@settings(max_examples=400, deadline=None, database=None)
@given(actions=ACTIONS, late=st.integers(0, 60), reused=st.booleans())
def test_in_the_end_it_is_what_the_owner_says(
    actions: list[tuple[str | int, ...]], late: int, reused: bool
) -> None:
    world = World(reused)
    play(world, actions)
    world.lose_owner()
    world.deliver(late)
    world.ask()
    world.answer()
    assert world.rig.state == world.truth
    while world.inbox or world.outbox:
        world.publish(1)
        world.deliver(1)
        assert world.rig.state == world.truth


@settings(max_examples=400, deadline=None, database=None)
@given(actions=ACTIONS, reused=st.booleans())
def test_in_the_end_it_is_what_the_bus_says_where_the_owner_is_gone(
    actions: list[tuple[str | int, ...]], reused: bool
) -> None:
    world = World(reused)
    # What comes back as it was, and whose owner leaves before it could say so, waits for the owner.
    play(world, actions, "restart", *(["ask", "wait"] if reused else []))
    world.lose_owner()
    world.publish(len(world.outbox))
    world.deliver(len(world.inbox))
    assert world.rig.state == world.truth


@settings(max_examples=400, deadline=None, database=None)
@given(before=ACTIONS, between=ACTIONS, reused=st.booleans())
def test_a_replay_retires_what_ended_while_nobody_listened(
    before: list[tuple[str | int, ...]], between: list[tuple[str | int, ...]], reused: bool
) -> None:
    world = World(reused)
    play(world, before, "restart")
    world.lose_owner()
    world.publish(len(world.outbox))
    world.deliver(len(world.inbox))
    play(world, between, "restart", "deliver", "ask", "answer", "lose_owner", "wait")
    world.publish(len(world.outbox))
    world.restart()
    world.deliver(len(world.inbox))
    assert world.rig.state == world.truth or not world.truth  # an empty topic says nothing


def test_a_late_retirement_is_not_believed_while_the_owner_knows_better() -> None:
    rig = Rig()
    rig.hear(("a", message("a", 1)))
    rig.follow(3, message("a", 3))
    rig.hear(("a", None))
    assert rig.state == {"a": message("a", 3)}
    rig.hear(("a", message("a", 3)))
    rig.merge.owner_leaves()
    assert rig.state == {"a": message("a", 3)}


def test_a_retirement_that_the_owner_did_not_live_to_confirm_counts() -> None:
    rig = Rig()
    rig.follow(1, message("a", 1))
    rig.hear(("a", message("a", 1)), ("a", None))
    assert rig.state == {"a": message("a", 1)}
    rig.merge.owner_leaves()
    assert rig.state == {}


def test_a_doubt_ends_when_the_owner_had_its_time() -> None:
    rig = Rig()
    rig.follow(1, message("a", 1))
    rig.hear(("a", message("a", 1)), ("a", None))
    rig.now += DOUBT_SECONDS + 1
    rig.merge.owner_tells([], 1, whole=False)
    rig.merge.owner_leaves()
    assert rig.state == {"a": message("a", 1)}


def test_a_key_that_did_not_reach_the_bus_yet_outlives_its_replay() -> None:
    rig = Rig()
    rig.follow(9, message("old", 1), message("new", 9))
    later = Rig(rig.merge.copy())
    later.merge.bus_begins()
    later.hear(("other", message("other", 5)), ("old", message("old", 1)))
    later.merge.bus_told_all()
    assert set(later.state) == {"old", "new"}


def test_a_bus_that_was_just_made_retires_nothing() -> None:
    rig = Rig()
    rig.hear(("a", message("a", 1)))
    later = Rig(rig.merge.copy())
    later.merge.bus_begins()
    later.merge.bus_told_all()
    assert set(later.state) == {"a"}


def test_a_replay_retires_what_is_older_than_its_newest_record() -> None:
    rig = Rig()
    rig.follow(1, message("a", 1))
    later = Rig(rig.merge.copy())
    later.merge.bus_begins()
    later.hear(("other", message("other", 2)))
    later.merge.bus_told_all()
    assert set(later.state) == {"other"}


def test_what_the_bus_tells_of_before_a_retirement_is_refused() -> None:
    rig = Rig()
    rig.hear(("a", message("a", 1)), ("a", message("a", 3)), ("a", None), ("a", message("a", 1)))
    assert rig.state == {}


def test_an_owner_that_is_behind_the_bus_undoes_nothing() -> None:
    rig = Rig()
    rig.hear(("a", message("a", 7)), ("b", message("b", 7)), ("b", None))
    rig.follow(6, message("b", 5))
    assert rig.state == {"a": message("a", 7)}
    rig.merge.owner_tells([Record("a", 6, None)], 6, whole=False)
    assert rig.state == {"a": message("a", 7)}


def test_a_retirement_that_crosses_the_owners_state_is_not_forgotten() -> None:
    rig = Rig()
    rig.hear(("a", message("a", 1)))
    rig.merge.owner_begins()
    rig.hear(("a", None))
    rig.merge.owner_tells([Record("a", 1, message("a", 1))], 1, whole=True)
    rig.merge.owner_leaves()
    assert rig.state == {}


def test_a_key_that_came_and_went_before_it_was_told_is_not_brought_by_the_bus() -> None:
    rig = Rig()
    rig.follow(7)
    rig.merge.owner_tells([Record("a", 9, None)], 7, whole=False)
    rig.hear(("a", message("a", 8)))
    assert rig.state == {}


def test_a_replay_does_not_retire_what_it_held_in_an_older_revision() -> None:
    rig = Rig()
    rig.merge.bus_begins()
    rig.hear(("a", message("a", 3)), ("other", message("other", 6)))
    rig.follow(5, message("a", 5))
    rig.merge.owner_leaves()
    rig.merge.bus_told_all()
    assert set(rig.state) == {"a", "other"}


def test_an_owner_whose_history_was_set_back_is_believed() -> None:
    rig = Rig()
    rig.follow(9, message("a", 1), message("b", 9))
    rig.merge.owner_leaves()
    rig.follow(2, message("a", 2))
    assert rig.state == {"a": message("a", 2)}


def test_a_second_word_of_one_transaction_replaces_the_first() -> None:
    rig = Rig()
    rig.hear(("a", message("a", 1, "first")), ("a", message("a", 1, "second")))
    assert rig.state["a"].api_key.name == "second"


def test_retired_keys_are_remembered_up_to_a_bound() -> None:
    rig = Rig()
    for number in range(MOST_GONE + 10):
        rig.hear((str(number), message(str(number), 1)), (str(number), None))
    assert len(rig.merge.copy().gone) == MOST_GONE


def some_belief() -> Belief[ControlChanged]:
    rig = Rig()
    rig.follow(2, message("a", 1, "α"), message("b", 2))
    rig.merge.owner_leaves()
    rig.hear(("b", message("b", 2)), ("c", message("c", 3)), ("c", None))
    return rig.merge.copy()


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state"
    assert read(path, "hive.control", ControlChanged) is None
    belief = some_belief()
    assert belief.gone == {"c": 3}
    write(path, "hive.control", ControlChanged, Saved(belief, 1.5))
    assert read(path, "hive.control", ControlChanged) == Saved(belief, 1.5)
    write(path, "hive.control", ControlChanged, Saved(Belief(), 2.5))
    assert read(path, "hive.control", ControlChanged) == Saved(Belief(), 2.5)


def test_a_file_that_is_cut_or_changed_anywhere_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write(path, "hive.control", ControlChanged, Saved(some_belief(), 1.5))
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        for content in (whole[:place], bytes(changed)):
            path.write_bytes(content)
            with pytest.raises(CannotRead):
                read(path, "hive.control", ControlChanged)


def test_a_file_of_another_topic_or_kind_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write(path, "hive.control", ControlChanged, Saved(some_belief(), 1.5))
    with pytest.raises(CannotRead, match=r"it holds modelhive\.control\.v1\.ControlChanged of hive\.control"):
        read(path, "hive.other", ControlChanged)
    with pytest.raises(CannotRead):
        read(path, "hive.control", PriceListed)


@settings(max_examples=100, deadline=None, database=None)
@given(actions=ACTIONS)
def test_what_is_kept_is_what_was_believed(actions: list[tuple[str | int, ...]]) -> None:
    world = World(reused=False)
    play(world, actions)
    belief = world.rig.merge.copy()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        write(path, "hive.control", ControlChanged, Saved(belief, 0.0))
        assert read(path, "hive.control", ControlChanged) == Saved(belief, 0.0)

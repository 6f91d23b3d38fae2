"""The files of the journal: what is written is there, whatever happens to the process or to the file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hive_routing.attempts import Attempt
from hive_routing.journal import Journal
from hive_routing.journal.records import MAGIC, Closed, Opened, Scan
from hive_runtime.errors import HiveError, Kind

Make = Callable[..., Attempt]


def reopen(folder: Path, holder: str = "old") -> tuple[Journal, list[Attempt]]:
    reopened = Journal.reopen(folder, holder)
    assert reopened is not None
    reopened[0].shut()
    return reopened


def events(journal: Journal, after: int = 0, limit: int = 1_000_000) -> list[tuple[int, bytes]]:
    return journal.reading(after, limit).events()


def close(journal: Journal, attempt: Attempt) -> None:
    journal.close(attempt.number, b"event %d" % (journal.sequence + 1))


def files(folder: Path, holder: str = "old") -> list[str]:
    return sorted(path.name for path in (folder / holder).glob("*.log"))


def test_events_are_read_back_in_their_order(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old")
    for number in range(1, 301):
        attempt = make_attempt(number)
        journal.open(attempt)
        close(journal, attempt)
    assert journal.sequence == 300
    expected = [(number, b"event %d" % number) for number in range(1, 301)]
    assert events(journal) == expected
    assert events(journal, after=130, limit=7) == expected[130:137]
    assert events(journal, after=300) == []
    journal.shut()
    assert events(reopen(tmp_path)[0], after=299) == expected[299:]


def test_an_open_attempt_comes_back_as_it_was(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old")
    attempts = [make_attempt(1), make_attempt(2, scopes=(), streamed=False), make_attempt(2, call=2)]
    for attempt in attempts:
        journal.open(attempt)
    journal.progress(attempts[0].number, 3, attempts[0].started_ms + 1500, 700_000)
    journal.progress(attempts[0].number, 4, attempts[0].started_ms + 2500, 700_000)
    journal.shut()
    found = reopen(tmp_path)[1]
    attempts[0].delivered, attempts[0].duration_us, attempts[0].first_content_us = 4, 2_500_000, 700_000
    attempts[0].last = attempts[2].last = True  # no later call of the request is known
    assert found == attempts


def test_an_end_is_written_once(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old")
    attempt = make_attempt()
    close(journal, attempt)  # never opened
    journal.open(attempt)
    close(journal, attempt)
    close(journal, attempt)
    journal.progress(attempt.number, 9, 0, None)
    journal.shut()
    again, found = reopen(tmp_path)
    assert (events(again), found) == ([(1, b"event 1")], [])


def test_texts_that_no_file_can_hold_are_mended(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old")
    journal.open(make_attempt(tags=("half \ud83d",)))
    journal.shut()
    assert reopen(tmp_path)[1][0].tags == ("half ?",)


def test_a_journal_in_use_is_not_taken(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "old")
    assert Journal.reopen(tmp_path, "old") is None
    with pytest.raises(FileExistsError):
        Journal.create(tmp_path, "old")
    journal.shut()
    reopen(tmp_path)


@pytest.mark.parametrize("holder", ["", ".hidden", "a/b", "..", "a b"])
def test_a_holder_must_be_able_to_name_a_folder(tmp_path: Path, holder: str) -> None:
    with pytest.raises(ValueError, match="holder"):
        Journal.create(tmp_path, holder)


def test_segments_follow_one_another_without_gap(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old", segment_bytes=2000)
    for number in range(1, 101):
        attempt = make_attempt(number)
        journal.open(attempt)
        close(journal, attempt)
    journal.shut()
    assert len(files(tmp_path)) > 5
    again, found = reopen(tmp_path)
    assert (again.sequence, found) == (100, [])
    assert [sequence for sequence, _ in events(again)] == list(range(1, 101))
    assert [sequence for sequence, _ in events(again, after=41, limit=3)] == [42, 43, 44]


def test_a_segment_goes_when_all_in_it_is_over_and_kept(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old", segment_bytes=2000)
    long = make_attempt(1000)
    journal.open(long)
    for number in range(1, 51):
        attempt = make_attempt(number)
        journal.open(attempt)
        close(journal, attempt)
    assert (
        journal.release(50) == []
    )  # power loss could still take the newest segment, which knows the numbers
    journal.sync()
    assert journal.release(50) == []  # the oldest holds the beginning of one that runs
    close(journal, long)
    journal.sync()
    first, rest = journal.release(30), journal.release(51)
    assert first
    assert rest
    assert [path.name for path in first + rest] == files(tmp_path)[:-1]
    for path in first + rest:
        path.unlink()
    journal.shut()


def test_numbers_go_on_where_only_the_newest_segment_is_left(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old", segment_bytes=2000)
    while len(files(tmp_path)) < 4:
        attempt = make_attempt()
        journal.open(attempt)
        close(journal, attempt)
    sequence = journal.sequence
    journal.shut()
    for name in files(tmp_path)[:-1]:
        (tmp_path / "old" / name).unlink()
    again = reopen(tmp_path)[0]
    assert again.sequence == sequence
    assert sequence in again or events(again) == []
    assert 1 not in again


def story(folder: Path, make_attempt: Make) -> tuple[bytes, list[tuple[int, set[int], list[int]]]]:
    """A segment with attempts that overlap, and at each border of a record what is open and what is closed."""
    journal = Journal.create(folder, "old")
    attempts = [make_attempt(number) for number in range(1, 6)]
    for attempt in attempts[:3]:
        journal.open(attempt)
    journal.progress(attempts[0].number, 3, attempts[0].started_ms + 1000, 5)
    close(journal, attempts[1])
    for attempt in attempts[3:]:
        journal.open(attempt)
    for attempt in (attempts[3], attempts[0]):
        close(journal, attempt)
    journal.shut()
    path = folder / "old" / files(folder)[0]
    borders: list[tuple[int, set[int], list[int]]] = [(0, set(), []), (len(MAGIC), set(), [])]
    opened: set[int] = set()
    closed: list[int] = []
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        for offset, record in Scan(file, len(MAGIC), path.stat().st_size):
            if isinstance(record, Opened):
                opened = opened | {record.number}
            elif isinstance(record, Closed):
                opened = opened - {record.number}
                closed = [*closed, record.sequence]
            borders.append((offset, opened, closed))
    assert closed == [1, 2, 3]
    return path.read_bytes(), borders


def test_cut_at_every_byte_no_whole_record_is_lost_or_made_up(tmp_path: Path, make_attempt: Make) -> None:
    data, borders = story(tmp_path, make_attempt)
    path = tmp_path / "old" / files(tmp_path)[0]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        again, found = reopen(tmp_path)
        _, opened, closed = [border for border in borders if border[0] <= cut][-1]
        assert [attempt.number for attempt in found] == sorted(opened), cut
        assert [sequence for sequence, _ in events(again)] == closed, cut
        assert again.sequence == len(closed), cut


def test_a_byte_that_changed_ends_the_segment_there(tmp_path: Path, make_attempt: Make) -> None:
    data, borders = story(tmp_path, make_attempt)
    path = tmp_path / "old" / files(tmp_path)[0]
    for place in range(0, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        again, found = reopen(tmp_path)
        _, opened, closed = [border for border in borders if border[0] <= place][-1]
        assert [attempt.number for attempt in found] == sorted(opened), place
        assert [sequence for sequence, _ in events(again)] == closed, place


def test_zeros_that_power_loss_leaves_are_no_records(tmp_path: Path, make_attempt: Make) -> None:
    data, borders = story(tmp_path, make_attempt)
    path = tmp_path / "old" / files(tmp_path)[0]
    path.write_bytes(data + bytes(5000))
    again, found = reopen(tmp_path)
    assert {attempt.number for attempt in found} == borders[-1][1]
    assert again.sequence == 3


WRITER = """
import sys
from pathlib import Path
from hive_routing.attempts import Attempt
from hive_routing.journal import Journal
from hive_routing.prices import PriceTag
journal = Journal.create(Path(sys.argv[1]), "old", segment_bytes=20_000)
price = PriceTag("model/small", 1, None)
number = 0
while True:
    number += 1
    attempt = Attempt(f"req_{number}", 1, 1, "t", "k", "chat/completions", "m", "p", "p/m", 1, True, {"prompt": 1},
                      price, price)
    journal.open(attempt)
    print("open", attempt.number, flush=True)
    if number % 3:
        journal.close(attempt.number, b"x" * 50)
        print("close", journal.sequence, flush=True)
"""


def test_what_was_written_survives_kill_minus_nine(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(3000)]
        os.kill(writer.pid, signal.SIGKILL)
        lines += [line for line in writer.stdout if line.endswith(b"\n")]
    opened = {int(line.split()[1]) for line in lines if line.startswith(b"open")}
    closed = {int(line.split()[1]) for line in lines if line.startswith(b"close")}
    again, found = reopen(tmp_path)
    assert closed <= set(range(1, again.sequence + 1)) == {sequence for sequence, _ in events(again)}
    left = {attempt.number for attempt in found}
    never_closed = {number for number in opened if number % 3 == 0}
    assert never_closed <= left <= never_closed | {max(opened), max(opened) + 1}


DISK = """
import resource, sys
from pathlib import Path
from hive_routing.attempts import Attempt
from hive_routing.journal import Journal
from hive_routing.prices import PriceTag
from hive_runtime.errors import HiveError
journal = Journal.create(Path(sys.argv[1]), "old")
path = Path(sys.argv[1]) / "old" / "00000001.log"
price = PriceTag("model/small", 1, None)
def attempt(number):
    return Attempt(f"req_{number}", 1, 1, "t", "k", "chat/completions", "m", "p", "p/m", 1, True, {"prompt": 1},
                   price, price)
def limit(size=resource.RLIM_INFINITY):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def refused():
    try:
        journal.open(attempt(9))
    except HiveError as error:
        return error.kind.label == "unavailable" and error.retry_after == 1
running = [attempt(number) for number in range(4)]
for each in running:
    journal.open(each)
journal.close(running[0].number, b"first")
"""
FULL = """
limit(10)
assert refused() and refused()
journal.progress(running[1].number, 5, 5, None)
journal.close(running[1].number, b"second")
journal.close(running[2].number, b"third")
assert journal.failure and journal.failures and journal.dirty
assert journal.tellable == journal.sequence == 3 and 3 in journal
assert [event for _, event in journal.reading(0, 9).events()] == [b"first", b"second", b"third"]
journal.retry()
assert journal.failure
limit()
journal.retry()
assert not journal.failure
late = attempt(10)
journal.open(late)
journal.close(late.number, b"last")
"""
NEARLY_FULL = """
limit(path.stat().st_size + 30)
assert refused()
limit()
late = attempt(10)
journal.open(late)
for each in (*running[1:3], late):
    journal.close(each.number, {1: b"second", 2: b"third"}.get(each.number - 1, b"last"))
"""


@pytest.mark.parametrize("scenario", [FULL, NEARLY_FULL], ids=["full", "a part fits"])
def test_a_disk_that_refuses_stops_new_calls_and_loses_no_end(tmp_path: Path, scenario: str) -> None:
    command = [sys.executable, "-c", DISK + scenario, str(tmp_path)]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    again, found = reopen(tmp_path)
    assert [event for _, event in events(again)] == [b"first", b"second", b"third", b"last"]
    assert [attempt.request_id for attempt in found] == ["req_3"]


def test_whoever_makes_it_durable_is_woken_for_each_first_write(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old", segment_bytes=700)
    woken: list[bool] = []
    journal.wake = lambda: woken.append(journal.dirty)
    journal.sync()
    for number in range(1, 30):
        attempt = make_attempt(number)
        journal.open(attempt)
        assert woken == [True] * number
        journal.progress(attempt.number, 1, 1, None)
        journal.close(attempt.number, b"x" * 20 * number)  # it fills a segment in some rounds
        assert len(woken) == number
        journal.sync()
        assert not journal.dirty
    assert len(files(tmp_path)) > 5
    journal.shut()


def test_whoever_makes_it_durable_is_woken_where_a_write_fails(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old")
    attempt = make_attempt()
    journal.open(attempt)
    journal.sync()
    woken: list[str] = []
    journal.wake = lambda: woken.append(journal.failure)
    journal.shut()  # from here on nothing can be written
    close(journal, attempt)
    with pytest.raises(HiveError):
        journal.open(make_attempt())
    assert woken == ["the journal is shut"] * 2
    assert journal.dirty


def test_a_shut_journal_takes_nothing_more(tmp_path: Path, make_attempt: Make) -> None:
    journal = Journal.create(tmp_path, "old")
    journal.shut()
    with pytest.raises(HiveError) as caught:
        journal.open(make_attempt())
    assert caught.value.kind is Kind.UNAVAILABLE
    journal.shut()

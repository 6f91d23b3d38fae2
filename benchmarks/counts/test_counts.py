"""What is made of counts: figures by package, and what is off its limit."""

from __future__ import annotations

from pathlib import Path

from benchmarks.counts import limits, measuring
from benchmarks.counts.limits import Finding
from benchmarks.counts.script import SCRIPT, request


def counts(**kinds: dict[str, int]) -> measuring.Counts:
    return {"python": {}, "built in": {}, "opcodes": {}, "loop": {}, **kinds}


def test_calls_are_counted_by_package_and_those_of_the_counter_itself_are_not() -> None:
    python = {
        "/here/services/edge/src/hive_edge/gateway.py:Gateway.answer": 3,
        "/venv/lib/python3.11/site-packages/sqlalchemy/sql/base.py:run": 4,
        "/venv/lib/python3.11/site-packages/six.py:u": 1,
        "/usr/lib/python3.11/asyncio/tasks.py:sleep": 5,
        "/usr/lib/python3.11/json/decoder.py:loads": 6,
        "/here/benchmarks/counts/gateway.py:CountedLoop.call_soon": 70,
    }
    assert {
        name: value for name, value in measuring.figures(counts(python=python)).items() if "calls" in name
    } == {
        "calls, all": 19,
        "calls of hive_edge": 3,
        "calls of sqlalchemy": 4,
        "calls of six": 1,
        "calls of asyncio": 5,
        "calls of python": 6,
    }


def test_calls_of_expensive_functions_are_found_by_name() -> None:
    built_in = {
        "msgspec.json.Decoder.decode": 2,
        "orjson.dumps": 1,
        "msgspec.msgpack.Encoder.encode": 9,
        "google._upb._message.MessageMeta.FromString": 1,
        "modelhive.events.v1.usage_pb2.UsageRecorded.SerializeToString": 1,
        "sqlite3.Cursor.executemany": 3,
        "sqlite3.Connection.commit": 1,
        "_hashlib.openssl_sha256": 1,
        "posix.write": 1,
        "posix.fdatasync": 1,
        "re.Pattern.search": 4,
        "_queue.SimpleQueue.put_nowait": 2,
        "builtins.len": 20,
    }
    loop = {"call_soon": 5, "call_soon_threadsafe": 1, "call_at": 2, "create_task": 1}
    found = measuring.figures(counts(python={"/x.py:f": 1}, **{"built in": built_in}, loop=loop))
    assert {name: found[name] for name in (*measuring.EXPENSIVE, *measuring.LOOP)} == {
        "JSON read or written": 3,
        "protobuf read or written": 2,
        "SQL statements": 3,
        "SQL transactions": 1,
        "file writes": 1,
        "file syncs": 1,
        "hashes": 1,
        "patterns searched": 4,
        "entries to other threads": 2,
        "callbacks scheduled": 6,
        "timers set": 2,
        "tasks made": 1,
    }


def test_a_window_has_what_was_counted_in_it() -> None:
    before, after = counts(python={"a": 2, "b": 1}), counts(python={"a": 5, "b": 1, "c": 1})
    assert measuring.difference(before, after)["python"] == {"a": 3, "c": 1}


def test_what_grows_beyond_its_room_is_found_and_so_is_what_shrinks() -> None:
    allowed = {"chat": {"calls": 1000.0, "tasks": 5.0, "gone": 40.0, "fewer": 200.0, "steady": 100.0}}
    measured = {"chat": {"calls": 1031.0, "tasks": 8.0, "fewer": 190.0, "steady": 103.0, "new": 4.0}}
    found = list(limits.findings(allowed, measured))
    assert found == [
        Finding("chat", "calls", 1031.0, 1000.0),
        Finding("chat", "fewer", 190.0, 200.0),
        Finding("chat", "new", 4.0, None),
        Finding("chat", "gone", 0.0, 40.0),
    ]
    assert [each.grew for each in found] == [True, False, True, False]


def test_limits_are_kept_by_version_of_python(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    assert limits.read("3.11", file) is None
    limits.write("3.11", {"chat": {"calls, all": 1000.4}, "all": {"blocks kept": 2}}, file)
    limits.write("3.12", {"chat": {"calls, all": 900}}, file)
    limits.write("3.12", {"chat": {"calls, all": 800}}, file)
    assert limits.read("3.11", file) == {"chat": {"calls, all": 1001}, "all": {"blocks kept": 2}}
    assert limits.read("3.12", file) == {"chat": {"calls, all": 800}}


def test_bodies_are_new_each_time_but_for_hits() -> None:
    again = {name for name in SCRIPT if request(name, 1) == request(name, 2)}
    assert again == {"hit"}
    assert all(len(request(name, 1)) == len(request(name, 2)) for name in SCRIPT)

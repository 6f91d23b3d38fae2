"""One request per key, whoever asks, however often, and whoever dies; on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, Table, func, inspect, select

from hive_routing.idempotency import Fresh, IdempotencyStore, Record, Replay, Scope, hash_body, tables
from hive_routing.idempotency.records import KEPT_MS, MAX_BODY_BYTES
from hive_routing.stored import tables as stored
from hive_runtime.errors import HiveError, Kind

SCOPE = Scope("key-1", "POST", "/v1/chat/completions", "their-secret-key")
BODY = hash_body(b"{}")
HEADERS = ((b"content-type", b"application/json"), (b"x-hive-cost", b"0.1"))


async def fresh(cluster: Any, store: IdempotencyStore, owner: str = "a", scope: Scope = SCOPE) -> Record:
    claim = await store.claim(scope, BODY, owner, cluster.now_ms)
    assert isinstance(claim, Fresh)
    return claim.record


async def refusal(
    cluster: Any, store: IdempotencyStore, owner: str = "a", body_hash: bytes = BODY
) -> HiveError:
    with pytest.raises(HiveError) as raised:
        await store.claim(SCOPE, body_hash, owner, cluster.now_ms)
    return raised.value


async def replayed(cluster: Any, store: IdempotencyStore, owner: str = "a") -> Replay:
    claim = await store.claim(SCOPE, BODY, owner, cluster.now_ms)
    assert isinstance(claim, Replay)
    return claim


async def count(cluster: Any) -> int:
    async with cluster.database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(tables.records))).scalar() or 0)


async def test_an_answer_is_given_again(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    await store.dispatched(record)
    await store.done(record, 200, HEADERS, (b'{"a":', b"1}"), False)
    again = Replay(200, HEADERS, b'{"a":1}', False)
    assert await replayed(cluster, store) == again
    assert await replayed(cluster, cluster.start("b"), "b") == again
    assert store.running == set() and cluster.asked == []


async def test_a_stream_is_given_again(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    await store.done(record, 200, (), [b"data: 1\n\n", b"data: [DONE]\n\n"], True)
    assert await replayed(cluster, store) == Replay(200, (), b"data: 1\n\ndata: [DONE]\n\n", True)


@pytest.mark.parametrize(
    "other",
    [
        Scope("key-2", SCOPE.method, SCOPE.path, SCOPE.key),
        Scope(SCOPE.key_id, "PUT", SCOPE.path, SCOPE.key),
        Scope(SCOPE.key_id, SCOPE.method, "/v1/embeddings", SCOPE.key),
        Scope(SCOPE.key_id, SCOPE.method, SCOPE.path, "another"),
    ],
)
async def test_other_scopes_have_requests_of_their_own(cluster: Any, other: Scope) -> None:
    store = cluster.start("a")
    await fresh(cluster, store)
    await fresh(cluster, store, scope=other)


async def test_another_body_is_refused_at_every_stage(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    other = hash_body(b'{"a":1}')
    for step in (None, store.dispatched(record), store.done(record, 200, (), (), False)):
        if step is not None:
            await step
        error = await refusal(cluster, store, body_hash=other)
        assert (error.kind, error.param, error.reason) == (
            Kind.INVALID,
            "Idempotency-Key",
            "idempotency_key_reused",
        )


@pytest.mark.parametrize("dispatch", [False, True])
async def test_one_that_runs_is_not_run_again(cluster: Any, dispatch: bool) -> None:
    store, other = cluster.start("a"), cluster.start("b")
    record = await fresh(cluster, store)
    if dispatch:
        await store.dispatched(record)
    for each, owner in ((store, "a"), (other, "b")):
        error = await refusal(cluster, each, owner)
        assert (error.kind, error.retry_after, error.should_retry) == (Kind.CONFLICT, 1, None)
    assert cluster.asked == ["a"], "a process knows by itself what it runs"


async def test_one_that_died_before_it_called_a_provider_is_run_again(cluster: Any) -> None:
    old, new = cluster.start("a"), cluster.start("b")
    record = await fresh(cluster, old)
    cluster.kill("a")
    taken = await fresh(cluster, new, "b")
    assert taken.claim != record.claim
    await new.done(taken, 200, (), (b"new",), False)

    # It was not dead, but cut off.
    with pytest.raises(HiveError) as raised:
        await old.dispatched(record)
    assert (raised.value.kind, raised.value.retry_after) == (Kind.CONFLICT, 1)
    await old.done(record, 200, (), (b"old",), False)
    await old.release(record)
    assert (await replayed(cluster, new, "b")).body == b"new"


async def test_only_one_takes_over(cluster: Any) -> None:
    await fresh(cluster, cluster.start("a"))
    cluster.kill("a")
    stores = [(cluster.start(f"n{number}"), f"n{number}") for number in range(20)]
    claims = await asyncio.gather(
        *(store.claim(SCOPE, BODY, owner, cluster.now_ms) for store, owner in stores), return_exceptions=True
    )
    assert [isinstance(claim, Fresh) for claim in claims].count(True) == 1
    refused = [claim for claim in claims if not isinstance(claim, Fresh)]
    assert {claim.kind for claim in refused if isinstance(claim, HiveError)} == {Kind.CONFLICT}
    assert len(refused) == 19
    assert sum(len(store.running) for store, _ in stores) == 1


async def test_what_became_of_a_call_is_unknown_where_its_process_died(cluster: Any) -> None:
    old, new = cluster.start("a"), cluster.start("b")
    record = await fresh(cluster, old)
    await old.dispatched(record)
    cluster.kill("a")
    for _ in range(2):
        error = await refusal(cluster, new, "b")
        assert (error.kind, error.reason, error.should_retry) == (Kind.INTERNAL, "outcome_unknown", False)
    assert new.running == set()


@pytest.mark.parametrize("dispatch", [False, True])
async def test_one_that_ends_while_it_is_asked_for_is_not_taken_for_lost(
    cluster: Any, dispatch: bool
) -> None:
    """Between the look at its row and the look at its process."""
    store = cluster.start("a")
    record = await fresh(cluster, store)
    if dispatch:
        await store.dispatched(record)

    async def ends_now(owner: str) -> bool:
        await store.done(record, 200, HEADERS, (b"{}",), False)
        return False

    other = IdempotencyStore(cluster.database, ends_now, cluster.clock)
    assert await replayed(cluster, other, "b") == Replay(200, HEADERS, b"{}", False)


async def test_a_request_that_its_own_process_lost_does_not_run(cluster: Any) -> None:
    """The same owner's name, and a store that knows nothing of it."""
    await fresh(cluster, cluster.start("a"))
    await fresh(cluster, cluster.start("a"))
    assert cluster.asked == []


async def test_one_that_is_released_is_run_again(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    await store.dispatched(record)
    await store.release(record)
    await store.release(record)
    assert store.running == set() and await count(cluster) == 0
    await fresh(cluster, store)


async def test_it_can_call_several_providers(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    await store.dispatched(record)
    await store.dispatched(record)


async def test_a_final_error_is_given_again(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    error = HiveError(Kind.INVALID, "Too long.", "messages", reason="context_length_exceeded")
    error.should_retry = False
    error.status = 422
    await store.done_error(record, error)
    for _ in range(2):
        again = await refusal(cluster, store)
        assert vars(again) == vars(error)
    assert store.running == set()


async def test_a_long_answer_is_not_given_again_and_not_run_again(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    await store.done(record, 200, (), (b"x" * MAX_BODY_BYTES, b"x"), True)
    error = await refusal(cluster, store)
    assert (error.kind, error.should_retry) == (Kind.CONFLICT, False)
    assert "too large" in error.message


async def test_the_largest_answer_is_given_again(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    await store.done(record, 200, (), (b"x" * MAX_BODY_BYTES,), True)
    assert len((await replayed(cluster, store)).body) == MAX_BODY_BYTES


async def test_it_is_kept_for_a_day_after_it_was_done(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    cluster.clock.time += 3600
    await store.done(record, 200, (), (b"x",), False)
    done_ms = cluster.now_ms
    assert await store.sweep(done_ms + KEPT_MS - 1) == 0
    cluster.clock.time += KEPT_MS / 1000 - 1
    assert (await replayed(cluster, store)).body == b"x"
    cluster.clock.time += 1
    assert isinstance(await store.claim(SCOPE, hash_body(b"another"), "a", cluster.now_ms), Fresh)
    assert await store.sweep(cluster.now_ms) == 0
    assert await store.sweep(cluster.now_ms + KEPT_MS) == 1
    assert await count(cluster) == 0


async def test_five_hundred_at_a_time(cluster: Any) -> None:
    store, other = cluster.start("a"), cluster.start("b")
    claims = await asyncio.gather(
        *(
            each.claim(SCOPE, BODY, owner, cluster.now_ms)
            for each, owner in [(store, "a"), (other, "b")] * 250
        ),
        return_exceptions=True,
    )
    assert [isinstance(claim, Fresh) for claim in claims].count(True) == 1
    errors = [claim for claim in claims if isinstance(claim, HiveError)]
    assert len(errors) == 499 and {error.kind for error in errors} == {Kind.CONFLICT}
    assert len(store.running | other.running) == 1


async def test_callers_that_leave_while_they_claim_keep_nobody_out(cluster: Any) -> None:
    store = cluster.start("a")
    for turns in range(30):
        task = asyncio.ensure_future(store.claim(SCOPE, BODY, "a", cluster.now_ms))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task])
        if not task.cancelled():
            claim = done.pop().result()
            assert isinstance(claim, Fresh)
            await store.release(claim.record)
    assert store.running == set()
    await fresh(cluster, store)


async def test_nothing_of_the_caller_is_in_the_table_in_clear(cluster: Any) -> None:
    await fresh(cluster, cluster.start("a"))
    async with cluster.database.read() as connection:
        row = (await connection.execute(select(tables.records))).one()
    assert not any(text in str(tuple(row)) for text in (SCOPE.key, SCOPE.key_id, SCOPE.path))


async def test_a_request_that_fails_to_be_kept_counts_as_lost(cluster: Any) -> None:
    store = cluster.start("a")
    record = await fresh(cluster, store)
    await store.dispatched(record)
    task = asyncio.ensure_future(store.done(record, 200, (), (), False))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and store.running == set()
    assert (await refusal(cluster, store)).reason == "outcome_unknown"


async def test_migrated_tables_are_those_of_the_code(cluster: Any) -> None:
    def compare(connection: Connection) -> None:
        for table in [*tables.metadata.sorted_tables, *stored.metadata.sorted_tables]:
            found = Table(table.name, MetaData(), autoload_with=connection)
            assert _shape(found) == _shape(table)
            assert {each.name for each in found.indexes} == {each.name for each in table.indexes}
        kept = {*tables.metadata.tables, *stored.metadata.tables, "alembic_version"}
        assert set(inspect(connection).get_table_names()) == kept

    async with cluster.database.read() as connection:
        await connection.run_sync(compare)


def _shape(table: Table) -> list[tuple[str, bool, bool]]:
    return [(column.name, bool(column.nullable), column.primary_key) for column in table.columns]

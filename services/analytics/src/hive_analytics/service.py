"""Analytics, wired: entered = events are taken and questions answered, left = all that was taken is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from hive_analytics.books import Books
from hive_analytics.consumers import Consumers
from hive_analytics.intake import Intake
from hive_analytics.postings import Postings
from hive_analytics.rollups import Rollups, Waiting
from hive_analytics.rpc import Kept, Questions
from hive_analytics.settings import AnalyticsSettings
from hive_analytics.store import Store, open_store
from hive_bus import Batch
from hive_host import Host
from hive_runtime.errors import HiveError
from modelhive.analytics.v1.questions_pb2_grpc import add_QuestionsServicer_to_server
from modelhive.events.v1.receipts_pb2_grpc import add_ReceiptsServicer_to_server

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 60.0
"""How long the store may fail before the process says that it is not well."""
STOP_SECONDS = 10.0


@asynccontextmanager
async def analytics_service(host: Host, settings: AnalyticsSettings) -> AsyncIterator[None]:
    """The store is opened by the first event, question or receipt. Raises CannotStart."""
    olap, folder = open_store(
        settings.olap_url,
        host.data_dir / "analytics",
        memory_mb=settings.analytics_memory_mb,
        threads=settings.analytics_threads,
        clock=host.clock,
        tasks=host.tasks,
        instance=host.instance,
    )
    store = Store(olap, settings.analytics_question_seconds)
    waiting = Waiting(host.clock)
    intake = Intake(store, waiting, host.clock)
    # On a server there may be others whose rows wait, and others who read what is rolled up.
    rollups = Rollups(
        store, waiting, host.clock, settings.analytics_rollup_seconds, lazily=folder is not None
    )
    books = Books(host.channel("billing"))
    postings = Postings(store, intake, books, host.clock, folder)
    consumers = Consumers(
        Batch(settings.analytics_batch_rows, settings.analytics_batch_seconds), intake, host.clock
    )
    host.serve(
        add_QuestionsServicer_to_server, Questions(store, consumers, rollups, postings, books, host.clock)
    )
    host.serve(add_ReceiptsServicer_to_server, Kept(intake.receipts))

    def complaint() -> str | None:
        since = intake.failing_since
        if since is not None and host.clock.monotonic() - since > PATIENCE_SECONDS:
            return olap.failure or "the store takes nothing"
        return consumers.failure

    host.health.add("analytics", complaint)
    work = [
        host.tasks.spawn(rollups.run(), "analytics rollups"),
        host.tasks.spawn(postings.run(), "analytics postings"),
    ]
    try:
        await consumers.subscribe(host.bus)
        async with host.running():
            yield
    finally:
        await consumers.close()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await _finish(rollups, postings, opened=olap.opened)
        await olap.close()


async def _finish(rollups: Rollups, postings: Postings, *, opened: bool) -> None:
    """What does not get done in time is done at the next start: nothing is lost by it."""
    try:
        if opened:
            async with asyncio.timeout(STOP_SECONDS):
                await rollups.catch_up()
            await asyncio.to_thread(postings.note)
    except (TimeoutError, HiveError, OSError) as error:
        log.warning("rollups are left to the next start", error=repr(error))

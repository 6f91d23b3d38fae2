"""`topics`: make a broker's topics what this release needs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from hive_embedded.cli.output import AsJson, fail, say, say_json
from hive_runtime.settings import HostSettings


def add_to(app: typer.Typer) -> None:
    app.command()(topics)


def topics(
    bootstrap: Annotated[
        str | None, typer.Option(help="Brokers, as `host:port,host:port` or as a URL; default: HIVE_BUS_URL.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Of the topics that processes share; default: 12. Never fewer.")
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(min=1, help="Copies of new topics; default: 3, or as many as there are brokers."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing, add partitions, set what differs. Nothing is ever deleted.

    May be run again at any time, and before every upgrade. Adding partitions moves keys to others: records of one
    key may then be handled out of order until those from before are done.
    """
    try:
        from hive_bus.kafka import BadAddress, TopicsFailed, make_topics
    except ImportError:
        fail("The Kafka client is not installed here: it comes with hive-embedded[cluster].")
    url = bootstrap or HostSettings().bus_url
    if url.startswith("memory:"):
        fail("HIVE_BUS_URL=memory:// has no topics to make: say which brokers are meant with --bootstrap.")
    if "://" not in url:
        url = f"kafka://{url}"
    try:
        steps = asyncio.run(make_topics(url, partitions=partitions, replication=replication, dry_run=dry_run))
    except (BadAddress, TopicsFailed) as error:
        fail(str(error))
    if as_json:
        say_json([{"topic": each.topic, "action": each.action, "detail": each.detail} for each in steps])
        return
    for step in steps:
        say(f"would be {step.words}" if dry_run and step.action != "unchanged" else step.words)

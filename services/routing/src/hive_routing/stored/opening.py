"""Puts together what keeps answers."""

from __future__ import annotations

from typing import NamedTuple

from hive_routing.catalogue import Catalogue
from hive_routing.once import Once
from hive_routing.pipeline import Pipeline
from hive_routing.stored.answering import Answering
from hive_routing.stored.background import Background
from hive_routing.stored.compacting import Compacting
from hive_routing.stored.context import Contexts
from hive_routing.stored.conversations import ConversationStore
from hive_routing.stored.conversing import Conversing
from hive_routing.stored.counting import Counting
from hive_routing.stored.door import WIRES, StoredDoor
from hive_routing.stored.keeping import Keeper
from hive_routing.stored.queue import Queue
from hive_routing.stored.runner import IsAlive, Runner
from hive_routing.stored.store import AnswerStore
from hive_routing.stored.summaries import Summaries
from hive_routing.tokens import TokenCounter
from hive_runtime.clock import Clock
from hive_runtime.sealing import SealingKey
from hive_sql import Database


class Stored(NamedTuple):
    """door: for what comes from clients. runner: has to run so that answers are made in the background."""

    door: StoredDoor
    runner: Runner
    answers: AnswerStore


def open_stored(
    pipeline: Pipeline,
    once: Once,
    catalogue: Catalogue,
    counter: TokenCounter,
    database: Database,
    key: SealingKey,
    owner: str,
    is_alive: IsAlive,
    at_once: int,
    clock: Clock,
) -> Stored:
    """owner, is_alive, at_once: as `Runner` takes them."""
    answers, conversations, queue = AnswerStore(database), ConversationStore(database), Queue(database)
    runner = Runner(pipeline, queue, WIRES, owner, is_alive, at_once, clock)
    background = Background(answers, queue, runner, clock)
    summaries = Summaries(key)
    contexts = Contexts(answers, conversations, summaries)
    keeper = Keeper(answers, conversations, clock)
    answering = Answering(pipeline, once, catalogue, contexts, keeper, background, clock)
    compacting = Compacting(pipeline, contexts, summaries, clock)
    counting = Counting(catalogue, counter, contexts)
    conversing = Conversing(conversations, clock)
    door = StoredDoor(answering, answers, background, conversing, compacting, counting)
    return Stored(door, runner, answers)

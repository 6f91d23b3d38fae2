"""What was believed of a topic, in a file: written whole or not at all, read whole or not at all.

magic · SHA-256 of what follows · `SavedState`
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Generic

from google.protobuf.message import DecodeError

from hive_bus.port import M
from hive_bus.snapshots.merge import Belief, Entry
from modelhive.control.v1.state_pb2 import SavedRecord, SavedState

MAGIC = b"modelhive state 1\n"
_HEAD = len(MAGIC) + sha256().digest_size


class CannotRead(Exception):
    """The file is cut, damaged, or not what it should be."""


@dataclass(frozen=True, slots=True)
class Saved(Generic[M]):
    """saved: when this was the newest state, in Unix seconds."""

    belief: Belief[M]
    saved: float


def read(path: Path, topic: str, kind: type[M]) -> Saved[M] | None:
    """What the file holds; None where there is none. Raises CannotRead and OSError. Blocks."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    body = content[_HEAD:]
    if content[:_HEAD] != MAGIC + sha256(body).digest():
        raise CannotRead(f"{path} is cut or damaged: it is ignored.")
    try:
        return _saved_of(SavedState.FromString(body), topic, kind)
    except (DecodeError, ValueError) as error:
        raise CannotRead(f"{path} cannot be read: it is ignored ({error}).") from error


def write(path: Path, topic: str, kind: type[M], saved: Saved[M]) -> None:
    """Put the file in the place of the one that was there; one call at a time. Raises OSError. Blocks."""
    body = _state_of(topic, kind, saved).SerializeToString()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    # For this user alone: hashes of keys and sealed credentials are in it.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(MAGIC + sha256(body).digest() + body)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _state_of(topic: str, kind: type[M], saved: Saved[M]) -> SavedState:
    belief = saved.belief
    live = [
        SavedRecord(
            key=key,
            revision=entry.revision,
            message=entry.message.SerializeToString(),
            published=entry.published,
        )
        for key, entry in belief.live.items()
    ]
    gone = [SavedRecord(key=key, revision=revision) for key, revision in belief.gone.items()]
    return SavedState(
        topic=topic,
        kind=kind.DESCRIPTOR.full_name,
        through=belief.through if belief.through >= 0 else None,
        saved_unix=saved.saved,
        records=live + gone,
    )


def _saved_of(state: SavedState, topic: str, kind: type[M]) -> Saved[M]:
    if (state.topic, state.kind) != (topic, kind.DESCRIPTOR.full_name):
        raise ValueError(f"it holds {state.kind} of {state.topic}")
    belief = Belief[M](state.through) if state.HasField("through") else Belief[M]()
    for record in state.records:
        if record.HasField("message"):
            message = kind.FromString(record.message)
            belief.live[record.key] = Entry(record.revision, message, record.published)
        else:
            belief.gone[record.key] = record.revision
    return Saved(belief, state.saved_unix)

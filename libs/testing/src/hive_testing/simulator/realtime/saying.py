"""One response of a realtime session on its way: text, or sound with its transcript, or a call of a function."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Protocol

from hive_testing.simulator import tokens
from hive_testing.simulator.realtime.script import Turn

PCM_BYTES_PER_TOKEN = 4_800
"""Of sound that is heard; said, a token has half of it."""


class Talk(Protocol):
    """What a response needs of its session."""

    def tell(self, kind: str, **fields: Any) -> None: ...

    def words(self, turn: Turn) -> tuple[str | None, str]: ...

    def new_item(self, name: str | None) -> dict[str, Any]: ...

    def add_output(self, item: dict[str, Any]) -> None: ...

    def usage(self, said: int, sound: int, turn: Turn) -> dict[str, Any] | None: ...

    def end(self, response: dict[str, Any]) -> None: ...

    def take_until_cancelled(self) -> bool: ...

    def drop(self) -> None: ...

    def close(self, code: int) -> None: ...


@dataclass(slots=True)
class Saying:
    """One response on its way."""

    talk: Talk
    response: dict[str, Any]
    turn: Turn
    wish: dict[str, Any]
    said: int = 0
    sound: int = 0

    def run(self) -> None:
        name, words = self.talk.words(self.turn)
        item = self.talk.new_item(name)
        place = {"response_id": self.response["id"], "output_index": 0}
        self.talk.tell("response.output_item.added", item=item, **place)
        self.talk.tell("conversation.item.added", item=item, previous_item_id=None)
        place |= {"item_id": item["id"]}
        if name is not None:
            whole = self._call(item, words, place)
        else:
            whole = self._say(item, words, place | {"content_index": 0})
        item |= {"status": "completed" if whole else "incomplete"}
        self.talk.add_output(item)
        self.talk.tell("conversation.item.done", item=item, previous_item_id=None)
        self.talk.tell(
            "response.output_item.done", response_id=self.response["id"], output_index=0, item=item
        )
        status = "completed" if whole else "cancelled"
        details = None if whole else {"type": "cancelled", "reason": "client_cancelled"}
        usage = self.talk.usage(self.said, self.sound, self.turn)
        self.talk.end(
            self.response | {"status": status, "status_details": details, "output": [item], "usage": usage}
        )

    def _call(self, item: dict[str, Any], words: str, place: dict[str, Any]) -> bool:
        named = place | {"call_id": item["call_id"]}
        for piece in tokens.split(words):
            self.said += 1
            self.talk.tell("response.function_call_arguments.delta", delta=piece, **named)
        self.talk.tell("response.function_call_arguments.done", arguments=words, name=item["name"], **named)
        item["arguments"] = words
        return True

    def _say(self, item: dict[str, Any], words: str, place: dict[str, Any]) -> bool:
        aloud = "audio" in self.response["output_modalities"]
        part: dict[str, Any] = {"type": "output_audio" if aloud else "output_text"}
        member = "transcript" if aloud else "text"
        spoken = "output_audio_transcript" if aloud else "output_text"
        self.talk.tell("response.content_part.added", part=part | {member: ""}, **place)
        said = ""
        for number, piece in enumerate(tokens.split(words)):
            if not self._goes_on(number):
                break
            said += piece
            self.talk.tell(f"response.{spoken}.delta", delta=piece, **place)
            self._count(aloud, place)
        if aloud:
            self.talk.tell("response.output_audio.done", **place)
        self.talk.tell(f"response.{spoken}.done", **{member: said}, **place)
        self.talk.tell("response.content_part.done", part=part | {member: said}, **place)
        item["content"] = [part | {member: said}]
        return said == words

    def _count(self, aloud: bool, place: dict[str, Any]) -> None:
        """A token of text, or with its sound: a twentieth of a second of it, which is a token too."""
        self.said += 1
        if aloud:
            self.sound += 1
            sound = b64encode(bytes(PCM_BYTES_PER_TOKEN // 2)).decode()
            self.talk.tell("response.output_audio.delta", delta=sound, **place)

    def _goes_on(self, number: int) -> bool:
        turn = self.turn
        if number == turn.drop_after:
            self.talk.drop()
        if number == turn.close_after:
            self.talk.close(turn.code)
        return number != turn.pause_after or not self.talk.take_until_cancelled()

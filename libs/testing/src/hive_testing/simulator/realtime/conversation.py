"""One realtime session, in the order of events in which OpenAI's API has it.

It answers from what it was told alone, and bills what it generates. Silence (sound of zeros only) ends a turn where
the server is to detect turns.
"""

from __future__ import annotations

import itertools
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from hive_testing.simulator import tokens
from hive_testing.simulator.realtime.saying import PCM_BYTES_PER_TOKEN, Saying
from hive_testing.simulator.realtime.script import Heard, Line, Turn


class Conversation:
    """One session. Tokens: of texts four characters each, of sound ten a second heard and twenty a second said."""

    def __init__(
        self,
        connection: ServerConnection,
        heard: Heard,
        next_turn: Callable[[], Turn],
        bill: list[Line],
    ) -> None:
        self._next_turn = next_turn
        self._bill = bill
        self._connection = connection
        self._heard = heard
        self._numbers = itertools.count(1)
        self._session: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": "sess_1",
            "model": heard.model,
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "max_output_tokens": "inf",
            "audio": {
                "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": None},
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy"},
            },
        }
        self._items: list[dict[str, Any]] = []
        self._text = self._sound = 0
        self._buffer = bytearray()
        self._speaking = False

    def run(self) -> None:
        self.tell("session.created", session=self._session)
        for message in self._connection:
            self._take(message)

    def _take(self, message: str | bytes) -> None:
        try:
            event = msgspec.json.decode(message, type=dict[str, Any])
        except msgspec.DecodeError:
            self._fail("invalid_json", "The event is not valid JSON.", None)
            return
        self._heard.events.append(event)
        answer = _ANSWERS.get(event.get("type", ""))
        if answer is None:
            self._fail("invalid_value", f"Invalid value: {event.get('type')!r}.", event, "type")
        else:
            answer(self, event)

    def update(self, event: dict[str, Any]) -> None:
        audio = event["session"].pop("audio", {})
        self._session |= event["session"]
        for side, values in audio.items():
            self._session["audio"][side] |= values
        self._text += tokens.count(event["session"].get("instructions") or "")
        self.tell("session.updated", session=self._session)

    def append(self, event: dict[str, Any]) -> None:
        sound = b64decode(event["audio"])
        detects = self._session["audio"]["input"].get("turn_detection")
        if any(sound):
            self._buffer += sound
            if detects and not self._speaking:
                self._speaking = True
                self.tell("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_next")
        elif detects and self._speaking:
            self._speaking = False
            self.tell("input_audio_buffer.speech_stopped", audio_end_ms=0, item_id="item_next")
            self.commit(event)
            if detects.get("create_response", True):
                self.respond({})

    def commit(self, event: dict[str, Any]) -> None:
        if not self._buffer:
            words = "Error committing input audio buffer: buffer too small."
            self._fail("input_audio_buffer_commit_empty", words, event)
            return
        self._sound += -(-len(self._buffer) // PCM_BYTES_PER_TOKEN)
        self._buffer.clear()
        item = self._item("user", [{"type": "input_audio", "transcript": None}])
        self.tell("input_audio_buffer.committed", item_id=item["id"], previous_item_id=None)
        self._add(item)
        transcription = self._session["audio"]["input"].get("transcription")
        if transcription:
            usage = {"type": "tokens", "input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
            usage["input_token_details"] = {"audio_tokens": 10, "text_tokens": 0}
            self.tell(
                "conversation.item.input_audio_transcription.completed",
                item_id=item["id"],
                content_index=0,
                transcript=transcription.get("prompt") or "what was said",
                usage=usage,
            )

    def clear(self, event: dict[str, Any]) -> None:
        self._buffer.clear()
        self.tell("input_audio_buffer.cleared")

    def create_item(self, event: dict[str, Any]) -> None:
        item: dict[str, Any] = {
            "id": f"item_{next(self._numbers)}",
            "object": "realtime.item",
            "status": "completed",
        }
        item |= event["item"]
        for part in item.get("content") or ():
            self._text += tokens.count(part.get("text") or "")
            self._sound += -(-len(b64decode(part.get("audio") or "")) // PCM_BYTES_PER_TOKEN)
        self._text += tokens.count(item.get("output") or "")
        self._add(item)

    def delete_item(self, event: dict[str, Any]) -> None:
        self._items = [each for each in self._items if each["id"] != event["item_id"]]
        self.tell("conversation.item.deleted", item_id=event["item_id"])

    def retrieve_item(self, event: dict[str, Any]) -> None:
        found = [each for each in self._items if each["id"] == event["item_id"]]
        if found:
            self.tell("conversation.item.retrieved", item=found[0])
        else:
            self._fail("item_retrieve_invalid_item_id", "There is no such item.", event)

    def cancel(self, event: dict[str, Any]) -> None:
        self._fail("response_cancel_not_active", "Cancellation failed: no active response found.", event)

    def respond(self, event: dict[str, Any]) -> None:
        wish = event.get("response") or {}
        turn = self._next_turn()
        number = next(self._numbers)
        response: dict[str, Any] = {
            "id": f"resp_{number}",
            "object": "realtime.response",
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": None if wish.get("conversation") == "none" else "conv_1",
            "output_modalities": wish.get("output_modalities") or self._session["output_modalities"],
            "metadata": wish.get("metadata"),
            "usage": None,
        }
        self.tell("response.created", response=response)
        if turn.fail:
            details = {"type": "failed", "error": {"type": "server_error", "code": "server_error"}}
            self.tell("response.done", response=response | {"status": "failed", "status_details": details})
            return
        Saying(self, response, turn, wish).run()

    # What a response needs of its session

    def words(self, turn: Turn) -> tuple[str | None, str]:
        """The name of a function that is called, if one is, and what is said."""
        last = self._items[-1] if self._items else {}
        tools = self._session["tools"]
        if turn.text is None and tools and last.get("type") == "message":
            return tools[0]["name"], '{"of":"it"}'
        said = "".join(part.get("text") or "" for part in last.get("content") or ())
        return None, turn.text if turn.text is not None else f"Echo: {said or last.get('output') or 'sound'}"

    def take_until_cancelled(self) -> bool:
        """Wait for the client's next events; true once it cancels."""
        for message in self._connection:
            if msgspec.json.decode(message).get("type") == "response.cancel":
                self._heard.events.append(msgspec.json.decode(message))
                return True
            self._take_busy(message)
        raise ConnectionClosed(None, None)

    def _take_busy(self, message: str | bytes) -> None:
        event = msgspec.json.decode(message)
        if event.get("type") == "response.create":
            self._heard.events.append(event)
            words = "Conversation already has an active response in progress."
            self._fail("conversation_already_has_active_response", words, event)
        else:
            self._take(message)

    def usage(self, said: int, sound: int, turn: Turn) -> dict[str, Any] | None:
        """The figures of a response, which go into the context of the next one."""
        if turn.no_usage:
            return None
        usage: dict[str, Any] = {
            "total_tokens": self._text + self._sound + said + sound,
            "input_tokens": self._text + self._sound,
            "output_tokens": said + sound,
            "input_token_details": {
                "text_tokens": self._text,
                "audio_tokens": self._sound,
                "cached_tokens": 0,
                "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0},
            },
            "output_token_details": {"text_tokens": said, "audio_tokens": sound},
        }
        self._text, self._sound = self._text + said, self._sound + sound
        return usage | (turn.usage or {})

    def end(self, response: dict[str, Any]) -> None:
        usage = response["usage"] or {"input_tokens": 0, "output_tokens": 0}
        model = self._heard.model
        counts = (usage["input_tokens"], usage["output_tokens"])
        self._bill.append(Line(model, response["status"], *counts))
        self.tell("response.done", response=response)
        limits = [{"name": "tokens", "limit": 1000, "remaining": 999, "reset_seconds": 1}]
        self.tell("rate_limits.updated", rate_limits=limits)

    def drop(self) -> None:
        """Be gone without a word."""
        self._connection.socket.close()
        raise ConnectionClosed(None, None)

    def close(self, code: int) -> None:
        self._connection.close(code, "as scripted")
        raise ConnectionClosed(None, None)

    def _item(self, role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        number = next(self._numbers)
        return {
            "id": f"item_{number}",
            "object": "realtime.item",
            "type": "message",
            "role": role,
            "content": content,
        }

    def add_output(self, item: dict[str, Any]) -> None:
        self._items.append(item)

    def new_item(self, name: str | None) -> dict[str, Any]:
        if name is None:
            return self._item("assistant", []) | {"status": "in_progress"}
        number = next(self._numbers)
        call = {"type": "function_call", "name": name, "call_id": f"call_{number}", "arguments": ""}
        return {"id": f"item_{number}", "object": "realtime.item", "status": "in_progress", **call}

    def _add(self, item: dict[str, Any]) -> None:
        previous = self._items[-1]["id"] if self._items else None
        self._items.append(item)
        for kind in ("added", "done"):
            self.tell(f"conversation.item.{kind}", item=item, previous_item_id=previous)

    def _fail(self, code: str, message: str, event: dict[str, Any] | None, param: str | None = None) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": param}
        error["event_id"] = event.get("event_id") if event else None
        self.tell("error", error=error)

    def tell(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, "event_id": f"event_{next(self._numbers)}", **fields}
        self._connection.send(msgspec.json.encode(event), text=True)


_ANSWERS: dict[str, Any] = {
    "session.update": Conversation.update,
    "input_audio_buffer.append": Conversation.append,
    "input_audio_buffer.commit": Conversation.commit,
    "input_audio_buffer.clear": Conversation.clear,
    "conversation.item.create": Conversation.create_item,
    "conversation.item.delete": Conversation.delete_item,
    "conversation.item.retrieve": Conversation.retrieve_item,
    "response.create": Conversation.respond,
    "response.cancel": Conversation.cancel,
}

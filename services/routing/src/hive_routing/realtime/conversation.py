"""How long a conversation may have become, in tokens: what the provider stated last, and all that was said since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hive_routing.realtime.events import object_in

MOST_OUTPUT = 4_096
"""Tokens of one response where nobody bounds it: no realtime model gives more."""
IMAGE_MOST = 5_000
PER_ITEM_MOST = 8
"""Marks around an item."""
CHARS_PER_TOKEN = 4
PCM_BYTES_PER_TOKEN = 4_800
"""Of what is heard: 16 bits, 24 kHz, ten tokens a second. What is said takes twice as many tokens."""
NARROW_BYTES_PER_TOKEN = 800
"""The same of 8 bits, 8 kHz."""


@dataclass(slots=True)
class Conversation:
    """text: UTF-8 bytes; audio: bytes of sound; images, items: all since the provider stated `known` tokens.

    settings: bytes of instructions and tools, which every response reads again. is_narrow: sound is of 8 bits.
    hears, speaks: sound comes, sound goes. bound: of a response's output, in tokens.
    """

    known: int = 0
    text: int = 0
    audio: int = 0
    images: int = 0
    items: int = 0
    settings: int = 0
    is_narrow: bool = False
    hears: bool = False
    speaks: bool = True
    bound: int = MOST_OUTPUT
    window: int | None = None
    _stated_settings: int = field(default=0)

    def add_item(self, item: Any) -> None:
        """An item that the client put in."""
        self.items += 1
        content = item.get("content") if isinstance(item, dict) else None
        if not isinstance(content, list):
            self.text += len(msgspec.json.encode(item))
            return
        for part in content:
            self._add_part(part if isinstance(part, dict) else {})

    def add_audio(self, base64: int) -> None:
        """So many characters of base64 were heard."""
        self.hears = True
        self.audio += base64 * 3 // 4

    def set_up(self, session: Mapping[str, Any]) -> None:
        """The settings as the provider has them from now on."""
        tools, instructions = session.get("tools"), session.get("instructions")
        self.settings = len(msgspec.json.encode(tools)) if tools else 0
        self.settings += len(instructions.encode()) if isinstance(instructions, str) else 0
        kinds = session.get("output_modalities") or session.get("modalities")
        if isinstance(kinds, list):
            self.speaks = "audio" in kinds
        most = session.get("max_output_tokens", session.get("max_response_output_tokens"))
        self.bound = most if type(most) is int and 0 < most <= MOST_OUTPUT else MOST_OUTPUT
        self.is_narrow = _is_narrow(session)

    def settle(self, tokens: int) -> None:
        """A response of this conversation ended: so many tokens are in it now."""
        self.known, self.text, self.audio, self.images, self.items = tokens, 0, 0, 0, 0
        self._stated_settings = self.settings

    @property
    def most(self) -> int:
        """Tokens at the most: no tokenizer makes more of a text than it has bytes."""
        added = self.text + max(0, self.settings - self._stated_settings)
        marks = PER_ITEM_MOST * (self.items + 1)
        return self._within(self.known + added + marks + self._audio + self.images * IMAGE_MOST)

    @property
    def likely(self) -> int:
        """Tokens as they are counted where the provider states nothing."""
        added = self.text + max(0, self.settings - self._stated_settings)
        return self._within(
            self.known + -(-added // CHARS_PER_TOKEN) + self._audio + self.images * IMAGE_MOST
        )

    @property
    def sound(self) -> int:
        """Tokens of sound, of those that were added."""
        return self._audio

    def spoken(self, base64: int) -> int:
        """Tokens of sound that was given out."""
        return -(-2 * (base64 * 3 // 4) // self._bytes_per_token)

    @property
    def _audio(self) -> int:
        return -(-self.audio // self._bytes_per_token)

    @property
    def _bytes_per_token(self) -> int:
        return NARROW_BYTES_PER_TOKEN if self.is_narrow else PCM_BYTES_PER_TOKEN

    def _within(self, tokens: int) -> int:
        return tokens if self.window is None else min(tokens, self.window)

    def _add_part(self, part: Mapping[str, Any]) -> None:
        if isinstance(part.get("audio"), str):
            self.add_audio(len(part["audio"]))
        elif part.get("type") == "input_image":
            self.images += 1
        elif isinstance(said := part.get("text") or part.get("transcript"), str):
            self.text += len(said.encode())
        else:
            self.text += len(msgspec.json.encode(part))


def _is_narrow(session: Mapping[str, Any]) -> bool:
    older = session.get("input_audio_format"), session.get("output_audio_format")
    newer = (object_in(session, "audio", side, "format").get("type") for side in ("input", "output"))
    return any(
        str(each).rpartition("/")[2] in ("pcmu", "pcma", "g711_ulaw", "g711_alaw")
        for each in (*older, *newer)
    )

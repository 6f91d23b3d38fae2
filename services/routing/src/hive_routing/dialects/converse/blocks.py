"""Parts of a prompt, written as content blocks of Converse."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from hive_routing.dialects.converse.families import Family
from hive_routing.dialects.converse.formats import FORMATS
from hive_routing.dialects.converse.parts import NAME, Block
from hive_routing.dialects.form import CacheMark, Call, Media, Opaque, Part, Refusal, Result, Text, Thinking
from hive_routing.dialects.messages.blocks import input_of
from hive_routing.dialects.port import refuse
from hive_routing.dialects.seals import own

_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_DOCUMENT_NAME = re.compile(r"(?=.{1,200}$)[a-zA-Z0-9()\[\]-]+(?: [a-zA-Z0-9()\[\]-]+)*")
_KINDS = {"image": "An image", "document": "A document", "audio": "Sound", "video": "A film"}


class BlockWriter:
    """Writes the blocks of one prompt; every document in it gets a name of its own."""

    def __init__(self, family: Family, is_own: bool) -> None:
        """is_own: the prompt was read in this dialect, and is written back as it was, for Amazon to judge."""
        self._family = family
        self._is_own = is_own
        self._names: set[str] = set()
        self._unnamed = 0

    def blocks(self, parts: Iterable[Part]) -> list[Block]:
        """Raises Untranslatable. Text of spaces, which Converse refuses, is left out beside other parts."""
        parts = list(parts)
        if not self._is_own and not all(map(_is_blank, parts)):
            parts = [part for part in parts if not _is_blank(part)]
        return [block for part in parts for block in self._written(part)]

    def mark(self, mark: CacheMark | None) -> Iterator[Block]:
        """The cache point for a mark: a hint, which models that keep nothing would refuse."""
        if mark is not None and (self._is_own or self._family.caches):
            yield {"cachePoint": {"type": "default"} | ({} if mark.ttl is None else {"ttl": mark.ttl})}

    def _written(self, part: Part) -> Iterator[Block]:
        match part:
            case Text(text):
                yield {"text": text}
            case Refusal(text):
                yield from [{"text": text}] if text else []
            case Media():
                yield {part.kind: self._media(part)}
            case Call(id, name, arguments):
                yield {"toolUse": {"toolUseId": call_id(id), "name": name, "input": input_of(arguments)}}
            case Result():
                yield {"toolResult": self._result(part)}
            case Thinking():
                yield from _thinking(part)
            case Opaque(dialect, kind, value):
                if dialect != NAME:
                    refuse("messages", f"A part of type `{kind}`", NAME)
                yield {kind: value}
        if isinstance(part, Text | Media | Call | Result):
            yield from self.mark(part.cache)

    def _result(self, result: Result) -> Block:
        parts = [part for part in result.parts if self._is_own or not _is_blank(part)]
        content = self.blocks(parts)
        if any("audio" in block for block in content):
            refuse("messages", "Sound in the result of a tool", NAME)
        written: Block = {"toolUseId": call_id(result.call_id), "content": content}
        if result.is_error and (self._is_own or self._family.says_errors):
            written["status"] = "error"
        elif result.is_error:
            _say_error(content)
        return written

    def _media(self, media: Media) -> Block:
        source = _source(media)
        written: Block = {"format": self._format(media), "source": source}
        if media.kind == "document":
            written["name"] = self._name(media.name)
            if media.context is not None:
                written["context"] = media.context
        return written

    def _format(self, media: Media) -> str:
        format = FORMATS[media.kind].get((media.mime or "").partition(";")[0].strip().lower())
        if format is None:
            refuse("messages", f"{_KINDS[media.kind]} of {_type(media)}", NAME)
        return format

    def _name(self, name: str | None) -> str:
        """The given one where Converse takes it: two documents of one name, or some characters, it does not."""
        if name is not None and self._is_own:
            return name
        while name is None or name in self._names or not _DOCUMENT_NAME.fullmatch(name):
            self._unnamed += 1
            name = f"document-{self._unnamed}"
        self._names.add(name)
        return name


def call_id(id: str) -> str:
    """Of a call. One that Converse would refuse is replaced, by the same one wherever it occurs."""
    if _ID.fullmatch(id):
        return id
    return f"call_{hashlib.blake2b(id.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"


def _thinking(part: Thinking) -> Iterator[Block]:
    """Only what was sealed here: nothing else could be verified."""
    signature, redacted = own(part.seal, NAME, "signature"), own(part.seal, NAME, "redacted")
    if redacted is not None:
        yield {"reasoningContent": {"redactedContent": redacted}}
    elif signature is not None:
        yield {"reasoningContent": {"reasoningText": {"text": part.text, "signature": signature}}}


def _say_error(content: list[Block]) -> None:
    """In words, as models whose results have no status have to be told."""
    if content and "text" in content[0]:
        content[0] = {"text": f"Error: {content[0]['text']}"}
    else:
        content.insert(0, {"text": "Error:"})


def _source(media: Media) -> Block:
    if media.data is not None:
        return {"bytes": media.data}
    if media.url is None or not media.url.startswith("s3://"):
        place = "at an address" if media.url is not None else "that another provider keeps"
        refuse("messages", f"{_KINDS[media.kind]} {place}, not sent along,", NAME)
    return {"s3Location": {"uri": media.url}}


def _type(media: Media) -> str:
    return f"type `{media.mime}`" if media.mime else "a type that is not said"


def _is_blank(part: Part) -> bool:
    return isinstance(part, Text) and not part.text.strip()

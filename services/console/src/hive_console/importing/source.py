"""Reads LiteLLM's configuration file with the files that it includes, and what its management API answered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hive_console.configuration import ConfigurationError
from hive_console.problems import Problem


def read_source(path: Path) -> Mapping[str, Any]:
    """The file's mapping with what it includes: lists are joined, of other values the file's own counts.

    Blocks on the files. Raises ConfigurationError, which never shows what stands in them.
    """
    return _read(path, path, ())


def read_answer(path: Path) -> object:
    """What LiteLLM's management API answered and somebody saved. Blocks on the file; raises ConfigurationError."""
    try:
        return msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(path, [Problem("", f"cannot be read: {type(error).__name__}")]) from None
    except msgspec.DecodeError:
        raise ConfigurationError(path, [Problem("", "is not JSON")]) from None


def _read(path: Path, first: Path, above: tuple[Path, ...]) -> Mapping[str, Any]:
    if path.resolve() in above:
        raise ConfigurationError(first, [Problem("include", f"{path.name} includes itself")])
    own = _mapping(path, first)
    included = own.pop("include", None) or []
    for name in included if isinstance(included, list) else [included]:
        more = _read(path.parent / str(name), first, (*above, path.resolve()))
        own = {**more, **own, **_joined(own, more)}
    return own


def _joined(own: Mapping[str, Any], more: Mapping[str, Any]) -> Mapping[str, Any]:
    """Members that both have, where both are lists or both are mappings."""
    joined: dict[str, Any] = {}
    for name in own.keys() & more.keys():
        mine, theirs = own[name], more[name]
        if isinstance(mine, list) and isinstance(theirs, list):
            joined[name] = [*mine, *theirs]
        elif isinstance(mine, dict) and isinstance(theirs, dict):
            joined[name] = theirs | mine
    return joined


def _mapping(path: Path, first: Path) -> dict[str, Any]:
    place = "" if path == first else f"include: {path.name}"
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(first, [Problem(place, "there is no such file")]) from None
    except (OSError, UnicodeDecodeError) as error:
        said = f"cannot be read: {type(error).__name__}"
        raise ConfigurationError(first, [Problem(place, said)]) from None
    except yaml.YAMLError as error:
        # The parser's own text quotes the line, which may hold a secret.
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        line = "" if mark is None else f" (line {mark.line + 1})"
        raise ConfigurationError(first, [Problem(place, f"is not YAML{line}")]) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigurationError(first, [Problem(place, "must be a mapping, with `model_list` in it")])
    return tree

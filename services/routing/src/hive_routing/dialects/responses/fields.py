"""What is wrong in a client's body, in words that name the field as a path."""

from __future__ import annotations

import re

import msgspec

from hive_runtime.errors import HiveError, Kind

_WHERE = re.compile(r" - at `(?:key` in `)?\$([^`]*)`$")


class Misfit(msgspec.ValidationError):
    """A value that is not as it has to be. path: where it stands, from where its reader began."""

    def __init__(self, problem: str, path: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path


def misfit(error: Exception, path: str) -> Misfit:
    """The same error, seen from further outside."""
    if isinstance(error, Misfit):
        return Misfit(error.problem, _joined(path, error.path))
    match = _WHERE.search(str(error))
    problem = _WHERE.sub("", str(error))
    return Misfit(problem, _joined(path, match[1].removeprefix(".") if match else ""))


def refused(error: Exception, path: str = "") -> HiveError:
    """The 400 for it."""
    found = misfit(error, path)
    return invalid(found.path, f"`{found.path}` cannot be read: {found.problem}.")


def invalid(param: str, message: str) -> HiveError:
    return HiveError(Kind.INVALID, message, param)


def _joined(outer: str, inner: str) -> str:
    between = "." if outer and inner and not inner.startswith("[") else ""
    return f"{outer}{between}{inner}"

"""The tree of errors that a caller may want to catch.

    GridloomError
    |-- BadInput (ValueError)        the caller's data or settings are wrong
    |   |-- UnknownId (KeyError)     an id that is not in the table
    |   `-- Malformed                bytes or a file that do not follow their format
    |-- Refused (PermissionError)    the platform understood and will not do it
    `-- Unavailable (RuntimeError)   a part that is needed is not there (server, library, file)

Every error carries its values as attributes; its text names the thing, the value, the limit and the way out.
A solver that does not converge is not an error: it returns a result that says so.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class GridloomError(Exception):
    """Base of every error that a caller may want to catch."""


class BadInput(GridloomError, ValueError):
    """The caller's data or settings are wrong."""


class UnknownId(BadInput, KeyError):
    """An id that is not in the table it was looked up in."""

    def __init__(self, kind: str, id_: str, known: Iterable[str] = ()) -> None:
        """Name the missing `id_` of a `kind` (`bus`, `switch`, ...) and the nearest known ids."""
        self.kind, self.id = kind, id_
        self.near = tuple(get_close_matches(id_, list(known), n=3, cutoff=0.5))
        hint = f"; nearest: {', '.join(self.near)}" if self.near else ""
        super().__init__(f"no {kind} with id {id_!r}{hint}")

    def __str__(self) -> str:
        """Return the message without the quotes that `KeyError` would add."""
        return str(self.args[0])


class Malformed(BadInput):
    """Bytes or a file that do not follow their format."""


class Refused(GridloomError, PermissionError):
    """The platform understood the request and will not carry it out."""


class Unavailable(GridloomError, RuntimeError):
    """A part that is needed is not there: a server, a library, a file."""

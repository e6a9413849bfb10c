"""How a table of the grid is made: columns declared once with type, unit, default and meaning.

A table is a frozen dataclass of equally long numpy columns. Ids are the user's own strings; rows are integers,
and every reference from one table to another is a row. Columns are read-only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from gridloom.core.errors import BadInput, UnknownId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

type Floats = NDArray[np.float64]
type Rows = NDArray[np.int64]
type Flags = NDArray[np.bool_]
type Texts = NDArray[np.object_]


def column(kind: str, unit: str, meaning: str, default: float | bool | str | None = None) -> Any:  # noqa: ANN401, FBT001 - a dataclass field may stand for any column type
    """Declare a column.

    Args:
        kind: `text`, `float`, `row`, `int` or `flag`.
        unit: Unit as shown to people, or an empty string.
        meaning: One line for the reference.
        default: Value of every row when the column is not given; without one the column is required.
    """
    meta = {"kind": kind, "unit": unit, "meaning": meaning, "default": default}
    if default is None:
        return field(metadata=meta)
    return field(default=None, metadata=meta)


def texts(values: Iterable[str]) -> Texts:
    """Return a column of texts."""
    return np.array(list(values), dtype=object)


_DTYPES: Mapping[str, Any] = {
    "text": np.object_,
    "float": np.float64,
    "row": np.int64,
    "int": np.int64,
    "flag": np.bool_,
}


def _read(value: Any, kind: str, dtype: Any) -> NDArray[Any]:  # noqa: ANN401 - whatever the caller gave
    """Return a column's values in their type; numpy alone would cut 0.7 to row 0 and take None for a text."""
    if kind in {"row", "int"} and np.asarray(value).dtype.kind == "f":
        numbers = np.asarray(value)
        broken = numbers[numbers != np.round(numbers)]
        if broken.size:
            raise ValueError(f"{broken[0]} is not a whole number")
    array = np.array(value, dtype=dtype, ndmin=1)
    if kind == "text":
        for item in array.flat:
            if not isinstance(item, str):
                raise TypeError(f"{item!r} is not a text")
    return array


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Base of all tables: an id column and whatever the subclass declares."""

    id: Texts = column("text", "", "the user's own id, unique in its table")

    def __post_init__(self) -> None:
        """Bring each column to its type and length, and make it read-only."""
        n = len(np.atleast_1d(np.asarray(self.id, dtype=object)))
        for spec in fields(self):
            object.__setattr__(self, spec.name, self._column(spec.name, spec.metadata, n))
        twice = [id_ for id_, count in Counter(self.id.tolist()).items() if count > 1]
        if twice:
            times = self.id.tolist().count(twice[0])
            message = f"{self.title()}: id {twice[0]!r} stands {times} times; ids must be unique"
            raise BadInput(message)

    def _column(self, name: str, meta: Mapping[str, Any], n: int) -> NDArray[Any]:
        value = getattr(self, name)
        dtype = _DTYPES[meta["kind"]]
        if value is None:
            value = np.full(n, meta["default"], dtype=dtype)
        try:
            array = _read(value, meta["kind"], dtype)
        except (TypeError, ValueError, OverflowError) as error:
            message = f"{self.title()}: column {name} cannot be read as {meta['kind']}: {error}"
            raise BadInput(message) from error
        if array.shape != (n,):
            message = f"{self.title()}: column {name} has {array.shape[0]} rows, id has {n}"
            raise BadInput(message)
        array.flags.writeable = False
        return array

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.id)

    @classmethod
    def title(cls) -> str:
        """Return the table's name as people read it."""
        return cls.__name__

    @classmethod
    def empty(cls) -> Self:
        """Return a table without rows."""
        blank: dict[str, Any] = {spec.name: [] for spec in fields(cls)}
        return cls(**blank)

    @classmethod
    def column_names(cls) -> tuple[str, ...]:
        """Return the names of all columns, `id` first."""
        return tuple(spec.name for spec in fields(cls))

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.id.tolist())}

    def __contains__(self, id_: object) -> bool:
        """Return whether `id_` is in the table."""
        return id_ in self._row_of

    def row(self, id_: str) -> int:
        """Return the row of `id_`, or raise `UnknownId` naming near ids."""
        try:
            return self._row_of[id_]
        except KeyError:
            raise UnknownId(_singular(self.title()), id_, self._row_of) from None

    def rows(self, ids: Iterable[str]) -> Rows:
        """Return the rows of `ids`, in their order."""
        return np.fromiter((self.row(id_) for id_ in ids), dtype=np.int64)

    def with_columns(self, **columns: Any) -> Self:  # noqa: ANN401 - a sequence of any column type
        """Return a copy with some columns replaced; the others are shared.

        Raises:
            BadInput: If a column is unknown, has another length or cannot be read as its type.
        """
        specs = {spec.name: spec.metadata for spec in fields(self)}
        unknown = sorted(columns.keys() - specs.keys())
        if unknown:
            message = f"{self.title()} has no column {unknown[0]!r}; it has {', '.join(specs)}"
            raise BadInput(message)
        if "id" in columns:
            return replace(self, **columns)
        # What did not change was checked before: a new switch position must not cost a new check of all ids.
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(columns)
        for name in columns:
            copy.__dict__[name] = copy._column(name, specs[name], len(self))
        return copy

    def take(self, rows: Rows | Flags) -> Self:
        """Return a table of some `rows` (or of a mask); references are not renumbered."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.column_names()})


def _singular(title: str) -> str:
    """Return the word for one row of a table: `Buses` -> `bus`, `Lines` -> `line`."""
    word = title.lower()
    return word[:-2] if word.endswith(("ses", "ches")) else word.removesuffix("s")

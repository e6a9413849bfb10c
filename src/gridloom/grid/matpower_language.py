"""The part of MATLAB that MATPOWER case files use: matrices of numbers, then arithmetic on their columns.

Distribution cases store ohm and kW and convert them in code at the end of the file; reading the matrices alone gives
impedances thousands of times too large. A statement that changes a matrix and cannot be evaluated is an error, not
skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridloom.core.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

type Number = NDArray[np.float64]
"""A scalar has no dimension; a matrix two."""

_COLUMN_NUMBERS = {
    "idx_bus": [1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
    "idx_brch": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 12, 13, 20, 21],
    "idx_gen": [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        22,
        23,
        24,
        25,
        11,
        12,
        13,
        14,
        15,
        16,
        17,
        18,
        19,
        20,
        21,
    ],
}
"""What MATPOWER's index functions return, in order."""
_FUNCTIONS: dict[str, Callable[[Number], Number]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sqrt": np.sqrt,
    "abs": np.abs,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*(?:\.\w+)?)|(?P<sign>\.[*/^]|[-+*/^(),:\[\]]))"
)
_MAX_DEPTH = 50


@dataclass
class Case:
    """What a case file holds after its code ran."""

    scalars: dict[str, float] = field(default_factory=dict)
    matrices: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    """Fields that are not numbers (names, costs in cells)."""


def run_case_file(text: str) -> Case:
    """Return what the case file `text` holds after its own conversions.

    Raises:
        Malformed: If a matrix or a statement cannot be read; the message names the line.
    """
    case = Case()
    skipping = 0
    for line, statement in _statements(text):
        try:
            skipping = _run(statement, case, skipping)
        except Malformed as error:
            message = f"line {line}: {error}"
            raise Malformed(message) from None
    return case


def _run(statement: str, case: Case, skipping: int) -> int:
    """Run one statement; return how many skipped blocks it lies in."""
    word = statement.split(None, 1)[0] if statement else ""
    if word in {"if", "for", "while"}:
        return skipping + int(skipping > 0 or not _holds(statement.removeprefix(word), case, word))
    if word in {"end", "endfunction"}:
        return max(0, skipping - 1)
    if word in {"else", "elseif"}:
        message = "branches of an if are not read; convert the file with MATPOWER first"
        raise Malformed(message)
    if not skipping and word not in {"function", "return", "define_constants"}:
        _assign(statement, case)
    return skipping


def _holds(condition: str, case: Case, word: str) -> bool:
    if word != "if":
        message = f"{word} loops are not read; convert the file with MATPOWER first"
        raise Malformed(message)
    return bool(np.all(_Expression(condition, case).value() != 0.0))


def _assign(statement: str, case: Case) -> None:
    target, sign, source = statement.partition("=")
    target, source = target.strip(), source.strip()
    if not sign:
        message = f"{statement[:60]!r} is not an assignment"
        raise Malformed(message)
    if target.startswith("["):
        _name_columns(target, source, case)
    elif source.startswith("[") and re.fullmatch(r"mpc\.\w+", target):
        case.matrices[target.removeprefix("mpc.")] = _matrix(source)
    elif source.startswith(("{", "'", '"', "struct")):
        case.ignored.append(target.removeprefix("mpc."))
    elif "(" in target:
        _assign_part(target, _Expression(source, case).value(), case)
    else:
        value = _Expression(source, case).value()
        if value.ndim:
            message = (
                f"{target} is given a matrix; only parts of bus, branch and gen can be computed"
            )
            raise Malformed(message)
        case.scalars[target] = float(value)


def _name_columns(target: str, source: str, case: Case) -> None:
    if source not in _COLUMN_NUMBERS:
        message = f"{source[:40]!r} is not one of {', '.join(_COLUMN_NUMBERS)}"
        raise Malformed(message)
    names = re.findall(r"\w+", target)
    case.scalars |= dict(zip(names, map(float, _COLUMN_NUMBERS[source]), strict=False))


def _matrix(text: str) -> NDArray[np.float64]:
    if not text.endswith("]"):
        message = "a matrix is not closed; the file seems cut short"
        raise Malformed(message)
    rows = [row.replace(",", " ").split() for row in re.split(r"[;\n]", text[1:-1])]
    rows = [row for row in rows if row]
    width = len(rows[0]) if rows else 0
    ragged = next((row for row in rows if len(row) != width), None)
    if ragged is not None:
        message = f"a row of the matrix has {len(ragged)} numbers, the first has {width}: {' '.join(ragged)[:60]}"
        raise Malformed(message)
    numbers = np.array([[_number(word) for word in row] for row in rows], dtype=np.float64)
    return numbers.reshape(len(rows), width)


def _number(word: str) -> float:
    """Return a matrix entry, which may be a small sum of its own (`135/sqrt(3)`)."""
    try:
        return float(word)
    except ValueError:
        return float(_Expression(word, Case()).value())


def _assign_part(target: str, value: Number, case: Case) -> None:
    part = _Part.parse(target, case)
    try:
        part.matrix[np.ix_(part.rows, part.columns)] = value
    except ValueError as error:
        message = f"{target}: {error}"
        raise Malformed(message) from None


@dataclass
class _Part:
    """Rows and columns of a matrix, as in `mpc.bus(:, [PD QD])`."""

    matrix: NDArray[np.float64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def parse(cls, text: str, case: Case) -> _Part:
        expression = _Expression(text, case)
        name = expression.take("name")
        part = expression.part_of(name)
        expression.expect_end()
        return part


class _Expression:
    """One right-hand side, read from left to right by precedence."""

    def __init__(self, text: str, case: Case) -> None:
        self._text, self._case = text, case
        self._tokens = list(self._split(text))
        self._at = 0
        self._depth = 0

    @staticmethod
    def _split(text: str) -> Iterator[tuple[str, str]]:
        at, text = 0, text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                message = f"{text[:60]!r} cannot be evaluated"
                raise Malformed(message)
            yield found.lastgroup, found[found.lastgroup]
            at = found.end()

    def value(self) -> Number:
        """Return the value of the whole expression."""
        with np.errstate(all="ignore"):
            value = self._sum()
        self.expect_end()
        return value

    def expect_end(self) -> None:
        """Refuse anything left over."""
        if self._at != len(self._tokens):
            self._fail()

    def take(self, kind: str) -> str:
        """Return the next token, which must be of `kind`."""
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            self._fail()
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _fail(self) -> None:
        message = f"{self._text[:60]!r} cannot be evaluated"
        raise Malformed(message)

    def _next_is(self, *signs: str) -> str:
        """Return the next sign if it is one of `signs`, and step over it; else an empty text."""
        if self._at < len(self._tokens) and self._tokens[self._at][1] in signs:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return ""

    def _expect(self, sign: str) -> None:
        if not self._next_is(sign):
            self._fail()

    def _sum(self) -> Number:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail()
        value = self._product()
        while sign := self._next_is("+", "-"):
            other = self._product()
            value = value + other if sign == "+" else value - other
        self._depth -= 1
        return value

    def _product(self) -> Number:
        value = self._signed()
        while sign := self._next_is("*", "/", ".*", "./"):
            other = self._signed()
            if sign == "*" and value.ndim and other.ndim:
                self._fail()
            if sign == "/" and other.ndim:
                self._fail()
            value = value * other if "*" in sign else value / other
        return value

    def _signed(self) -> Number:
        negative = False
        while sign := self._next_is("-", "+"):
            negative ^= sign == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> Number:
        value = self._atom()
        while self._next_is("^", ".^"):
            negative = bool(self._next_is("-"))
            exponent = self._atom()
            value = value ** (-exponent if negative else exponent)
        return value

    def _atom(self) -> Number:
        if self._next_is("("):
            value = self._sum()
            self._expect(")")
            return value
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "number":
            return np.float64(self.take("number"))  # type: ignore[return-value]  # a scalar array in all but name
        name = self.take("name")
        if name in _FUNCTIONS:
            self._expect("(")
            value = _FUNCTIONS[name](self._sum())
            self._expect(")")
            return value
        if name.removeprefix("mpc.") in self._case.matrices:
            part = self.part_of(name)
            value = part.matrix[np.ix_(part.rows, part.columns)]
            return value.reshape(()) if value.size == 1 else value
        if name not in self._case.scalars:
            message = f"{name!r} is not known here"
            raise Malformed(message)
        return np.float64(self._case.scalars[name])  # type: ignore[return-value]  # as above

    def part_of(self, name: str) -> _Part:
        """Return the part of matrix `name` that the next tokens in brackets name."""
        matrix = self._case.matrices.get(name.removeprefix("mpc."))
        if matrix is None:
            message = f"there is no matrix {name}"
            raise Malformed(message)
        self._expect("(")
        rows = self._subscript(matrix.shape[0])
        self._expect(",")
        columns = self._subscript(matrix.shape[1])
        self._expect(")")
        return _Part(matrix, rows, columns)

    def _subscript(self, size: int) -> NDArray[np.int64]:
        if self._next_is(":"):
            return np.arange(size)
        values: list[float] = []
        if self._next_is("["):
            while not self._next_is("]"):
                values.append(float(self._atom()))
                self._next_is(",")
        else:
            values.append(float(self._sum()))
        rows = np.array(values)
        if not np.all((rows == np.round(rows)) & (rows >= 1) & (rows <= size)):
            message = f"{self._text[:60]!r} points outside a matrix of {size}"
            raise Malformed(message)
        return rows.astype(np.int64) - 1


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and text of each statement, without comments, split at `;` and at line ends."""
    depth, start, statement = 0, 1, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line, continued = _without_comment(raw)
        start = start if statement.strip() else number
        for piece, change in _pieces(line):
            depth = max(0, depth + change)
            if piece not in {";", ","} or depth > 0:
                statement += piece
            elif statement.strip():
                yield start, statement.strip()
                statement, start = "", number
        if continued or depth > 0:
            statement += " " if continued else "\n"
        elif statement.strip():
            yield start, statement.strip()
            statement = ""
    if statement.strip():
        yield start, statement.strip()


def _pieces(line: str) -> Iterator[tuple[str, int]]:
    """Yield the line cut at brackets and separators, each piece with its change of bracket depth."""
    for piece in re.split(r"([\[\](){};,])", line):
        if piece:
            yield piece, int(piece in "[({") - int(piece in "])}")


def _without_comment(line: str) -> tuple[str, bool]:
    """Return the line without its comment, and whether `...` carries it on."""
    quoted = False
    for at, char in enumerate(line):
        if char == "'":
            quoted = not quoted
        elif not quoted and (char in "%#"):
            return line[:at], False
        elif not quoted and line.startswith("...", at):
            return line[:at], True
    return line, False

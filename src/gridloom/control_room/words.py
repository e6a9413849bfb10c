"""Numbers whose unit stands in their name, as a sentence shows them."""

from __future__ import annotations

from typing import Final

_UNITS: Final = {
    "mw": "MW",
    "kw": "kW",
    "mvar": "Mvar",
    "mwh": "MWh",
    "kwh": "kWh",
    "kv": "kV",
    "a": "A",
    "pu": "pu",
    "pct": "%",
    "s": "s",
    "ms": "ms",
}
_LONG_MS: Final = 10_000.0


def quantity_words(name: str, value: float) -> str:
    """Return a named quantity in words.

    >>> quantity_words("restored_mw", 1.47)
    'restored 1.47 MW'
    >>> quantity_words("since_fault_ms", 10506.9)
    'since fault 10.5 s'
    """
    words, _, unit = name.rpartition("_")
    if unit not in _UNITS or not words:
        return f"{name.replace('_', ' ')} {value:g}"
    if unit == "ms" and abs(value) >= _LONG_MS:
        value, unit = value / 1000, "s"
    return f"{words.replace('_', ' ')} {value:.3g} {_UNITS[unit]}"

"""What decoding foreign bytes may raise, so that every decoder of this room catches the same."""

from __future__ import annotations

from typing import Final

import msgspec

DECODE_ERRORS: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
"""msgspec's own errors, and those of Python that shine through: a text that is not UTF-8, a nesting too deep."""

"""Live states as small binary frames: one byte a bus, a branch, a switch.

A frame is a header and the zlib-compressed bytes of all buses, branches and switches, in that order. A keyframe
carries the bytes themselves; any other frame carries their exclusive or with the frame before it, which is mostly
zeros. Numbers that people read to the digit come by HTTP; these bytes are for drawing.

    offset  type   meaning
    0       2s     magic "GL"
    2       u8     version, 1
    3       u8     flags; bit 0: keyframe
    4       u32    sequence
    8       i64    grid time of the estimate [ns since 1970 UTC]
    16      u32    number of buses
    20      u32    number of branches
    24      u32    number of switches
    28      ...    zlib stream

All numbers are little endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridloom.control_room.view import LiveState
from gridloom.core.errors import Malformed

HEADER = struct.Struct("<2sBBIqIII")
MAGIC = b"GL"
VERSION = 1
KEYFRAME = 1

V_DEAD, V_UNKNOWN = 0, 255
V_LOW_PU, V_HIGH_PU = 0.8, 1.2
_V_STEPS = 253
LOADING_MAX_PCT, LOADING_UNKNOWN, LOADING_DEAD = 250, 254, 255
SWITCH_OPEN, SWITCH_CLOSED, SWITCH_MOVING = 0, 1, 2

_LEVEL = 1  # whole-frame deltas are mostly zeros: higher levels cost time and gain little

type Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame: the codes of all buses, branches and switches."""

    sequence: int
    time_ns: int
    voltage: Codes
    loading: Codes
    switch: Codes


def voltage_codes(v_pu: NDArray[np.float64], is_energised: NDArray[np.bool_]) -> Codes:
    """Return one byte a bus: 0 dead, 255 unknown, 1 to 254 linear from 0.8 to 1.2 pu.

    Args:
        v_pu: Voltages, shape (bus,) [pu]; NaN where unknown.
        is_energised: Whether a bus reaches a source, shape (bus,).
    """
    share = (v_pu - V_LOW_PU) / (V_HIGH_PU - V_LOW_PU)
    steps = np.clip(np.rint(np.nan_to_num(share) * _V_STEPS), 0, _V_STEPS) + 1
    codes = np.where(np.isnan(v_pu), V_UNKNOWN, steps)
    return np.where(is_energised, codes, V_DEAD).astype(np.uint8)


def loading_codes(loading_pct: NDArray[np.float64], is_live: NDArray[np.bool_]) -> Codes:
    """Return one byte a branch: percent up to 250, 254 unknown, 255 dead.

    Args:
        loading_pct: Loadings, shape (branch,) [%]; NaN where unknown.
        is_live: Whether a branch is energised at one end at least, shape (branch,).
    """
    steps = np.clip(np.rint(np.nan_to_num(loading_pct)), 0, LOADING_MAX_PCT)
    codes = np.where(np.isnan(loading_pct), LOADING_UNKNOWN, steps)
    return np.where(is_live, codes, LOADING_DEAD).astype(np.uint8)


def switch_codes(closed: NDArray[np.float32]) -> Codes:
    """Return one byte a switch: 0 open, 1 closed, 2 moving or unknown (NaN)."""
    return np.where(np.isnan(closed), SWITCH_MOVING, np.nan_to_num(closed) > 0).astype(np.uint8)


class FeedEncoder:
    """Encodes each state once, as a delta to the one before and, when somebody needs it, as a keyframe."""

    def __init__(self) -> None:
        """Start before the first state."""
        self.sequence = 0
        self._time_ns = 0
        self._sizes = (0, 0, 0)
        self._codes = np.zeros(0, dtype=np.uint8)
        self._delta = b""
        self._keyframe = b""

    def push(self, live: LiveState) -> None:
        """Take a new state; afterwards `frame_after` offers it."""
        parts = (
            voltage_codes(live.v_pu, live.is_energised),
            loading_codes(live.loading_pct, live.is_live),
            switch_codes(live.closed),
        )
        codes = np.concatenate(parts)
        sizes = (len(parts[0]), len(parts[1]), len(parts[2]))
        self.sequence += 1
        self._time_ns = live.time_ns
        same_shape = self.sequence > 1 and sizes == self._sizes
        self._sizes = sizes
        self._delta = self._encode(codes ^ self._codes, 0) if same_shape else b""
        self._codes, self._keyframe = codes, b""

    def frame_after(self, sequence: int) -> bytes:
        """Return what brings a client from frame `sequence` to the newest one; empty if it has that.

        A client that is exactly one behind gets the delta, any other one the keyframe.
        """
        if sequence == self.sequence:
            return b""
        if self._delta and sequence == self.sequence - 1:
            return self._delta
        if not self._keyframe:
            self._keyframe = self._encode(self._codes, KEYFRAME)
        return self._keyframe

    def _encode(self, codes: Codes, flags: int) -> bytes:
        header = HEADER.pack(MAGIC, VERSION, flags, self.sequence, self._time_ns, *self._sizes)
        return header + zlib.compress(codes.tobytes(), _LEVEL)


class FeedDecoder:
    """Follows a feed; the Python twin of the page's decoder, for scripts and tests."""

    def __init__(self) -> None:
        """Start without a state; the first frame must be a keyframe."""
        self._sequence = -1
        self._codes = np.zeros(0, dtype=np.uint8)

    def push(self, data: bytes) -> Frame:
        """Decode one frame.

        Raises:
            Malformed: If the bytes are no frame, or a delta does not follow on the frame before.
        """
        if len(data) < HEADER.size:
            raise Malformed(f"a feed frame has at least {HEADER.size} bytes, this one {len(data)}")
        magic, version, flags, sequence, time_ns, n_bus, n_branch, n_switch = HEADER.unpack_from(
            data
        )
        if magic != MAGIC or version != VERSION:
            raise Malformed(f"not a feed frame of version {VERSION}")
        codes = _inflate(data[HEADER.size :], n_bus + n_branch + n_switch)
        if not flags & KEYFRAME:
            if sequence != self._sequence + 1 or len(codes) != len(self._codes):
                raise Malformed(f"delta {sequence} does not follow on frame {self._sequence}")
            codes = codes ^ self._codes
        self._sequence, self._codes = sequence, codes
        voltage, loading, switch = np.split(codes, [n_bus, n_bus + n_branch])
        return Frame(sequence, time_ns, voltage, loading, switch)


def _inflate(data: bytes, size: int) -> Codes:
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise Malformed(f"the frame's bytes cannot be inflated: {error}") from error
    if len(raw) != size:
        raise Malformed(
            f"the frame's header promises {size} bytes, its stream holds another number"
        )
    return np.frombuffer(raw, dtype=np.uint8)

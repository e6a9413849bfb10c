"""What leaves the field: messages with the moment at which the network hands them over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridloom.field.links import LinkProfile
from gridloom.grid.tables import Rows
from gridloom.ioe.frames import Frame, FrameKind, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """One message on its way to the bus."""

    due_ns: int
    """Grid time at which it reaches the bus [ns]."""
    number: int
    """Order among messages that are due together."""
    subject: str
    payload: bytes
    message_id: str = ""
    """Id under which the record keeps it once, however often it is sent; empty where it is not recorded."""


class Outbox:
    """Numbers, delays and loses messages, in an order that depends on the seed alone."""

    def __init__(self, epoch: int, rng: np.random.Generator) -> None:
        """Start an empty outbox.

        Args:
            epoch: Restarts of the field so far; stands in every frame.
            rng: Draws delays and losses.
        """
        self.epoch = epoch
        self._rng = rng
        self._sequence: dict[str, int] = {}
        self._pending: list[Emission] = []
        self._number = 0
        self._cut: set[str] = set()
        self._last_due_ns: dict[str, int] = {}
        self.lost = 0
        """Messages that the links lost."""

    def cut(self, gateway: str) -> None:
        """Cut a gateway's link: from now on nothing passes in either direction."""
        self._cut.add(gateway)

    def mend(self, gateway: str) -> None:
        """Restore a gateway's link."""
        self._cut.discard(gateway)

    def is_cut(self, gateway: str) -> bool:
        """Return whether the gateway's link is cut."""
        return gateway in self._cut

    def frame(
        self,
        lane: str,
        kind: FrameKind,
        gateway: str,
        now_ns: int,
        index: Rows,
        values: NDArray[np.float32],
        flags: int = 0,
    ) -> Frame:
        """Return a frame with the next sequence number of its source and lane."""
        key = f"{lane}/{gateway}"
        sequence = self._sequence.get(key, 0)
        self._sequence[key] = sequence + 1
        return Frame(
            kind=kind,
            source=gateway,
            epoch=self.epoch,
            sequence=sequence,
            time_ns=now_ns,
            flags=flags,
            index=index.astype(np.uint32),
            values=values,
        )

    def post(
        self,
        subject: str,
        payload: bytes,
        gateway: str,
        link: LinkProfile,
        now_ns: int,
        *,
        message_id: str = "",
    ) -> None:
        """Send one message over a link; it may be lost, but it never overtakes its own gateway's last one."""
        delay_ns = link.carry_ns(self._rng)
        if delay_ns is None or gateway in self._cut:
            self.lost += 1
            return
        due_ns = max(now_ns + delay_ns, self._last_due_ns.get(gateway, 0))
        self._last_due_ns[gateway] = due_ns
        self._pending.append(
            Emission(
                due_ns=due_ns,
                number=self._number,
                subject=subject,
                payload=payload,
                message_id=message_id,
            )
        )
        self._number += 1

    def post_frame(self, subject: str, frame: Frame, link: LinkProfile) -> None:
        """Encode and send one frame."""
        self.post(subject, encode(frame), frame.source, link, frame.time_ns)

    def inbound_ns(self, gateway: str, link: LinkProfile) -> int | None:
        """Return how long a message to a gateway takes [ns], None where it is lost."""
        delay_ns = link.carry_ns(self._rng)
        if delay_ns is None or gateway in self._cut:
            self.lost += 1
            return None
        return delay_ns

    def drain(self) -> list[Emission]:
        """Hand over what was posted since the last call, by due time and order of posting."""
        pending, self._pending = self._pending, []
        return sorted(pending, key=lambda one: (one.due_ns, one.number))

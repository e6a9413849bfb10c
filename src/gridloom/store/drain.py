"""From the ring into the journal, each record exactly once, whatever is killed when.

The position in the ring is stored in the same transaction as the entries, so the journal alone knows how far it
is; the ring's own mark only tells the writer which slots are free, and may lag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog

from gridloom.core.errors import BadInput
from gridloom.store.journal import Draft
from gridloom.store.records import Alarm, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gridloom.store.journal import Journal
    from gridloom.store.ring import Ring, RingReader

log = structlog.get_logger(__name__)


class Drained(NamedTuple):
    """What one drain took in."""

    records: int
    missing: int
    """Sequences that a power cut took, found as gaps; each gap is journaled as an alarm."""
    unreadable: int
    """Records that `decode` refused; each is kept in the journal as an alarm with its bytes."""


def drain_ring(
    ring: Ring | RingReader, journal: Journal, decode: Callable[[bytes], Sequence[Draft]]
) -> Drained:
    """Move every waiting record of `ring` into `journal` and return when the journal is on the disk.

    Args:
        ring: Either side of the ring; at a restart the writer's, before its first append.
        journal: The journal's one writer.
        decode: Turns a record into the entries that it stands for, in order; it belongs to whoever laid out
            the record and raises `BadInput` (as `Malformed` is) for bytes that it cannot read.

    Raises:
        StoreFailed: If the disk refuses; nothing is lost, the next drain goes on from there.
    """
    before = last = journal.drained(ring.identity)
    records = unreadable = at_ns = 0
    for record in ring.drain(before):
        drafts: list[Draft] = []
        try:
            drafts += decode(record.payload)
            at_ns = drafts[-1].at_ns if drafts else at_ns
        except BadInput as error:
            unreadable += 1
            text = f"a ring record cannot be read: {error}; its bytes are {record.payload.hex()}"
            drafts = [_alarm(ring, record.sequence, text, at_ns)]
        if record.sequence > last + 1:
            text = (
                f"ring records {last + 1} to {record.sequence - 1} are lost, as after a power cut"
            )
            drafts.insert(0, _alarm(ring, last + 1, text, at_ns))
        journal.append_drained(ring.identity, record.sequence, drafts)
        last, records = record.sequence, records + 1
    # Also without new records: those of a drain that failed here may still wait for the disk.
    journal.commit()
    ring.mark_drained(journal.drained(ring.identity))
    missing = last - before - records
    if missing:
        log.error("ring_records_missing", ring=str(ring.path), missing=missing, after=before)
    return Drained(records, missing, unreadable)


def _alarm(ring: Ring | RingReader, sequence: int, text: str, at_ns: int) -> Draft:
    # Named after the file and not its random identity, so that a stepped run journals the same bytes.
    alarm = Alarm(id=f"{ring.path.name}/{sequence}", priority=2, text=text, element=ring.path.name)
    return Draft(kind_of(alarm), alarm, at_ns)

"""Writes a ring (`write`), or drains it into a journal (`drain`), until it is killed."""

import struct
import sys

from gridloom.store import Draft, Journal, Ring, RingReader, drain_ring

role, directory = sys.argv[1:]


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def decode(record: bytes) -> tuple[Draft, ...]:
    (number,) = struct.unpack_from("<Q", record)
    return (Draft("note", {"number": number}, 1), Draft("note", {"again": number}, 1))


def write() -> None:
    ring = Ring(f"{directory}/ring", 512, 64)
    say("ready")
    while True:
        if ring.n_waiting < ring.capacity:
            # The payload is the sequence to come, so that a doubled or lost record shows.
            say(ring.append(struct.pack("<Q", ring.tail + 1) + b"x" * 40))


def drain() -> None:
    journal = Journal(f"{directory}/journal.db", commit_every_s=0.001)
    ring = RingReader(f"{directory}/ring")
    say("ready")
    while True:
        drain_ring(ring, journal, decode)


{"write": write, "drain": drain}[role]()

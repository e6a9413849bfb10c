"""Appends until it is killed; prints each sequence once it is committed."""

import sys

from gridloom.store import Journal


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


path, every_s = sys.argv[1], float(sys.argv[2])
journal = Journal(path, commit_every_s=every_s)
say("ready")
while True:
    for _ in range(7):
        sequence = journal.append("note", {"value": journal.head.sequence}, 5)
    journal.commit()
    say(sequence)

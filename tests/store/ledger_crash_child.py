"""Moves money to and fro until it is killed; prints each key once it is posted."""

import random
import sys

from gridloom.store.ledger import Ledger, Posting, Transaction

path, seed, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
ledger = Ledger(path)
sys.stdout.write("ready\n")
sys.stdout.flush()
for number in range(n):
    giver, taker = rng.sample(["a", "b", "c"], 2)
    amount = rng.randint(0, min(5, ledger.balance(giver)))
    key = f"{seed}/{number}"
    postings = (Posting(giver, -amount), Posting(taker, amount))
    try:
        ledger.post(Transaction(key=key, at_ns=number, postings=postings))
    except PermissionError:  # the other process was faster with this account's money
        continue
    sys.stdout.write(f"{key}\n")
    sys.stdout.flush()

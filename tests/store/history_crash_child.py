"""Appends and flushes until it is killed; prints the row count that is flushed."""

import sys

import numpy as np

from gridloom.store.history import History

DAY_NS = 86_400 * 10**9
history = History(sys.argv[1], in_background=False)
done = len(history.query("meter", 0, 10 * DAY_NS)) // 50
sys.stdout.write("ready\n")
sys.stdout.flush()
index = np.arange(50, dtype=np.uint32)
while True:
    done += 1
    # Every flush straddles midnight, so that a kill may fall between its two files.
    time_ns = np.where(index < 25, DAY_NS - 1, DAY_NS)
    history.append("meter", time_ns, index, {"p_kw": np.full(50, done, dtype=np.float32)})
    history.flush()
    sys.stdout.write(f"{done * 50}\n")
    sys.stdout.flush()

"""A network in a list: loses, doubles and reorders what is put on it, by a seed."""

import heapq
import random


class Network:
    """Carries (kind, data) until a time; fair, so that what is sent often enough arrives."""

    def __init__(self, seed: int, *, loss: float, doubling: float, jitter_ns: int) -> None:
        self.random = random.Random(seed)
        self.loss, self.doubling, self.jitter_ns = loss, doubling, jitter_ns
        self._heap: list[tuple[int, int, str, bytes]] = []
        self._count = 0

    def put(self, now_ns: int, kind: str, data: bytes) -> None:
        copies = 1 + (self.random.random() < self.doubling)
        for _ in range(copies):
            if self.random.random() < self.loss:
                continue
            self._count += 1
            due_ns = now_ns + self.random.randrange(self.jitter_ns)
            heapq.heappush(self._heap, (due_ns, self._count, kind, data))

    def get(self, now_ns: int) -> list[tuple[str, bytes]]:
        arrived = []
        while self._heap and self._heap[0][0] <= now_ns:
            arrived.append(heapq.heappop(self._heap)[2:])
        return arrived

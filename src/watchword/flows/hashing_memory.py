"""What all hashing of a worker may hold in memory at once."""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class HashingMemory:
    """So many KiB for all threads together. Who needs more than the whole has it alone.

    First come, first served: what is small does not pass by what is large, so nobody waits for ever.
    """

    def __init__(self, whole: int) -> None:
        self._whole = self._free = whole
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taking(self, kib: int) -> Iterator[None]:
        """Hold so much until the end of the block. Blocks the thread until it is free; nothing is had at once."""
        taken = min(kib, self._whole)
        if taken == 0:
            yield
            return
        with self._changed:
            place = object()
            self._line.append(place)
            self._changed.wait_for(lambda: self._line[0] is place and self._free >= taken)
            self._line.popleft()
            self._free -= taken
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()

"""A negative control: the cache that keeps what was used last, with a lock that lets a signal handler in."""

import threading
from collections import OrderedDict


class NaiveLru:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: int) -> int | None:
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def set(self, key: int, value: int) -> None:
        with self._lock:
            if len(self._values) >= self._limit:
                oldest = next(iter(self._values))
                del self._values[oldest]
            self._values[key] = value

    def delete(self, key: int) -> None:
        with self._lock:
            self._values.pop(key, None)

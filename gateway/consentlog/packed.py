"""What has to be remembered of every consent of a log while its entries go by, in few bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left


class PackedTable:
    """Values of one width by log index: 8 bytes and the width for each, instead of some hundred for Python's objects.

    Indices mostly come in the order of the log, which is what makes it small; others are taken as well.
    """

    def __init__(self, width: int) -> None:
        """``width``: bytes of a value."""
        self._width = width
        self._indices = array("Q")
        self._values = bytearray()
        self._others: dict[int, bytes] = {}
        self._dropped: set[int] = set()

    def put(self, index: int, value: bytes) -> None:
        """Remember a value, of the table's width, for an index that has none."""
        if self._indices and index <= self._indices[-1]:
            self._others[index] = value
        else:
            self._indices.append(index)
            self._values += value

    def get(self, index: int) -> bytes | None:
        """The value; None if there is none, or it was dropped."""
        at = bisect_left(self._indices, index)
        if at == len(self._indices) or self._indices[at] != index:
            return self._others.get(index)
        if index in self._dropped:
            return None
        return bytes(self._values[at * self._width : (at + 1) * self._width])

    def drop(self, index: int) -> bool:
        """Forget a value; whether there was one."""
        if self._others.pop(index, None) is not None:
            return True
        known = self.get(index) is not None
        if known:
            self._dropped.add(index)
        return known

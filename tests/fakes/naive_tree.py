"""The Merkle tree of RFC 6962 section 2.1, word for word: what every other form of it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

from gateway.consentlog.merkle import node_hash


class NaiveTree:
    """Leaves ``D[n]``, given as their hashes; hashes of ranges are remembered, or 300 sizes would take minutes."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves
        self._range = cache(self._hash)

    def _hash(self, start: int, end: int) -> bytes:
        """``MTH(D[start:end])``."""
        if start == end:
            return sha256(b"").digest()
        if end - start == 1:
            return self._leaves[start]
        k = split(end - start)
        return node_hash(self._range(start, start + k), self._range(start + k, end))

    def root(self, size: int) -> bytes:
        """``MTH(D[0:size])``."""
        return self._range(0, size)

    def path(self, m: int, n: int, start: int = 0) -> list[bytes]:
        """``PATH(m, D[start:start + n])`` (section 2.1.1)."""
        if n == 1:
            return []
        k = split(n)
        if m < k:
            return [*self.path(m, k, start), self._range(start + k, start + n)]
        return [*self.path(m - k, n - k, start + k), self._range(start, start + k)]

    def proof(self, m: int, n: int) -> list[bytes]:
        """``PROOF(m, D[0:n])`` (section 2.1.2)."""
        return self._subproof(m, 0, n, whole=True)

    def _subproof(self, m: int, start: int, n: int, *, whole: bool) -> list[bytes]:
        if m == n:
            return [] if whole else [self._range(start, start + n)]
        k = split(n)
        if m <= k:
            return [*self._subproof(m, start, k, whole=whole), self._range(start + k, start + n)]
        return [*self._subproof(m - k, start + k, n - k, whole=False), self._range(start, start + k)]


def split(n: int) -> int:
    """The largest power of two smaller than ``n``."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k

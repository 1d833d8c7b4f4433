"""The Merkle tree of RFC 6962 / RFC 9162 section 2.1 over SHA-256: hashes, roots, proofs, and the append frontier.

A *subtree* ``(level, index)`` is the complete one over leaves ``index * 2**level`` to ``(index + 1) * 2**level - 1``.
Verification returns nothing or raises PROOF_OF_LOG_INVALID; a proof's length is checked before anything is hashed.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NoReturn

from gateway.errors import Reason, TiergateError

HASH_SIZE = 32
LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
EMPTY_ROOT = sha256(b"").digest()

GetSubtree = Callable[[int, int], bytes]
"""Fetches the hash of the complete subtree ``(level, index)``; called only for subtrees inside the tree."""

CompletedNode = tuple[int, int, bytes]
"""``(level, index, hash)`` of a subtree that an append completed."""


class OtherPrefixError(TiergateError):
    """A consistency proof that is sound, and shows that the larger tree begins otherwise than with the smaller one."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of one entry: SHA-256(0x00 || data)."""
    return sha256(LEAF_PREFIX + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(NODE_PREFIX + left + right).digest()


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Root of the tree with these leaf hashes; of no leaves, the hash of the empty string."""
    frontier = Frontier()
    for leaf in leaf_hashes:
        frontier.append(leaf)
    return frontier.root()


class Frontier:
    """The right edge of a growing tree: one hash per complete subtree, largest first (a compact range from 0).

    Appending costs two hashes on average; the root costs one per set bit of the size. ``copy`` and ``restore`` make
    a rollback cheap: at most 63 hashes.
    """

    __slots__ = ("_size", "_stack")

    def __init__(self) -> None:
        self._size = 0
        self._stack: list[bytes] = []

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def append(self, leaf: bytes, completed: list[CompletedNode] | None = None) -> None:
        """Add one leaf hash. Every subtree it completes, the leaf itself first, is appended to ``completed``."""
        index = self._size
        level = 0
        if completed is not None:
            completed.append((0, index, leaf))
        while index & 1:
            leaf = sha256(NODE_PREFIX + self._stack.pop() + leaf).digest()
            index >>= 1
            level += 1
            if completed is not None:
                completed.append((level, index, leaf))
        self._stack.append(leaf)
        self._size += 1

    def root(self) -> bytes:
        """Root of the tree."""
        if not self._stack:
            return EMPTY_ROOT
        result = self._stack[-1]
        for left in reversed(self._stack[:-1]):
            result = node_hash(left, result)
        return result

    def copy(self) -> Frontier:
        """An independent frontier of the same tree."""
        twin = Frontier()
        twin.restore(self)
        return twin

    def restore(self, saved: Frontier) -> None:
        """Go back to the state of ``saved`` (a copy taken before appends that are now rolled back)."""
        self._size = saved._size
        self._stack = saved._stack.copy()

    def to_bytes(self) -> bytes:
        """Size (8 bytes, big-endian) and the hashes, largest subtree first."""
        return self._size.to_bytes(8, "big") + b"".join(self._stack)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frontier:
        """Read what ``to_bytes`` wrote; LOG_CORRUPT when the size and the number of hashes disagree."""
        size = int.from_bytes(data[:8], "big")
        hashes = data[8:]
        if len(data) < 8 or len(hashes) != size.bit_count() * HASH_SIZE:
            raise TiergateError(Reason.LOG_CORRUPT, "frontier has the wrong length")
        return cls._of(size, [hashes[i : i + HASH_SIZE] for i in range(0, len(hashes), HASH_SIZE)])

    @classmethod
    def from_subtrees(cls, size: int, get_subtree: GetSubtree) -> Frontier:
        """The frontier of the first ``size`` leaves of a stored tree."""
        stack = []
        start = 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                stack.append(get_subtree(level, start >> level))
                start += 1 << level
        return cls._of(size, stack)

    @classmethod
    def _of(cls, size: int, stack: list[bytes]) -> Frontier:
        frontier = cls()
        frontier._size = size
        frontier._stack = stack
        return frontier


def _split(width: int) -> int:
    """Largest power of two smaller than ``width`` (at least 2): where RFC 6962 divides a range."""
    return 1 << ((width - 1).bit_length() - 1)


def _range_hash(start: int, end: int, get_subtree: GetSubtree) -> bytes:
    """Hash over leaves ``start`` to ``end - 1``; ``start`` is aligned as RFC 6962 divides the tree."""
    width = end - start
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return get_subtree(level, start >> level)
    middle = start + _split(width)
    return node_hash(_range_hash(start, middle, get_subtree), _range_hash(middle, end, get_subtree))


def inclusion_proofs(indices: Iterable[int], size: int, get_subtree: GetSubtree) -> list[list[bytes]]:
    """Proofs of several leaves in the tree of ``size`` leaves, as :func:`inclusion_proof` makes each.

    Neighbours share most of their proofs' hashes, and the right edge of an uneven tree is the same for all: it is
    hashed once. Raises RANGE_INVALID unless every index is in the tree.
    """
    ranges: dict[tuple[int, int], bytes] = {}

    def shared(start: int, end: int) -> bytes:
        found = ranges.get((start, end))
        if found is None:
            width = end - start
            if width & (width - 1) == 0:
                level = width.bit_length() - 1
                found = get_subtree(level, start >> level)
            else:
                middle = start + _split(width)
                found = node_hash(shared(start, middle), shared(middle, end))
            ranges[start, end] = found
        return found

    return [_inclusion(index, size, shared) for index in indices]


def root_at(size: int, get_subtree: GetSubtree) -> bytes:
    """Root of the first ``size`` leaves of a stored tree."""
    return _range_hash(0, size, get_subtree) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, get_subtree: GetSubtree) -> list[bytes]:
    """Proof that leaf ``index`` is in the tree of ``size`` leaves, from the leaf's sibling upwards (RFC 6962 2.1.1).

    Raises RANGE_INVALID unless 0 <= index < size.
    """
    return _inclusion(index, size, lambda start, end: _range_hash(start, end, get_subtree))


def _inclusion(index: int, size: int, range_hash: Callable[[int, int], bytes]) -> list[bytes]:
    if not 0 <= index < size:
        raise TiergateError(Reason.RANGE_INVALID, f"index {index} is not in a tree of {size}")
    proof = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(range_hash(middle, end))
            end = middle
        else:
            proof.append(range_hash(start, middle))
            start = middle
    return proof[::-1]


def consistency_proof(size1: int, size2: int, get_subtree: GetSubtree) -> list[bytes]:
    """Proof that the tree of ``size1`` leaves is a prefix of that of ``size2`` (RFC 6962 2.1.2).

    Raises RANGE_INVALID unless 0 < size1 <= size2: the empty tree is a prefix of anything and proves nothing.
    """
    if not 0 < size1 <= size2:
        raise TiergateError(Reason.RANGE_INVALID, f"no consistency proof from {size1} to {size2}")
    proof = []
    start, end = 0, size2
    known = True  # whether the subtree at hand is the old tree itself, whose root the verifier has
    while end != size1:
        middle = start + _split(end - start)
        if size1 <= middle:
            proof.append(_range_hash(middle, end, get_subtree))
            end = middle
        else:
            proof.append(_range_hash(start, middle, get_subtree))
            start = middle
            known = False
    if not known:
        proof.append(_range_hash(start, end, get_subtree))
    return proof[::-1]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that ``leaf`` (a leaf hash) is at ``index`` of the tree (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        _refuse("index outside the tree")
    _check_hashes([leaf, root, *proof])
    inner = (index ^ (size - 1)).bit_length()
    if len(proof) != inner + (index >> inner).bit_count():
        _refuse("inclusion proof has the wrong length")
    fn, sn = index, size - 1
    result = leaf
    for sibling in proof:
        if fn & 1 or fn == sn:
            result = node_hash(sibling, result)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            result = node_hash(result, sibling)
        fn >>= 1
        sn >>= 1
    _check_equal(result, root, "inclusion proof leads to another root")


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree (size1, root1) is a prefix of (size2, root2) (RFC 9162 2.1.4.2).

    ``size1`` must be positive; equal sizes need equal roots and an empty proof. Raises OtherPrefixError for a proof
    whose hashes lead to root2, and to another root1: of trees that are consistent there is no such proof.
    """
    if not 0 < size1 <= size2:
        _refuse("sizes do not allow a consistency proof")
    if size1 == size2:
        if proof:
            _refuse("equal sizes take no proof")
        _check_equal(root1, root2, "equal sizes with different roots")
        return
    _check_hashes([root1, root2, *proof])
    shift = (size1 & -size1).bit_length() - 1
    inner = ((size1 - 1) ^ (size2 - 1)).bit_length()
    complete = size1 == 1 << shift
    if len(proof) != (not complete) + (inner - shift) + ((size1 - 1) >> inner).bit_count():
        _refuse("consistency proof has the wrong length")
    fn, sn = (size1 - 1) >> shift, (size2 - 1) >> shift
    path = [root1, *proof] if complete else proof
    old = new = path[0]
    for sibling in path[1:]:
        if fn & 1 or fn == sn:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            new = node_hash(new, sibling)
        fn >>= 1
        sn >>= 1
    _check_equal(new, root2, "consistency proof leads to another new root")
    if not hmac.compare_digest(old, root1):
        raise OtherPrefixError(Reason.PROOF_OF_LOG_INVALID, "consistency proof leads to another old root")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(item) != HASH_SIZE for item in hashes):
        _refuse("a hash does not have 32 bytes")


def _check_equal(found: bytes, expected: bytes, detail: str) -> None:
    if not hmac.compare_digest(found, expected):
        _refuse(detail)


def _refuse(detail: str) -> NoReturn:
    raise TiergateError(Reason.PROOF_OF_LOG_INVALID, detail)

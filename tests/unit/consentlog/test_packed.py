from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.consentlog.packed import PackedTable

STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "get", "drop"]), st.integers(0, 30), st.binary(min_size=3, max_size=3))
)


@given(STEPS)
def test_a_table_is_a_dict(steps: list[tuple[str, int, bytes]]) -> None:
    table, same, used = PackedTable(3), dict[int, bytes](), set[int]()
    for step, index, value in steps:
        if step == "put" and index not in used:  # an index is given once
            used.add(index)
            table.put(index, value)
            same[index] = value
        elif step == "drop":
            assert table.drop(index) == (same.pop(index, None) is not None)
        assert table.get(index) == same.get(index)
    assert {index: table.get(index) for index in range(31)} == {index: same.get(index) for index in range(31)}


def test_indices_may_be_the_largest_that_are_logged() -> None:
    table = PackedTable(1)
    table.put(10**15 - 1, b"a")
    assert table.get(10**15 - 1) == b"a"
    assert table.get(10**15) is None

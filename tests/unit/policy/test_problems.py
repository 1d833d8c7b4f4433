"""Problems name keys as they stand in the file, whatever the reader of the file tried in between."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import ValidationError

from gateway.policy.problems import problems_of
from gateway.policy.schema import Slug, Strict


class Listed(Strict):
    """Every shape of union that a document of ours has."""

    names: list[Slug | Literal["*"]]
    scopes: dict[Slug, Literal["all"] | list[Slug]]


BAD = {"names": ["one", "Two!"], "scopes": {"three": "some", "four": ["Five!"], "Six!": "all"}, "odd": 1}
PLACES = {"names.1", "scopes.three", "scopes.four", "scopes.four.0", "scopes.Six!", "odd"}


@pytest.mark.parametrize("data", [BAD, None], ids=["as read", "not at hand"])
def test_the_path_is_of_keys_alone_and_each_place_is_told_once(data: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Listed.model_validate(BAD)
    found = problems_of("file", caught.value, data)
    assert {problem.path for problem in found} == PLACES
    assert len(found) == len(PLACES)
    assert all(problem.message and problem.remedy for problem in found)
    assert not [str(problem) for problem in found if "[" in str(problem) or "function" in str(problem)]

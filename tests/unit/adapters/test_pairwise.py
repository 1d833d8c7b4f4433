"""Pairwise identifiers and the custody of their secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.pairwise import PairwiseSecret, write_pairwise_secret
from gateway.domain.ids import OperatorId, ResidentRef
from gateway.errors import ProblemsError, Reason

LIBRARY, PARKING = OperatorId("xiamen-library"), OperatorId("xiamen-parking")
SECRET = PairwiseSecret(bytes(range(32)))


def test_the_identifier_is_stable_and_of_43_characters() -> None:
    # computed with openssl: HMAC-SHA256 of "xiamen-library\0synthetic-1" under the bytes 00 to 1f
    subject = SECRET.subject(LIBRARY, ResidentRef("synthetic-1"))
    assert subject == "3l3HnvITN1zgOIB3fUk_hU2VCn4zDR9_J6TolLhE4UA"
    assert len(subject) == 43


def test_operator_resident_and_secret_each_change_the_identifier() -> None:
    known = {
        SECRET.subject(LIBRARY, ResidentRef("synthetic-1")),
        SECRET.subject(PARKING, ResidentRef("synthetic-1")),
        SECRET.subject(LIBRARY, ResidentRef("synthetic-2")),
        PairwiseSecret(bytes(32)).subject(LIBRARY, ResidentRef("synthetic-1")),
        SECRET.subject(OperatorId("a"), ResidentRef("b1")),
        SECRET.subject(OperatorId("ab"), ResidentRef("1")),
    }
    assert len(known) == 6


def test_a_secret_is_written_once_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "pairwise.key"
    write_pairwise_secret(file)
    assert file.stat().st_mode & 0o777 == 0o600
    first = PairwiseSecret.load(file).subject(LIBRARY, ResidentRef("synthetic-1"))
    with pytest.raises(FileExistsError):
        write_pairwise_secret(file)
    assert PairwiseSecret.load(file).subject(LIBRARY, ResidentRef("synthetic-1")) == first


def test_a_secret_shows_nothing(tmp_path: Path) -> None:
    assert bytes(range(32)).hex() not in repr(SECRET)
    assert "key" not in repr(SECRET)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_secret_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    file = tmp_path / "pairwise.key"
    file.write_bytes(b"\1" * length)
    file.chmod(0o600)
    with pytest.raises(ProblemsError) as caught:
        PairwiseSecret.load(file)
    assert caught.value.reason is Reason.CONFIG_INVALID
    with pytest.raises(ValueError, match="32 bytes"):
        PairwiseSecret(b"\1" * length)


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pairwise.key"
    file.write_bytes(b"\1" * 32)
    file.chmod(0o640)
    with pytest.raises(ProblemsError, match="read by others"):
        PairwiseSecret.load(file)


def test_a_secret_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError, match="cannot be read"):
        PairwiseSecret.load(tmp_path / "pairwise.key")

"""The shape of signed files and of the root: envelopes (DSSE v1), and who may sign what.

What needs more than one value, or a key, is judged where they are read (``envelope``, ``root_files``).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

BundleType = Literal["application/vnd.tiergate.bundle+json"]
DirectoryType = Literal["application/vnd.tiergate.directory+json"]
RootType = Literal["application/vnd.tiergate.root+json"]
NoticeType = Literal["application/vnd.tiergate.notice+json"]
PayloadType = Literal[BundleType, DirectoryType, RootType]
SignedType = Literal[PayloadType, NoticeType]
RootFormat = Literal["tiergate-root/1"]

MAX_SIGNATURES: Final = 32
MAX_ROOT_VERSION: Final = 1_000_000
NEVER_S: Final = 253_402_300_799
"""The last second of the year 9999."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


class Strict(BaseModel):
    """No unknown keys, no conversion of types, no change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SignatureDoc(Strict):
    """One signature (base64) and the RFC 7638 thumbprint of its key."""

    keyid: str
    sig: str


class EnvelopeDoc(Strict):
    """A signed file: type, payload (base64) and the signatures over both."""

    payload_type: Annotated[SignedType, Field(alias="payloadType")]
    payload: str
    signatures: Annotated[list[SignatureDoc], Field(min_length=1, max_length=MAX_SIGNATURES)]


class AuthorityDoc(Strict):
    """One key of an authority: a public P-256 or Ed25519 JWK, its thumbprint, and what it may sign."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_printable)]
    keyid: str
    jwk: dict[str, str]
    payload_types: Annotated[list[PayloadType], Field(min_length=1)]


class RootDoc(Strict):
    """Who may sign, and of how many distinct authorities each kind of file takes signatures. ``expires``: seconds."""

    format: RootFormat
    version: Annotated[int, Field(ge=1, le=MAX_ROOT_VERSION)]
    expires: Annotated[int, Field(ge=1, le=NEVER_S)]
    authorities: Annotated[list[AuthorityDoc], Field(min_length=1)]
    thresholds: Annotated[dict[PayloadType, Annotated[int, Field(ge=1)]], Field(min_length=1)]

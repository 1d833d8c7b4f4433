"""A conformance passport: ``typ: conformance-passport+jwt``, a JWS by whoever ran the kit, over a run without failures.

Claims: ``iss`` the runner, ``sub`` the city, ``implementation`` as it was named, ``kit`` version, digests of the list
of ``checks`` and of the ``results``, how many ``passed``, which were ``not_applicable``, ``iat``, ``exp``. It says that
an implementation once answered rightly in a test deployment: nothing about what the city runs today.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.conformance.check import KIT_VERSION, Check, Result, digest_of_checks, digest_of_results
from gateway.crypto import jws
from gateway.crypto.keys import PrivateKey, PublicKey, algorithm_of, public_jwk, thumbprint, verifier
from gateway.domain.ids import SLUG
from gateway.errors import Reason, TiergateError

TYP: Final = "conformance-passport+jwt"
MAX_DAYS: Final = 366
MAX_CLOCK_AHEAD_S: Final = 10
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_CHECK = re.compile(r"[a-z]+\.[a-z0-9-]{1,60}\Z")


@dataclass(frozen=True, slots=True)
class Passport:
    """What a passport says. Times in Unix seconds."""

    runner: str
    city: str
    implementation: str
    kit: int
    checks: str
    results: str
    passed: int
    not_applicable: tuple[str, ...]
    issued_at: int
    expires_at: int


def issue_passport(
    key: PrivateKey, *, runner: str, city: str, implementation: str, checks: Sequence[Check], results: Sequence[Result],
    days: int,
) -> str:  # fmt: skip
    """Sign a passport, good for ``days`` (1 to 366). ValueError for a failed or partial run, and for other days."""
    if [item.id for item in results] != [item.id for item in checks]:
        raise ValueError("not every check was made")
    if any(item.verdict == "failed" for item in results):
        raise ValueError("a check has failed")
    if not 1 <= days <= MAX_DAYS:
        raise ValueError("days")
    now = int(time.time())
    claims = {
        "iss": runner,
        "sub": city,
        "implementation": implementation,
        "kit": KIT_VERSION,
        "checks": digest_of_checks(checks),
        "results": digest_of_results(results),
        "passed": sum(item.verdict == "passed" for item in results),
        "not_applicable": [item.id for item in results if item.verdict == "not applicable"],
        "iat": now,
        "exp": now + days * 86_400,
    }
    return jws.issue(key, thumbprint(public_jwk(key)), TYP, claims)


def read_passport(text: str, key: PublicKey, *, now_s: float) -> Passport:
    """The passport, if ``key`` signed it and it is in force at ``now_s`` (Unix seconds).

    Raises SIGNATURE_INVALID for everything else; ``detail`` says what.
    """
    try:
        parsed = jws.parse(text, TYP, malformed=Reason.SIGNATURE_INVALID)
        if parsed.kid != thumbprint(public_jwk(key)):
            raise TiergateError(Reason.SIGNATURE_INVALID, "by another key")
        invalid = Reason.SIGNATURE_INVALID
        claims = jws.Claims(jws.verify_with(parsed, algorithm_of(key), verifier(key), invalid=invalid), invalid)
        found = Passport(
            runner=claims.text("iss"),
            city=claims.text("sub"),
            implementation=claims.text("implementation"),
            kit=claims.integer("kit", 1),
            checks=claims.text("checks"),
            results=claims.text("results"),
            passed=claims.integer("passed", 1),
            not_applicable=_ids(claims.take("not_applicable")),
            issued_at=claims.integer("iat"),
            expires_at=claims.integer("exp"),
        )
        claims.done()
    except TiergateError as error:
        if error.reason is Reason.SIGNATURE_INVALID:
            raise
        raise TiergateError(Reason.SIGNATURE_INVALID, error.reason.value) from error
    if not (SLUG.match(found.city) and _HEX64.match(found.checks) and _HEX64.match(found.results)):
        raise TiergateError(Reason.SIGNATURE_INVALID, "sub, checks or results")
    if not 0 < found.expires_at - found.issued_at <= MAX_DAYS * 86_400:
        raise TiergateError(Reason.SIGNATURE_INVALID, "lifetime")
    if not found.issued_at - MAX_CLOCK_AHEAD_S <= now_s < found.expires_at:
        raise TiergateError(Reason.SIGNATURE_INVALID, "not in force now")
    return found


def passport_digest(text: str) -> str:
    """What a directory names a passport by: SHA-256 of its text without blanks around it (64 hex digits)."""
    return hashlib.sha256(text.strip().encode("ascii")).hexdigest()


def _ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and _CHECK.match(item) for item in value):
        raise TiergateError(Reason.SIGNATURE_INVALID, "not_applicable")
    return tuple(value)

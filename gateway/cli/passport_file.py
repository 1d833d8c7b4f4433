"""A conformance passport in a file, verified under the public key of the runner that is trusted."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.cli.client import read_file
from gateway.cli.output import UsageError
from gateway.conformance.check import KIT_VERSION, digest_of_checks
from gateway.conformance.passport import Passport, passport_digest, read_passport
from gateway.conformance.table import CHECKS
from gateway.crypto.jws import strict_object
from gateway.crypto.keys import parse_jwk
from gateway.domain.directory import PassportEntry
from gateway.errors import TiergateError


def passport_in(file: Path, runner: Path) -> tuple[Passport, PassportEntry]:
    """The passport, and what the peer directory says of it. ``runner``: file of the runner's public key (JWK).

    Raises :class:`UsageError` for a file that holds no such key, SIGNATURE_INVALID or its like for a bad passport.
    """
    try:
        jwk = {name: str(value) for name, value in strict_object(read_file(runner, 4096)).items()}
        public = parse_jwk(jwk)
    except (ValueError, TiergateError) as error:
        raise UsageError(f"{runner} is not a public key", "a JWK, as certs key --public-out writes it") from error
    text = read_file(file, 8192).decode("ascii", "replace").strip()
    found = read_passport(text, public, now_s=time.time())
    return found, PassportEntry(passport_digest(text), found.expires_at)


def is_of_this_kit(passport: Passport) -> bool:
    """Whether it is over the checks that the kit makes today."""
    return passport.kit == KIT_VERSION and passport.checks == digest_of_checks(CHECKS)

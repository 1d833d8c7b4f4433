"""A client's profile: who is calling, with which certificate, and which signed files it goes by."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from gateway.cli.options import PROFILE_VARIABLE
from gateway.config import TlsFiles
from gateway.domain.ids import SLUG
from gateway.errors import Problem, ProblemsError, Reason
from gateway.settings import FilePath, Settings, read_settings

ClientRole = Literal["operator", "city-app", "auditor"]
_REMEDY = f"name a profile with --profile or in {PROFILE_VARIABLE}"


def _slug(text: str) -> str:
    if not SLUG.match(text):
        raise ValueError("must be a slug: a-z, 0-9 and hyphens")
    return text


class Profile(Settings):
    """What a client needs. Relative paths count from the file.

    ``name`` is the operator, the auditor, or for ``city-app`` the city. ``bundle`` is optional: without it nothing can
    be said about base offers while the gateway is away. ``proof_key`` (operators) signs proofs for bound tokens;
    ``proof_kid`` is its id in the directory (default: its thumbprint).
    """

    role: ClientRole
    name: Annotated[str, AfterValidator(_slug)]
    tls: TlsFiles
    root: FilePath
    directory: FilePath
    bundle: FilePath | None = None
    proof_key: FilePath | None = None
    proof_kid: str = ""

    @model_validator(mode="after")
    def _proofs_are_made_by_operators(self) -> Self:
        if self.role != "operator" and (self.proof_key or self.proof_kid):
            raise ValueError("proof_key and proof_kid are for operators alone")
        if self.proof_kid and not self.proof_key:
            raise ValueError("proof_kid without proof_key")
        return self


def read_profile(path: Path | None, roles: Collection[ClientRole]) -> Profile:
    """The profile in ``path`` (None: the file that the environment names), if it is of one of ``roles``.

    Raises CONFIG_INVALID, as a :class:`ProblemsError`, with every problem.
    """
    named = path or (Path(value) if (value := os.environ.get(PROFILE_VARIABLE)) else None)
    if named is None:
        raise ProblemsError(Reason.CONFIG_INVALID, [Problem("profile", "", "none is named", _REMEDY)])
    if not named.is_file():
        raise ProblemsError(Reason.CONFIG_INVALID, [Problem(str(named), "", "is not a file", _REMEDY)])
    profile = read_settings(Profile, named, prefix=f"{PROFILE_VARIABLE}_")
    if profile.role not in roles:
        wanted = " or ".join(sorted(roles))
        problem = Problem(str(named), "role", f'is "{profile.role}"; this command is for {wanted}', _REMEDY)
        raise ProblemsError(Reason.CONFIG_INVALID, [problem])
    return profile

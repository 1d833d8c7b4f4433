"""Folders that ``init`` commands fill from templates: whole or not at all, and never over something that is there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gateway.cli.certs import certificate_request
from gateway.cli.output import UsageError
from gateway.crypto.keys import (
    algorithm_of,
    generate_signing_key,
    public_jwk,
    thumbprint,
    write_private_key,
)
from gateway.domain.directory import KeyPurpose
from gateway.domain.ids import SLUG, PeerIdentity

_MARK = re.compile(r"@([A-Z_]+)@")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")


def require_slug(text: str, what: str) -> str:
    """``text``, if it is an id. Raises :class:`UsageError`."""
    if not SLUG.match(text):
        raise UsageError(f"{what} is not an id", "1 to 48 of a-z, 0-9 and hyphens, without a hyphen at either end")
    return text


def require_domain(text: str) -> str:
    """``text``, if it can be a trust domain. Raises :class:`UsageError`."""
    if not _DOMAIN.match(text):
        raise UsageError("--trust-domain is not a domain", "the province says it, such as fujian.example.gov.cn")
    return text


def quoted(text: str) -> str:
    """``text`` as a string of TOML, which JSON's strings are, too."""
    return json.dumps(text, ensure_ascii=False)


def rendered(text: str, marks: Mapping[str, str]) -> str:
    """A template with its ``@MARKS@`` filled in; KeyError for one that has no value."""
    return _MARK.sub(lambda found: marks[found.group(1)], text)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``folder`` at the end of the block, or is gone if the block fails.

    Raises :class:`UsageError` if something is there, or nothing that it could lie in.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists; nothing is ever overwritten", "name a new folder with --into")
    if not folder.absolute().parent.is_dir():
        raise UsageError(f"{folder.absolute().parent} is not a folder", "make it first, or name another with --into")
    draft = folder.with_name(f".{folder.name}.draft")
    try:
        draft.mkdir(mode=0o700)
    except FileExistsError as error:
        raise UsageError(f"{draft} exists: somebody fills it, or was broken off", "remove it, and run again") from error
    try:
        yield draft
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def make_certificate_request(folder: Path, holder: PeerIdentity, dns: str | None) -> None:
    """A private key and the request for its certificate, in ``folder`` (created, mode 700)."""
    folder.mkdir(mode=0o700, parents=True)
    key, pem = certificate_request(holder, dns)
    write_private_key(folder / "key.pem", key)
    (folder / "request.csr").write_bytes(pem)


def make_listed_key(file: Path, purpose: KeyPurpose) -> dict[str, object]:
    """A signing key in ``file``; its public part as a member of a directory's entry."""
    key = generate_signing_key("ES256")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private_key(file, key)
    jwk = public_jwk(key)
    return {"kid": thumbprint(jwk), "purpose": purpose, "alg": algorithm_of(key), "jwk": jwk}

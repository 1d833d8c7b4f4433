"""What is presented to an operator: a token from a file, a typed code, or what a QR code holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.output import UsageError
from gateway.errors import Problem, ProblemsError, Reason

if TYPE_CHECKING:
    from gateway.api.operator.v1 import operator_pb2 as pb
    from gateway.cli.profile import Profile

_MAX_TOKEN_BYTES = 4096


def presentation(
    client: Profile, scenario: str, *, token_file: Path | None, code: str | None, qr: Path | None
) -> pb.Presentation:
    """The presentation to send. Raises :class:`UsageError` unless there is just one and it can be read."""
    from gateway.api.operator.v1 import operator_pb2 as pb
    from gateway.cli.qr import read_qr
    from gateway.crypto.shown import Shown, read_shown
    from gateway.domain.handle import Handle

    if [token_file, code, qr].count(None) != 2:
        raise UsageError("what does she present?", "give one of --token-file, --code and --qr")
    if token_file is not None:
        shown: Handle | Shown = Shown(_read_token(token_file), "")
    else:
        text = read_qr(qr) if qr is not None else code or ""
        try:
            shown = read_shown(text)
        except ValueError as error:
            what = "the code" if qr is None else f"the QR code in {qr}"
            raise UsageError(f"{what} cannot be right: {error}", "have it read out or shown again") from error
    if isinstance(shown, Handle):
        return pb.Presentation(handle=shown.text)
    proof = shown.proof or _operators_proof(client, scenario, shown.token)
    return pb.Presentation(token=pb.TokenPresentation(token=shown.token, proof=proof))


def _read_token(path: Path) -> str:
    from gateway.cli.client import read_file

    text = read_file(path, _MAX_TOKEN_BYTES, "name the file that `consent grant --out` wrote").decode(
        "ascii", "replace"
    )
    return text.strip()


def _operators_proof(client: Profile, scenario: str, token: str) -> str:
    """A proof by the operator's key if the token is bound to that, else nothing. Raises TOKEN_* for what is no token.

    A device's proof is nobody's to make but the device's.
    """
    import time

    from gateway.cli.key_files import KeySlot, proof_key
    from gateway.crypto import jws
    from gateway.crypto.consent import TYP, new_id, token_hash
    from gateway.crypto.proof import issue_proof

    # the claims decide only whether a proof is sent along; the gateway and the city verify the token
    bound = jws.parse(token, TYP).claims.get("cnf")
    if not isinstance(bound, dict) or "holder" in bound:
        return ""
    if client.proof_key is None:
        problem = Problem("profile", "proof_key", "the token is bound to the operator's key", "add proof_key")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem])
    held = proof_key(KeySlot(client.proof_key, client.proof_kid), str(bound.get("jkt")))
    return issue_proof(
        held.key,
        held.kid,
        token_hash=token_hash(token),
        operator=client.name,
        scenario=scenario,
        issued_at=int(time.time()),
        proof_id=new_id(),
    )

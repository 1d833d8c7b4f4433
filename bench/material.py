"""What is sent: real tokens, proofs and requests, made before the clock starts; and the sizes that echo copies."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from bench.world import World
from gateway.api.operator.v1 import operator_pb2 as api
from gateway.crypto.consent import ConsentToken, issue_consent, new_id, token_hash
from gateway.crypto.keys import PrivateKey, b64url, load_private_key
from gateway.crypto.proof import issue_proof
from gateway.domain.ids import CityId, OperatorId, ScenarioId

PLACEHOLDER = b"request-id-placeholder"
"""Stands in a prepared request where a fresh request id goes; ids have the same length, so no length changes."""
COUNTED_USES = 200


@dataclass(frozen=True, slots=True)
class Template:
    """A request in pieces: between each two goes a fresh request id."""

    pieces: tuple[bytes, ...]

    @classmethod
    def of(cls, message: bytes) -> Template:
        """Cut a serialised message at its placeholders."""
        return cls(tuple(message.split(PLACEHOLDER)))

    def size(self) -> int:
        """Bytes of the finished request."""
        return sum(map(len, self.pieces)) + (len(self.pieces) - 1) * len(PLACEHOLDER)


@dataclass(frozen=True, slots=True, repr=False)
class Consent:
    """A token and, when it is bound, its proof. No ``repr``: a token is a secret, also here."""

    token: str
    proof: str


class Issuer:
    """Issues consents with the world's keys. Times are whole minutes, as real ones are."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._consent: PrivateKey = load_private_key(world.keys["consent"])
        self._proof: PrivateKey = load_private_key(world.keys["proof"])

    def consent(self, now_s: int, *, uses: int | None = None) -> Consent:
        """A token with ``uses``, or an unlimited one, with a fresh proof unless for one use; no city knows of it."""
        world, minute = self._world, now_s // 60 * 60
        token, digest = issue_consent(
            self._consent,
            world.kids["consent"],
            ConsentToken(
                hash=b"",
                issuer=CityId(world.city_id),
                audience=world.deployment,
                subject=b64url(secrets.token_bytes(32)),
                operator=OperatorId(world.operator),
                scenarios={ScenarioId(world.scenario): world.purpose},
                issued_at=minute,
                not_before=minute,
                expires_at=minute + 30 * 86_400,
                id=new_id(),
                uses=uses,
                notice=world.notice,
                key_thumbprint=None if uses == 1 else world.kids["proof"],
            ),
        )
        return Consent(token, "") if uses == 1 else self._proved(token, digest, now_s)

    def proved(self, token: str, now_s: int) -> Consent:
        """A token that the city issued, with a fresh proof of the operator's key."""
        return self._proved(token, token_hash(token), now_s)

    def _proved(self, token: str, digest: bytes, now_s: int) -> Consent:
        world = self._world
        proof = issue_proof(
            self._proof,
            world.kids["proof"],
            token_hash=digest,
            operator=world.operator,
            scenario=world.scenario,
            issued_at=now_s,
            proof_id=new_id(),
        )
        return Consent(token, proof)


def check_request(world: World, consent: Consent) -> api.CheckEligibilityRequest:
    """One check with the placeholder as request id."""
    return api.CheckEligibilityRequest(
        request_id=PLACEHOLDER.decode("ascii"),
        scenario=world.scenario,
        presentation=api.Presentation(token=api.TokenPresentation(token=consent.token, proof=consent.proof)),
    )


def single(world: World, consents: Sequence[Consent]) -> list[Template]:
    """One request per consent."""
    return [Template.of(check_request(world, consent).SerializeToString()) for consent in consents]


def batches(world: World, consents: Sequence[Consent], size: int) -> list[Template]:
    """Requests of ``size`` checks each; consents that fill no whole batch are left out."""
    items = [check_request(world, consent) for consent in consents]
    return [
        Template.of(api.BatchCheckEligibilityRequest(items=items[start : start + size]).SerializeToString())
        for start in range(0, len(items) - size + 1, size)
    ]


def introspection(world: World, consents: Sequence[Consent]) -> list[Template]:
    """The same question as a JSON body over HTTP/1.1 with keep-alive."""
    templates = []
    for consent in consents:
        question = {"request_id": PLACEHOLDER.decode(), "scenario": world.scenario}
        body = json.dumps(question | {"token": consent.token, "proof": consent.proof}).encode()
        head = (
            "POST /introspect HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        templates.append(Template.of(head.encode() + body))
    return templates


def sample_reply(world: World) -> api.CheckEligibilityResponse:
    """A reply as the product gives it for the benchmark's scenario, for its size."""
    moment = Timestamp(seconds=1_790_000_000, nanos=123_000_000)
    return api.CheckEligibilityResponse(
        decision=api.Decision(
            decision_id="d" * 32,
            outcome=api.OUTCOME_ENTITLED,
            terms=api.Terms(
                items=[api.Term(percentage_off=api.PercentageOff(percent=20))],
                text_zh="使用 e福州 支付享八折",
                text_en="20 % off when paying with e福州",
            ),
            bundle_digest=world.bundle,
            decided_at=moment,
            valid_until=moment,
            log_index=123_456,
            illustrative=True,
        )
    )


def write_templates(path: Path, templates: Sequence[Template]) -> None:
    """Write templates for the load generator."""
    data = [[base64.b64encode(piece).decode("ascii") for piece in template.pieces] for template in templates]
    path.write_text(json.dumps(data), encoding="ascii")


def read_templates(path: Path) -> list[Template]:
    """Read what ``write_templates`` wrote."""
    data: list[list[str]] = json.loads(path.read_text(encoding="ascii"))
    return [Template(tuple(base64.b64decode(piece) for piece in pieces)) for pieces in data]

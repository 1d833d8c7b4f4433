"""The city's own keys, by purpose, held by this process alone; and which of them it may sign with now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

from adapters.pairwise import PairwiseSecret
from adapters.store.consents import DeviceKey
from gateway.consentlog.consent_receipt import ReceiptContent, issue_receipt
from gateway.crypto.attestation import Attestation, issue_attestation
from gateway.crypto.consent import ConsentToken, issue_consent
from gateway.crypto.event import SecurityEvent, draft_event, issue_event, reissue_event
from gateway.crypto.keys import PrivateKey, load_private_key, public_jwk, thumbprint
from gateway.domain.directory import CityPeer
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

Purpose = Literal["consent", "attestation", "event"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
RETRY_AFTER_S = 30.0


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private key and the key id under which the directory knows it."""

    kid: str
    key: PrivateKey

    @classmethod
    def load(cls, kid: str | None, path: Path) -> SigningKey:
        """Read a PEM PKCS #8 key; without ``kid`` it goes by its thumbprint (RFC 7638). Raises KEY_INVALID."""
        key = load_private_key(path)
        return cls(kid or thumbprint(public_jwk(key)), key)

    def listed(self, city: CityPeer, purpose: Purpose) -> bool:
        """Whether the directory lists this key for the purpose under this id."""
        jwk = public_jwk(self.key)
        return any(item.purpose == purpose and item.kid == self.kid and dict(item.jwk) == jwk for item in city.keys)


@dataclass(frozen=True, slots=True, repr=False)
class CityKeys:
    """One key per purpose, and the secret of the pairwise identifiers. It has no ``repr``."""

    consent: SigningKey
    attestation: SigningKey
    event: SigningKey
    pairwise: PairwiseSecret

    def of(self, purpose: Purpose) -> SigningKey:
        """The key of a purpose."""
        key: SigningKey = getattr(self, purpose)
        return key

    def sign_consent(self, token: ConsentToken) -> tuple[str, bytes]:
        """Sign a consent token; the token and its hash."""
        return issue_consent(self.consent.key, self.consent.kid, token)

    def device_key(self, token: ConsentToken) -> DeviceKey | None:
        """The device's key of a token and whose it is, as the city remembers them; None for any other token."""
        if not token.of_device or token.key_thumbprint is None:
            return None
        mark, owner = token.key_thumbprint, f"{token.key_thumbprint}\0{token.subject}"
        return DeviceKey(self.pairwise.mark("device key", mark), self.pairwise.mark("device key's owner", owner))

    def sign_attestation(self, attestation: Attestation) -> str:
        """Sign an attestation."""
        return issue_attestation(self.attestation.key, self.attestation.kid, attestation)

    def sign_event(self, event: SecurityEvent) -> str:
        """Sign an event."""
        return issue_event(self.event.key, self.event.kid, event)

    def sign_receipt(self, content: ReceiptContent) -> str:
        """Sign a receipt of a consent."""
        return issue_receipt(self.consent.key, self.consent.kid, content)

    def current_event(self, text: str) -> str:
        """An event of our own as the key in use now signs it."""
        return reissue_event(self.event.key, self.event.kid, text)

    def check_against(self, city: CityPeer, file: str) -> None:
        """Return if the directory lists each of these keys for its purpose: else nobody could verify this city.

        Raises ProblemsError (KEY_INVALID) that names every key that does not agree.
        """
        held = ((purpose, self.of(purpose)) for purpose in PURPOSES)
        problems = [_unlisted(purpose, key, city, file) for purpose, key in held if not key.listed(city, purpose)]
        if problems:
            raise ProblemsError(Reason.KEY_INVALID, problems)


class CitySigner(Protocol):
    """Who signs for the city: :class:`CityKeys` as they are, or :class:`Custody`, which follows the directory."""

    @property
    def pairwise(self) -> PairwiseSecret:
        """The secret of the pairwise identifiers."""
        ...

    def sign_consent(self, token: ConsentToken) -> tuple[str, bytes]:
        """Sign a consent token; the token and its hash. May raise SIGNING_KEY_UNLISTED."""
        ...

    def sign_attestation(self, attestation: Attestation) -> str:
        """Sign an attestation. May raise SIGNING_KEY_UNLISTED."""
        ...

    def sign_event(self, event: SecurityEvent) -> str:
        """An event for the outbox."""
        ...

    def sign_receipt(self, content: ReceiptContent) -> str:
        """Sign a receipt of a consent. May raise SIGNING_KEY_UNLISTED."""
        ...

    def device_key(self, token: ConsentToken) -> DeviceKey | None:
        """Marks of the device's key that a token is bound to; None for another token."""
        ...

    def current_event(self, text: str) -> str:
        """An event of our own as the key in use now signs it. May raise SIGNING_KEY_UNLISTED."""
        ...


class Custody:
    """The keys that this process signs with now: those, and only those, that its own directory lists.

    A key is taken up by :meth:`take`, on the event loop; it is used by other threads, which see the old or the new set.
    """

    def __init__(self, keys: CityKeys, city: CityPeer, file: str) -> None:
        """Begin with ``keys``. Raises KEY_INVALID unless the directory lists all of them."""
        keys.check_against(city, file)
        self._held = keys
        self._signing: Mapping[Purpose, SigningKey] = {purpose: keys.of(purpose) for purpose in PURPOSES}

    @property
    def pairwise(self) -> PairwiseSecret:
        """The secret of the pairwise identifiers; it never changes while the process runs."""
        return self._held.pairwise

    def take(self, found: CityKeys | None, city: CityPeer, file: str) -> list[Problem]:
        """Follow the directory to the keys in the files now (``found``; None: they cannot be read).

        For each purpose the file's key is taken up if it is listed; else the one before stays in use as long as it is
        listed; else this purpose is not signed for. Returns what is not as it should be, for log and alarm.
        """
        problems: list[Problem] = []
        signing: dict[Purpose, SigningKey] = {}
        for purpose in PURPOSES:
            candidates = [self._held.of(purpose)] if found is None else [found.of(purpose), self._held.of(purpose)]
            usable = [key for key in candidates if key.listed(city, purpose)]
            if usable:
                signing[purpose] = usable[0]
            if usable[:1] != candidates[:1]:
                problems.append(_unlisted(purpose, candidates[0], city, file))
        last = {purpose: signing.get(purpose, self._held.of(purpose)) for purpose in PURPOSES}
        self._held = CityKeys(last["consent"], last["attestation"], last["event"], self._held.pairwise)
        self._signing = signing
        return problems

    def signing(self) -> dict[str, str]:
        """Key ids in use by purpose; a purpose that is not signed for is absent."""
        return {purpose: key.kid for purpose, key in self._signing.items()}

    def sign_consent(self, token: ConsentToken) -> tuple[str, bytes]:
        """Sign a consent token; the token and its hash. Raises SIGNING_KEY_UNLISTED."""
        used = self._use("consent")
        return issue_consent(used.key, used.kid, token)

    def sign_attestation(self, attestation: Attestation) -> str:
        """Sign an attestation. Raises SIGNING_KEY_UNLISTED."""
        used = self._use("attestation")
        return issue_attestation(used.key, used.kid, attestation)

    def sign_event(self, event: SecurityEvent) -> str:
        """An event for the outbox, where :meth:`current_event` finds it; without a listed key it stays unsigned.

        A withdrawal takes effect in the city whether or not anybody could verify its event yet (I7).
        """
        used = self._signing.get("event")
        return draft_event(event) if used is None else issue_event(used.key, used.kid, event)

    def device_key(self, token: ConsentToken) -> DeviceKey | None:
        """See :class:`CityKeys`."""
        return self._held.device_key(token)

    def sign_receipt(self, content: ReceiptContent) -> str:
        """Sign a receipt of a consent. Raises SIGNING_KEY_UNLISTED."""
        used = self._use("consent")
        return issue_receipt(used.key, used.kid, content)

    def current_event(self, text: str) -> str:
        """An event of our outbox as the key in use now signs it. Raises SIGNING_KEY_UNLISTED.

        The outbox outlives keys: what was put into it under a key that has been retired since could be verified by
        nobody, and a withdrawal would be lost to the gateway.
        """
        used = self._use("event")
        return reissue_event(used.key, used.kid, text)

    def _use(self, purpose: Purpose) -> SigningKey:
        used = self._signing.get(purpose)
        if used is None:
            detail = f"the directory lists none of the {purpose} keys that this adapter holds"
            raise TiergateError(Reason.SIGNING_KEY_UNLISTED, detail, retry_after_s=RETRY_AFTER_S)
        return used


def _unlisted(purpose: Purpose, key: SigningKey, city: CityPeer, file: str) -> Problem:
    return Problem(
        file,
        f"cities.{city.id}.keys",
        f"does not list this adapter's {purpose} key as {key.kid}",
        "send the public key to the authority that signs the directory, or mend the key settings",
    )

"""A city and the log that reports to it, with what an auditor gets of both: an export, and the city's journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapters.journal import Written, write_journal
from adapters.reports import Report
from adapters.store.city_store import FILE_NAME
from gateway.consentlog.entry import decode
from gateway.consentlog.export import write_export
from gateway.crypto.consent import token_hash
from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE, PAYLOAD_TYPES, Authority, Root, sign
from gateway.crypto.keys import generate_signing_key, public_jwk
from gateway.domain.decision import Outcome
from gateway.policy.bundle import digest_of
from gateway.policy.directory import build_directory
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.log import FakeLog
from tests.fakes.network import ORIGIN, bundle_bytes
from tests.unit.consentlog.samples import MemoryLog

LATER_S = 3600


class Audited:
    """Decides about one synthetic resident of the city, whom it attests rung 1."""

    def __init__(self, city: FakeCity) -> None:
        self.city = city
        self.log = FakeLog(city.network.log)
        self.log.publish(city.reference.bundle.digest)
        self.bundles: dict[str, bytes] = {city.reference.bundle.digest: bundle_bytes()}
        """Those that the gateway has published, by digest."""
        self._authority = generate_signing_key("EdDSA")

    @property
    def trust(self) -> bytes:
        """The trust file."""
        return f"log {self.city.network.log.verifier}\nquorum none\n".encode()

    async def attest(self) -> tuple[str, str]:
        """A new consent's token and an attestation about it, by its id."""
        self.city.source.know(RESIDENT, 900)
        granted = await self.city.grant()
        return granted.token, (await self.city.answer(granted.token)).id

    def decide(self, token: str, rung: int = 1, **changes: Any) -> int:
        """Append a consent's registration and a decision on it; the decision's index."""
        consent = self.log.register(token_hash(token))
        return self.again(consent, rung, **changes)

    def again(self, consent: int, rung: int = 1, **changes: Any) -> int:
        """Append a decision on a consent that is registered."""
        fields = {"consent": consent, "token": decode(self.log.entries[consent]).text("token")}
        return self.log.decide(rung, **{"bundle": self.city.reference.bundle.digest, **fields, **changes})

    async def report(self, index: int, attestation: str) -> None:
        """Tell the city of a decision, with its proof."""
        entry = self.log.entries[index]
        outcome = Outcome(decode(entry).text("outcome"))
        found = Report(attestation, outcome, index, entry, self.log.inclusion(index))
        await self.city.reports.take([found], self.log.checkpoint())

    async def decided(self, rung: int = 1) -> int:
        """Attested, decided and reported; the decision's index."""
        token, attestation = await self.attest()
        index = self.decide(token, rung)
        await self.report(index, attestation)
        return index

    def export(self, folder: Path, entries: list[bytes] | None = None) -> Path:
        """The log, or other ``entries`` in its place, as the gateway would sign and export it."""
        source = MemoryLog(self.log.entries if entries is None else entries, self.city.network.log, ORIGIN)
        write_export(source, folder, self.bundles, self.trust)
        return folder

    def journal(self, file: Path, *, late_s: int = LATER_S, **range_: Any) -> Written:
        """The city's journal, made this long after everything happened."""
        with file.open("wb") as out:
            return write_journal(
                out,
                self.city.folder / FILE_NAME,
                self.city.reference,
                self.city.keys.event,
                now_s=self.city.now_s + late_s,
                **range_,
            )

    def publish_unsigned(self) -> str:
        """Publish a bundle that no authority has signed, the next version of the one that one has; its digest."""
        data = bundle_bytes(self.city.reference.bundle.version + 1)
        digest = digest_of(data)
        self.bundles[digest] = data
        self.log.publish(digest, self.city.reference.bundle.version + 1)
        return digest

    def directory(self, folder: Path) -> tuple[Path, Path]:
        """Root file and signed directory."""
        file = folder / "directory.json"
        file.write_bytes(sign(DIRECTORY_TYPE, build_directory(self.city.network.directory), [self._authority]))
        return self._root(folder), file

    def signed(self, folder: Path) -> tuple[Path, Path]:
        """Root file and signed bundle."""
        file = folder / "bundle.json"
        file.write_bytes(sign(BUNDLE_TYPE, bundle_bytes(), [self._authority]))
        return self._root(folder), file

    def _root(self, folder: Path) -> Path:
        authority = Authority("province", public_jwk(self._authority), PAYLOAD_TYPES)
        file = folder / "root.json"
        file.write_bytes(Root((authority,), dict.fromkeys(PAYLOAD_TYPES, 1)).to_json())
        return file

"""The signed files that an adapter works by: peer directory and policy bundle, verified under the city's own root file.

Both are taken together or not at all, and never in an older version than one seen before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from adapters.clock import utc_day
from gateway.consentlog.trust import TrustPolicy, directory_trust
from gateway.crypto.consent import ConsentVerifier
from gateway.crypto.keys import KeyRing
from gateway.crypto.proof import ProofVerifier
from gateway.domain.bundle import Bundle, Timeline
from gateway.domain.directory import CityPeer, Directory
from gateway.domain.ids import BundleDigest, CityId
from gateway.domain.tier import Concordance
from gateway.errors import Reason, TiergateError
from gateway.policy.installed import Seen, load_installed

REMEMBERED_PROOFS = 4096  # about 4 MiB


@dataclass(frozen=True, slots=True)
class Reference:
    """One pair of directory and bundle, with what follows from it for one city; replaced as a whole.

    ``bundle`` is the one in force when it was made by :meth:`at`; ``seen``: what the files must not fall behind.
    """

    city: CityPeer
    directory: Directory
    bundle: Bundle
    consents: ConsentVerifier
    proofs: ProofVerifier
    log: TrustPolicy
    timeline: Timeline
    seen: Seen

    @classmethod
    def of(
        cls,
        city: CityId,
        directory: Directory,
        bundle: Bundle,
        *,
        timeline: Timeline | None = None,
        seen: Seen | None = None,
    ) -> Reference:
        """Build the verifiers. Raises DIRECTORY_INVALID if the city is not listed, KEY_INVALID for an unusable key.

        Only the city's own tokens verify here: another city's are no business of this one.
        """
        peer = directory.cities.get(city)
        if peer is None:
            raise TiergateError(Reason.DIRECTORY_INVALID, f"the directory does not list city {city}")
        return cls(
            city=peer,
            directory=directory,
            bundle=bundle,
            consents=ConsentVerifier({city: KeyRing("consent", peer.keys)}, directory.gateway.deployment),
            proofs=ProofVerifier(
                {operator: KeyRing("proof", item.keys) for operator, item in directory.operators.items()},
                remember=REMEMBERED_PROOFS,
            ),
            log=TrustPolicy.parse(directory_trust(directory.gateway)),
            timeline=timeline or Timeline((bundle,)),
            seen=seen or Seen(),
        )

    def at(self, now_s: float) -> Reference:
        """The same with the bundle in force at a Unix time. Raises BUNDLE_INVALID."""
        return self._with(self.timeline.at(now_s))

    def under(self, digest: BundleDigest, now_s: float) -> Reference:
        """The same with the bundle that a question names. Raises BUNDLE_MISMATCH (see ``Timeline.named``)."""
        return self._with(self.timeline.named(digest, now_s))

    def _with(self, bundle: Bundle) -> Reference:
        return self if bundle is self.bundle else replace(self, bundle=bundle)

    def concordance(self, now_s: float) -> Concordance:
        """The city's concordance in force at a Unix time. Raises HOME_CITY_UNAVAILABLE: nobody can be attested then.

        The same past the end of bundle or directory: an old rule, or a key that was removed, must not go on deciding.
        """
        day = utc_day(now_s)
        found = self.bundle.concordances.get(self.city.id)
        if found is None or day < found.effective_from or (found.effective_until or day) < day:
            raise _out_of_force("no concordance of this city is in force")
        if day > self.bundle.expires:
            raise _out_of_force(f"bundle version {self.bundle.version} has expired")
        if now_s >= self.directory.expires:
            raise _out_of_force(f"directory version {self.directory.version} has expired")
        return found


def _out_of_force(detail: str) -> TiergateError:
    return TiergateError(Reason.HOME_CITY_UNAVAILABLE, detail, retry_after_s=60)


def load_reference(
    city: CityId,
    root: Path,
    directory: Path,
    bundle: Path,
    *,
    now_s: int,
    seen: Seen | None = None,
    held: Timeline | None = None,
) -> Reference:
    """Read and verify the signed files. ``seen``: what this city has worked by before; ``held``: bundles read before.

    Raises CONFIG_INVALID (a file is missing), SIGNATURE_INVALID, DIRECTORY_INVALID, NOTICE_INVALID, BUNDLE_INVALID,
    KEY_INVALID.
    """
    files = load_installed(root, directory, bundle, now_s=now_s, seen=seen, held=held)
    return Reference.of(city, files.directory, files.timeline.at(now_s), timeline=files.timeline, seen=files.seen)

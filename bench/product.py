"""The modes that measure the product: which variant, which requests, which reply is the right one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence

from bench import material
from bench.grants import grant
from bench.job import Channel
from bench.material import COUNTED_USES, Consent, Issuer, Template
from bench.measure import Mode, tls_channel
from bench.network import Product, Variant
from bench.phone import Phone
from bench.yards import CHECK, IN_FLIGHT, RESIDENTS, expect_entitled
from gateway.api.consent.v1.consent_pb2 import DeviceKey
from gateway.api.operator.v1 import operator_pb2 as api

BATCH = "/gateway.api.operator.v1.EligibilityService/BatchCheckEligibility"
BATCH_SIZE = 100
BATCHES_IN_FLIGHT = 4
FIRST_PER_S = 3000
"""How much is made per second of a measurement in which each consent or proof is good once: more than is asked."""

VARIANTS: Mapping[Variant, tuple[str, ...]] = {
    Variant("anew"): ("anew-64", "anew-4", "anew-1", "device-64", "batch-anew", "counted", "first"),
    Variant("known", trust_remembered=True): ("known-64", "batch-known"),
    Variant("plain", plaintext=True): ("anew-plain",),
    Variant("stub", stub=True): ("anew-stub", "counted-stub", "first-stub"),
    Variant("thousand", stub=True, log_entries=1_000): ("anew-thousand",),
    Variant("million", stub=True, log_entries=1_000_000): ("anew-million",),
}
"""The gateways that run, and the modes that each one serves."""

Make = Callable[[int], list[Consent]]


def unlimited(product: Product) -> Make:
    """Makes fresh unlimited consents of the product's city, with proofs."""
    return _bound(product, None)


def counted(product: Product) -> Make:
    """Makes fresh counted consents of the product's city, with proofs."""
    return _bound(product, COUNTED_USES)


def _bound(product: Product, uses: int | None) -> Make:
    issuer = Issuer(product.world)

    def make(count: int) -> list[Consent]:
        now = int(time.time())
        if product.variant.stub:
            return [issuer.consent(now, uses=uses) for _ in range(count)]
        return [issuer.proved(token, now) for token in _granted(product, [None] * count, uses=uses or 0)]

    return make


def device_bound(product: Product, consents: int) -> Make:
    """Makes presentations of fresh device-bound consents in turn, each with a proof of its own that is good once."""

    def make(count: int) -> list[Consent]:
        phones = [Phone(product.world) for _ in range(consents)]
        tokens = _granted(product, [phone.public for phone in phones])
        turns = itertools.islice(itertools.cycle(zip(phones, tokens, strict=True)), count)
        now = int(time.time())
        return [phone.presented(token, now) for phone, token in turns]

    return make


def _granted(product: Product, devices: Sequence[DeviceKey | None], *, uses: int = 0) -> list[str]:
    return grant(product.world, product.app, product.city.address, devices, uses=uses)


def expect_all_entitled(reply: bytes) -> None:
    """Raise ValueError unless a reply holds entitled decisions only."""
    results = api.BatchCheckEligibilityResponse.FromString(reply).results
    if len(results) != BATCH_SIZE or any(item.decision.outcome != api.OUTCOME_ENTITLED for item in results):
        raise ValueError("not all entitled")


def _expect_entitled_on(entries: int) -> Callable[[bytes], None]:
    """Raise ValueError also for a decision that is not behind this many entries: its log was not the filled one."""

    def check(reply: bytes) -> None:
        expect_entitled(reply)
        index = api.CheckEligibilityResponse.FromString(reply).decision.log_index
        if index < entries:
            raise ValueError(f"log index {index} on a log of {entries} entries")

    return check


def _channel(product: Product, method: str) -> Channel:
    if product.variant.plaintext:
        return Channel("grpc", product.gateway.address, method, identity=product.world.client_identity)
    return tls_channel(product.world, product.gateway, method)


def _single(
    name: str, product: Product, make: Make, count: int, in_flight: int = IN_FLIGHT, *, once: bool = False
) -> Mode:
    def templates() -> list[Template]:
        return material.single(product.world, make(count))

    channel = _channel(product, CHECK)
    check = _expect_entitled_on(product.variant.log_entries)
    return Mode(name, channel, product.servers, templates, check, in_flight, once=once)


def _batch(name: str, product: Product) -> Mode:
    make = unlimited(product)

    def templates() -> list[Template]:
        return material.batches(product.world, make(BATCH_SIZE * BATCHES_IN_FLIGHT), BATCH_SIZE)

    channel = _channel(product, BATCH)
    return Mode(name, channel, product.servers, templates, expect_all_entitled, BATCHES_IN_FLIGHT, BATCH_SIZE)


def product_modes(product: Product, names: Sequence[str], seconds: float) -> list[Mode]:
    """The named modes of a running variant; ``seconds`` that one measurement loads a server."""
    return [_mode(name, product, seconds) for name in names]


def _mode(name: str, product: Product, seconds: float) -> Mode:
    kind, _, rest = name.partition("-")
    match kind:
        case "batch":
            return _batch(name, product)
        case "counted":
            return _single(name, product, counted(product), RESIDENTS)
        case "device":
            count = int(FIRST_PER_S * seconds)
            return _single(name, product, device_bound(product, RESIDENTS), count, once=True)
        case "first":
            return _single(name, product, unlimited(product), int(FIRST_PER_S * seconds), once=True)
        case _:
            in_flight = int(rest) if rest.isdigit() else IN_FLIGHT
            return _single(name, product, unlimited(product), RESIDENTS, in_flight)

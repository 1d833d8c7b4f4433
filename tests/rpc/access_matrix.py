"""The access matrix: every RPC of a server, taken from its descriptors, against every role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import ServiceDescriptor

from gateway.domain.ids import ROLES, Role

Decision = tuple[str, Role, bool]


def decide(services: Iterable[ServiceDescriptor], admitted: Mapping[str, frozenset[Role]]) -> list[Decision]:
    """(full method name, role, whether it is admitted) for every RPC and role.

    ``admitted`` is what the test expects. AssertionError for an RPC that it leaves out, or a row too many.
    """
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert methods == set(admitted), f"undecided or left over: {sorted(methods ^ set(admitted))}"
    return [(method, role, role in admitted[method]) for method in sorted(methods) for role in ROLES]

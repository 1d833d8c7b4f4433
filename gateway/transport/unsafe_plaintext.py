"""The benchmark's plaintext mode: no TLS, and the caller is whoever it says it is. It exists to measure what TLS costs.

It is refused off loopback. Only ``gateway.app``, on its setting for the benchmark in development, may use this module.
"""

from __future__ import annotations

from ipaddress import ip_address

from gateway.errors import Reason, TiergateError
from gateway.transport.identity import Caller, Context, Identify, Resolve

IDENTITY_KEY = "x-bench-identity"


class UnsafePlaintext:
    """What is given to ``build_server`` in place of TLS. Raises CONFIG_INVALID unless ``allow`` and on loopback."""

    def __init__(self, address: str, *, allow: bool) -> None:
        host = address.rpartition(":")[0].strip("[]")
        try:
            loopback = ip_address(host).is_loopback
        except ValueError:
            loopback = False  # a name may lead anywhere, "localhost" too
        if not (allow and loopback):
            raise TiergateError(Reason.CONFIG_INVALID, "plaintext is for the benchmark alone, on a loopback address")
        self.address = address

    @staticmethod
    def identify(resolve: Resolve) -> Identify:
        """The identity step: a SPIFFE ID taken from the metadata on trust."""

        def identify(context: Context) -> Caller:
            claimed = [value for key, value in context.invocation_metadata() or () if key == IDENTITY_KEY]
            if len(claimed) != 1 or not isinstance(claimed[0], str):
                raise TiergateError(Reason.CALLER_UNKNOWN, f"{len(claimed)} claims of identity")
            return resolve(claimed[0].encode())

        return identify

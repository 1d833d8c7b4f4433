"""A first check in Python: ``python check.py SCENARIO TOKEN-FILE`` prints the decision as JSON.

It needs the package ``tiergate`` for its stubs, and beside this file what ``tiergate operator init`` made, the
certificate, and the signed files. It is for counted tokens: one that is bound to your key needs a proof besides
(``gateway.crypto.proof``; ``tiergate check`` makes it). Exit code 3: no answer now, apply the base offer and retry with
the same request id.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path

import grpc
import grpc.aio
from google.protobuf.json_format import MessageToDict

from gateway.api.operator.v1.operator_pb2 import CheckEligibilityRequest, Presentation, TokenPresentation
from gateway.api.operator.v1.operator_pb2_grpc import EligibilityServiceStub
from gateway.policy.installed import installed_directory

HERE = Path(__file__).resolve().parent
DEADLINE_S = 10.0
LATER = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}


async def check(scenario: str, token: str) -> int:
    """Ask, and print what is to be applied; the exit code."""
    # the signed directory says where the gateway is, and which name its certificate must carry
    gateway = installed_directory(HERE / "root.json", HERE / "directory.json").gateway.endpoint
    certificate, key, authority = ((HERE / "tls" / f"{name}.pem").read_bytes() for name in ("cert", "key", "ca"))
    options = [("grpc.ssl_target_name_override", gateway.server_name), ("grpc.enable_http_proxy", 0)]
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    request = CheckEligibilityRequest(
        request_id=secrets.token_urlsafe(24),  # repeat it for a retry: the same check, at no further use
        scenario=scenario,
        presentation=Presentation(token=TokenPresentation(token=token)),
    )
    async with grpc.aio.secure_channel(gateway.address, credentials, options) as channel:
        try:
            answer = await EligibilityServiceStub(channel).CheckEligibility(request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 3 if error.code().name in LATER else 1
    decision = MessageToDict(
        answer.decision, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    print(json.dumps(decision, ensure_ascii=False, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(check(sys.argv[1], Path(sys.argv[2]).read_text("ascii").strip())))

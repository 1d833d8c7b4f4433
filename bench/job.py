"""What the load generator is told on its standard input, and what it answers: JSON, one document each."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Channel:
    """How a target is reached. Without ``authority`` (and the client's own PEM files) in plain text.

    ``identity``: what a client without a certificate says that it is, to a gateway in the benchmark's plaintext mode.
    """

    kind: Literal["grpc", "http"]
    address: str
    method: str = ""
    authority: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement. Load runs for ``warm_s`` and is then measured for ``seconds``.

    ``once``: each template is used a single time, and running out of them is an error. Else they are used in turn, and
    before the load each is sent once, so that what can be remembered of it is remembered.
    ``processes``: process ids by name, whose CPU time is read at both ends of the measured window.
    """

    channel: Channel
    templates: str
    in_flight: int
    warm_s: float
    seconds: float
    processes: dict[str, int]
    once: bool = False
    timeout_s: float = 10.0

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def loads(cls, text: str) -> Job:
        """From JSON."""
        members: dict[str, Any] = json.loads(text)
        return cls(**(members | {"channel": Channel(**members["channel"])}))


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured in the window. ``calls`` were answered in it; ``sent`` counts warm-up too.

    Latencies in milliseconds, CPU in seconds spent in the window; ``client_cpu`` is the load generator's own,
    ``other_cpu`` that of everything on the machine besides these.
    ``reply`` is one whole reply (base64), ``shortest`` the length in bytes of the shortest reply in the window.
    """

    calls: int
    sent: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu: dict[str, float]
    client_cpu: float
    other_cpu: float
    errors: int
    error_kinds: dict[str, int]
    reply: str
    shortest: int

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def loads(cls, text: str) -> Result:
        """From JSON."""
        members: dict[str, Any] = json.loads(text)
        return cls(**members)

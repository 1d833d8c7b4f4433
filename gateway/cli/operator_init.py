"""``tiergate operator init``: what an operator starts from: profile, policy file, keys, a request, first checks."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import ValidationError

from gateway.cli.new_folder import (
    make_certificate_request,
    make_listed_key,
    new_folder,
    quoted,
    rendered,
    require_domain,
    require_slug,
)
from gateway.cli.options import Json
from gateway.cli.output import UsageError, facts, show
from gateway.domain.ids import PeerIdentity
from gateway.policy.entries import entry_text
from gateway.policy.schema import OperatorFile

app = App(name="operator", help="An operator: begin.")
TEMPLATES = Path(__file__).with_name("templates")
_SAMPLES = ("check.py", "check.js", "include/buf/validate/validate.proto")


@app.command
def init(
    operator: Annotated[str, Parameter(help="Id of the operator, a slug such as xiamen-library.")],
    *,
    host_city: Annotated[str, Parameter(name="--host-city", help="City whose scenarios will name it.")],
    trust_domain: Annotated[
        str, Parameter(name="--trust-domain", help="Trust domain of the network, as the province says it.")
    ],
    name_zh: Annotated[
        str | None, Parameter(name="--name-zh", help="Name in Chinese, as residents know it. Default: the id.")
    ] = None,
    name_en: Annotated[
        str | None, Parameter(name="--name-en", help="Name in English, as residents know it. Default: the id.")
    ] = None,
    contact: Annotated[
        str | None,
        Parameter(
            name="--contact", help="Where residents reach who answers for personal data. Default: an invalid one."
        ),
    ] = None,
    into: Annotated[
        Path | None, Parameter(name="--into", help="New folder. Default: one named after the operator.")
    ] = None,
    json: Json = False,
) -> None:
    """Write what an operator starts from: profile, draft policy file, keys, certificate request, first checks.

    Private keys are made here, readable by their owner alone, and never leave. Nothing is sent anywhere. The folder's
    README says what comes next, and gateway/OPERATORS.md shows every step.
    """
    require_slug(operator, "the operator")
    require_slug(host_city, "--host-city")
    holder = PeerIdentity(require_domain(trust_domain), "operator", operator)
    marks = {
        "ID": operator,
        "HOST": host_city,
        "NAME_ZH": quoted(name_zh or operator),
        "NAME_EN": quoted(name_en or operator),
        "CONTACT": quoted(contact or f"privacy@{operator}.example.invalid"),
        "IDENTITY": holder.uri,
    }
    places = {
        "README.md": "README.md",
        "client.toml": "client.toml",
        "operator.toml": f"policies/operators/{operator}.toml",
        **{name: name for name in _SAMPLES},
    }
    texts = {place: (TEMPLATES / name).read_text("utf-8") for name, place in places.items()}
    texts = {place: text if place in _SAMPLES else rendered(text, marks) for place, text in texts.items()}
    _require_operator(texts[f"policies/operators/{operator}.toml"])
    folder = into or Path(operator)
    with new_folder(folder) as draft:
        make_certificate_request(draft / "tls", holder, None)
        key = make_listed_key(draft / "proof.pem", "proof")
        entry = entry_text("operator", {"id": operator, "identity": holder.uri, "keys": [key]})
        (draft / "entry.json").write_bytes(entry)
        for place, text in texts.items():
            (draft / place).parent.mkdir(parents=True, exist_ok=True)
            (draft / place).write_text(text, "utf-8")
    document = {
        "folder": str(folder),
        "operator": operator,
        "host_city": host_city,
        "identity": holder.uri,
        "request": str(folder / "tls" / "request.csr"),
        "entry": str(folder / "entry.json"),
        "policy": str(folder / "policies" / "operators" / f"{operator}.toml"),
    }
    last = f"what comes next: {folder / 'README.md'}"
    show(document, lambda: [facts("An operator that joins", document), last], as_json=json)


def _require_operator(text: str) -> None:
    """Return if the policy file can be read; its names and contact come from the command line. Raises UsageError."""
    try:
        OperatorFile.model_validate(tomllib.loads(text))
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise UsageError(
            f"no policy file can be made of this: {told}", "see --name-zh, --name-en and --contact"
        ) from error

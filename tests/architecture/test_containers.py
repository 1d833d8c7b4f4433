"""The image and the container network: well-formed, without privileges, and without a volume across trust domains."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.architecture.tools import files, python, run

SCHEMA = json.loads(Path(__file__).with_name("compose.schema.json").read_text(encoding="utf-8"))
DOMAINS = {"gateway", "fuzhou", "xiamen", "operators"}


@pytest.fixture(scope="module")
def compose(checkout: Path) -> dict[str, Any]:
    document = yaml.safe_load((checkout / "docker-compose.yml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def volumes(service: dict[str, Any]) -> set[str]:
    return {str(mount).partition(":")[0] for mount in service.get("volumes", ())}


def test_the_network_follows_the_schema(compose: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    problems = jsonschema.Draft202012Validator(SCHEMA).iter_errors(compose)
    assert not [f"{problem.json_path}: {problem.message}" for problem in problems]


@pytest.mark.parametrize(
    ("service", "key", "value"),
    [
        ("gateway", "privileged", True),
        ("gateway", "ports", ["8443:8443"]),
        ("gateway", "user", "0:0"),
        ("gateway", "depends_on", {"provision": {"condition": "service_done"}}),
        ("fuzhou-adapter", "network_mode", "host"),
        ("fuzhou-adapter", "volumes", ["/:/host"]),
    ],
)
def test_the_schema_refuses(compose: dict[str, Any], service: str, key: str, value: object) -> None:
    changed = {**compose, "services": {**compose["services"], service: {**compose["services"][service], key: value}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, SCHEMA)


def test_compose_itself_accepts_the_network(checkout: Path) -> None:
    """``docker compose config`` where that command exists; elsewhere the schema above is the whole check."""
    try:
        available = run("docker", "compose", "version", cwd=checkout).code == 0
    except FileNotFoundError:
        available = False
    if available:
        done = run("docker", "compose", "config", "--quiet", cwd=checkout)
        assert done.code == 0, done.output


def test_every_name_in_the_network_is_declared(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        assert volumes(service) <= compose["volumes"].keys()
        assert set(service.get("networks", ())) <= compose["networks"].keys()
        assert service.get("depends_on", {}).keys() <= services.keys()
        shared = re.fullmatch(r"service:(.+)", service.get("network_mode", ""))
        assert shared is None or shared[1] in services


def test_no_process_sees_the_volume_of_another_domain(compose: dict[str, Any]) -> None:
    services = dict(compose["services"])
    assert volumes(services.pop("provision")) == DOMAINS
    for name, service in services.items():
        assert len(volumes(service)) == 1, name
        (volume,) = volumes(service)
        assert volume.removesuffix("s") in name, f"{name} sees the volume of {volume}"


def test_no_process_has_privileges(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["user"] == "10001:10001", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_every_command_of_the_network_exists(compose: dict[str, Any], checkout: Path) -> None:
    for name, service in compose["services"].items():
        calls = [["-m", "gateway", *service["command"]]] if "command" in service else []
        calls += [service["entrypoint"][1:]] if "entrypoint" in service else []
        calls += [["-m", "gateway", *service["healthcheck"]["test"][2:]]] if "healthcheck" in service else []
        for call in calls:
            done = python(*call, "--help", cwd=checkout)
            assert done.code == 0, f"{name}: {done.output}"
            for option in (word for word in call[2:] if word.startswith("--")):
                assert option in done.output, f"{name}: {option} is not an option of {call}"


def instructions(checkout: Path) -> list[list[str]]:
    text = (checkout / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_is_made_in_two_stages_and_runs_without_root(checkout: Path) -> None:
    steps = instructions(checkout)
    bases = [step[1] for step in steps if step[0] == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base) for base in bases), "name a version, not latest"
    last = steps[max(index for index, step in enumerate(steps) if step[0] == "FROM") :]
    assert ["USER", "10001:10001"] in last


def test_the_image_copies_only_what_the_builder_is_given(checkout: Path) -> None:
    allowed = {
        line[1:] for line in (checkout / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    names = {path.parts[0] for path in files(checkout)}
    for step in instructions(checkout):
        if step[0] == "COPY" and not step[1].startswith("--from"):
            for source in step[1:-1]:
                assert source in names, f"{source} is not in the repository"
                assert any(re.fullmatch(glob.replace(".", r"\.").replace("*", ".*"), source) for glob in allowed), (
                    source
                )

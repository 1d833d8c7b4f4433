from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from adapters.sources.csv import CsvSettings
from adapters.sources.http_settings import HttpSettings
from adapters.sources.settings import open_source, parse_source
from adapters.sources.sql import SqlSettings
from gateway.errors import ProblemsError, Reason

ADAPTERS = Path(__file__).parents[4] / "adapters"
FILE = Path("/etc/tiergate/city.toml")
FIELDS = {"resident": "id", "score": "score", "as_of": "at"}
HTTP: dict[str, Any] = {
    "kind": "http",
    "base_url": "https://score.example.test",
    "path": "/scores/{resident}",
    "fields": FIELDS,
}
SQL: dict[str, Any] = {
    "kind": "sql",
    "sqlite_file": "scores.sqlite3",
    "query": "SELECT id, score, at FROM s WHERE id = :resident",
    "fields": FIELDS,
}
CSV: dict[str, Any] = {"kind": "csv", "path": "scores.csv", "fields": FIELDS}


@pytest.mark.parametrize(
    ("file", "kind"), [("fuzhou/settings.toml", HttpSettings), ("xiamen/settings.toml", SqlSettings)]
)
def test_the_cities_templates_are_valid(file: str, kind: type) -> None:
    path = ADAPTERS / file
    assert isinstance(parse_source(tomllib.loads(path.read_text("utf-8"))["source"], path), kind)


def test_the_readmes_examples_are_valid_and_cover_every_kind() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ADAPTERS / "sources/README.md").read_text("utf-8"), re.DOTALL)
    parsed = [parse_source(tomllib.loads(block)["source"], FILE) for block in blocks]
    assert {type(settings) for settings in parsed} == {HttpSettings, SqlSettings, CsvSettings}


def test_relative_paths_start_at_the_settings_file() -> None:
    csv = parse_source(CSV, FILE)
    assert isinstance(csv, CsvSettings)
    assert csv.path == Path("/etc/tiergate/scores.csv")
    absolute = parse_source({**CSV, "path": "/srv/scores.csv"}, FILE)
    assert isinstance(absolute, CsvSettings)
    assert absolute.path == Path("/srv/scores.csv")


BAD: dict[str, dict[str, Any]] = {
    "no kind": {"fields": FIELDS},
    "unknown kind": {**CSV, "kind": "soap"},
    "unknown key": {**CSV, "skip_header": True},
    "wrong type": {**CSV, "max_rows": "many"},
    "deadline zero": {**CSV, "deadline_s": 0},
    "deadline too long": {**CSV, "deadline_s": 60},
    "no fields": {k: v for k, v in CSV.items() if k != "fields"},
    "csv without resident": {**CSV, "fields": {"score": "score", "as_of": "at"}},
    "csv delimiter": {**CSV, "delimiter": "::"},
    "csv encoding": {**CSV, "encoding": "utf-16"},
    "sql without place": {k: v for k, v in SQL.items() if k != "sqlite_file"},
    "sql with two places": {**SQL, "url": {"env": "URL"}},
    "sql with the url itself": {**SQL, "url": "postgresql://u:hunter2@h/d"},
    "sql without resident": {**SQL, "query": "SELECT 1"},
    "sql without the resident's column": {**SQL, "fields": {"score": "score", "as_of": "at"}},
    "sql with other parameters": {**SQL, "query": "SELECT 1 WHERE id = :resident AND x = :other"},
    "http readable on the network": {**HTTP, "base_url": "http://score.example.test"},
    "http with credentials": {**HTTP, "base_url": "https://u:hunter2@score.example.test"},
    "http with query": {**HTTP, "base_url": "https://score.example.test?x=1"},
    "http of another scheme": {**HTTP, "base_url": "ftp://score.example.test"},
    "http without host": {**HTTP, "base_url": "https://"},
    "path without slash": {**HTTP, "path": "scores/{resident}"},
    "path with fragment": {**HTTP, "path": "/scores/#{resident}"},
    "nobody asked for": {**HTTP, "path": "/scores"},
    "post without body": {**HTTP, "method": "POST"},
    "get with body": {**HTTP, "body": {"id": "{resident}"}},
    "body without resident": {**HTTP, "path": "/q", "method": "POST", "body": {"id": "resident"}},
    "method": {**HTTP, "method": "DELETE"},
    "verification off": {**HTTP, "tls": {"verify": False}},
    "certificate without key": {**HTTP, "tls": {"cert_file": "c.pem"}},
    "bearer without token": {**HTTP, "auth": {"kind": "bearer"}},
    "bearer with the token itself": {**HTTP, "auth": {"kind": "bearer", "token": "hunter2"}},
    "header name": {**HTTP, "auth": {"kind": "header", "name": "X: Y", "value": {"env": "K"}}},
    "unknown auth": {**HTTP, "auth": {"kind": "ntlm"}},
    "401 as unknown resident": {**HTTP, "unknown_status": [401]},
    "500 as unknown resident": {**HTTP, "unknown_status": [500]},
    "result without ok": {**HTTP, "result": {"path": "code", "ok": []}},
    "paging without resident": {
        **HTTP,
        "fields": {"score": "score", "as_of": "at"},
        "paging": {"items": "list", "param": "page"},
    },
    "paging without end": {**HTTP, "paging": {"items": "list", "param": "page", "max_pages": 1000}},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_are_told_with_file_and_key_and_never_a_value(name: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        parse_source(BAD[name], FILE)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert all(p.file == str(FILE) and p.path.startswith("source") for p in caught.value.problems)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ProblemsError) as caught:
        parse_source({**CSV, "max_rows": 0, "max_bytes": 0, "colour": "red"}, FILE)
    assert {p.path.rpartition(".")[2] for p in caught.value.problems} == {"max_rows", "max_bytes", "colour"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.8.8.8"])
def test_plain_http_is_accepted_on_loopback(host: str) -> None:
    parse_source({**HTTP, "base_url": f"http://{host}:8080"}, FILE)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@db.example.test/d",
        "postgresql://u:hunter2@db.example.test/d?sslmode=require",
        "postgresql://u:hunter2@localhost/d?hostaddr=192.0.2.1",
        "mysql://u:hunter2@db.example.test/d",
        "mysql://u:hunter2@db.example.test/d?ssl_ca=/ca.pem&ssl_check_hostname=false",
        "mysql://u:hunter2@db.example.test/d?ssl_ca=/ca.pem&ssl_verify_cert=0",
        "oracle://u:hunter2@localhost/d",
        "sqlite:///scores.sqlite3",
        "not a url hunter2",
    ],
)
def test_database_urls_that_are_refused_without_being_quoted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SCORES_URL", url)
    table = {k: v for k, v in SQL.items() if k != "sqlite_file"} | {"url": {"env": "SCORES_URL"}}
    with pytest.raises(ProblemsError) as caught:
        open_source(parse_source(table, FILE))
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db.example.test/d?sslmode=verify-full&sslrootcert=/ca.pem",
        "postgres" + "ql+psycopg://u@/d?host=/run/postgresql",
        "mysql://u:p@db.example.test/d?ssl_ca=/ca.pem",
        "mysql://u:p@127.0.0.1/d",
        "mariadb://u:p@localhost/d?unix_socket=/run/mysqld.sock",
    ],
)
async def test_database_urls_that_are_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SCORES_URL", url)
    table = {k: v for k, v in SQL.items() if k != "sqlite_file"} | {"url": {"env": "SCORES_URL"}}
    await open_source(parse_source(table, FILE)).close()


def test_a_missing_secret_or_certificate_is_told_when_the_source_is_opened(tmp_path: Path) -> None:
    bearer = {**HTTP, "auth": {"kind": "bearer", "token": {"file": "none"}}}
    with pytest.raises(ProblemsError) as caught:
        open_source(parse_source(bearer, tmp_path / "city.toml"))
    assert caught.value.reason is Reason.CONFIG_INVALID
    (tmp_path / "ca.pem").write_text("not a certificate")
    for name in ("none.pem", "ca.pem"):
        with pytest.raises(ProblemsError) as caught:
            open_source(parse_source({**HTTP, "tls": {"ca_file": name}}, tmp_path / "city.toml"))
        assert caught.value.reason is Reason.CERTIFICATE_INVALID

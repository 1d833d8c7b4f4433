from __future__ import annotations

import io
import json
import logging
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.errors import ProblemsError, Reason, TiergateError
from gateway.observability import MAX_TEXT, SAFE_KEYS, MetricsEndpoint, configure_logging, new_registry

CANARY = "canary-760"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("gateway", stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_that_names_process_time_and_level(out: io.StringIO) -> None:
    structlog.get_logger().info("started", port=7, city="福州")
    (line,) = lines(out)
    assert (line["event"], line["level"], line["process"]) == ("started", "info", "gateway")
    assert (line["port"], line["city"]) == (7, "福州")
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("key", ["token", "score", "resident", "sub", "body", "request"])
def test_a_key_that_is_not_listed_is_dropped_and_named(out: io.StringIO, key: str) -> None:
    structlog.get_logger().info("check", **{key: CANARY})
    (line,) = lines(out)
    assert CANARY not in out.getvalue()
    assert line["dropped"] == [key]
    assert key not in SAFE_KEYS


class Secret:
    def __repr__(self) -> str:
        return CANARY


@pytest.mark.parametrize("value", [Secret(), [Secret()], {"a": CANARY}, CANARY.encode(), ValueError(CANARY)])
def test_a_value_that_is_not_plain_is_shown_by_its_type(out: io.StringIO, value: Any) -> None:
    structlog.get_logger().info("check", detail=value)
    assert CANARY not in out.getvalue()
    assert "<" in str(lines(out)[0]["detail"])


def test_long_text_is_cut(out: io.StringIO) -> None:
    structlog.get_logger().info("check", detail="x" * 10_000)
    assert len(lines(out)[0]["detail"]) == MAX_TEXT + 1


def fail() -> None:
    local = CANARY
    try:
        raise KeyError(local)
    except KeyError as error:
        raise TiergateError(Reason.STORE_FAILED, CANARY) from error


def test_an_exception_is_shown_by_types_and_places_without_text_or_locals(out: io.StringIO) -> None:
    try:
        fail()
    except TiergateError:
        structlog.get_logger().exception("failed")
    (line,) = lines(out)
    assert CANARY not in out.getvalue()
    outer, inner = line["errors"]
    assert outer.startswith("TiergateError(STORE_FAILED) at ")
    assert inner.startswith("KeyError at ")
    assert "test_observability.py" in inner
    assert inner.endswith(" fail")


def test_a_chain_of_causes_that_has_no_end_is_cut(out: io.StringIO) -> None:
    one, two = ValueError(), ValueError()
    one.__cause__, two.__cause__ = two, one
    structlog.get_logger().error("failed", exc_info=one)
    assert len(lines(out)[0]["errors"]) == 5


def test_codes_of_the_system_are_kept(out: io.StringIO) -> None:
    structlog.get_logger().error("failed", exc_info=OSError(28, CANARY))
    assert lines(out)[0]["errors"] == ["OSError(errno 28)"]


def test_another_library_s_line_keeps_its_place_and_loses_its_text(out: io.StringIO) -> None:
    log = logging.getLogger("some.library")
    log.info("GET /residents/%s", CANARY)
    log.warning("GET /residents/%s", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        log.exception(CANARY)
    assert CANARY not in out.getvalue()
    first, second = lines(out)
    assert (first["event"], first["logger"], first["level"]) == ("library", "some.library", "warning")
    assert first["where"].startswith("test_observability.py:")
    assert second["errors"][0].startswith("ValueError at ")


def test_a_level_below_the_chosen_one_is_not_written(out: io.StringIO) -> None:
    structlog.get_logger().debug("detail")
    assert not out.getvalue()


class Full(io.StringIO):
    """A stream on a full disk, or one that nobody reads any more."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, _text: str) -> int:
        raise self._error


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(32, "Broken pipe"), ValueError("closed")]
)
def test_a_line_that_cannot_be_written_is_counted_and_harms_nobody(out: io.StringIO, error: Exception) -> None:
    registry = new_registry()
    before = registry.get_sample_value("tiergate_log_writes_failed") or 0.0
    configure_logging("gateway", stream=Full(error))
    structlog.get_logger().warning("something", exc_info=OSError(28, "x"))
    logging.getLogger("another").warning("library")
    assert registry.get_sample_value("tiergate_log_writes_failed") == before + 4  # two lines, each with its end
    configure_logging("gateway", stream=out)
    structlog.get_logger().warning("again")
    assert lines(out)[-1]["event"] == "again"


def test_metrics_are_served_until_closed() -> None:
    endpoint = MetricsEndpoint("127.0.0.1:0", new_registry())
    with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics", timeout=20) as reply:
        assert b"process_cpu_seconds_total" in reply.read()
    with pytest.raises(ProblemsError) as caught:
        MetricsEndpoint(f"127.0.0.1:{endpoint.port}", new_registry())
    assert caught.value.reason is Reason.CONFIG_INVALID
    endpoint.close()

"""The contract under proto/ and the code generated from it: fresh, linted, compatible, without room for a score."""

from __future__ import annotations

import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from tests.architecture.tools import Done, python

OPERATOR = "gateway/api/operator/v1/operator.proto"

# the numbers of the contract that may leave a city, and what each counts; none of them is about a person
NUMBERS = {
    "end": "position in the log",
    "first": "size of the log",
    "index": "position in the log",
    "shard": "number of a tree of the log",
    "log_index": "position in the log",
    "acknowledged_index": "position in the log",
    "second": "size of the log",
    "size": "size of the log",
    "start": "position in the log",
    "directory_version": "version of a signed file",
    "retry_after_ms": "time, fixed by configuration",
    "percent": "published terms",
    "days": "published terms",
    "count": "published terms",
    "minutes": "published terms",
}


@pytest.fixture
def copy(checkout: Path, tmp_path: Path) -> Path:
    """A copy of the contract, its baseline and the generated code."""
    shutil.copytree(checkout / "proto", tmp_path / "proto")
    shutil.copytree(checkout / "gateway/api", tmp_path / "gateway/api", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def check(root: Path) -> Done:
    return python("proto/generate.py", "--check", cwd=root)


def edit(path: Path, pattern: str, replacement: str) -> None:
    text = path.read_text(encoding="utf-8")
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert count == 1, f"{pattern} is not in {path.name}"
    path.write_text(changed, encoding="utf-8")


def test_the_contract_is_linted_compatible_and_its_code_is_fresh(checkout: Path) -> None:
    done = check(checkout)
    assert done.code == 0, done.output


def test_generating_needs_no_home(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    done = check(checkout)
    assert done.code == 0, done.output


def test_a_deleted_field_is_a_breaking_change(copy: Path) -> None:
    edit(copy / "proto" / OPERATOR, r"^  bool want_receipt = \d+;$", "")
    done = check(copy)
    assert done.code == 1
    assert "buf breaking failed" in done.output
    assert '"want_receipt"' in done.output


def test_a_new_field_is_compatible_but_makes_the_code_stale(copy: Path) -> None:
    edit(
        copy / "proto" / OPERATOR,
        r"^message DepositWaiver \{\}$",
        "message DepositWaiver {\n  // New.\n  bool b = 1;\n}",
    )
    done = check(copy)
    assert done.code == 1
    assert "generated code is stale" in done.output
    assert "breaking" not in done.output
    assert python("proto/generate.py", cwd=copy).code == 0
    assert check(copy) == Done(0, "")


def test_an_edited_stub_is_stale(copy: Path) -> None:
    with (copy / OPERATOR.replace(".proto", "_pb2.pyi")).open("a", encoding="utf-8") as file:
        file.write("# by hand\n")
    done = check(copy)
    assert done.code == 1
    assert "operator_pb2.pyi" in done.output


def test_a_stub_without_a_source_is_stale_and_then_removed(copy: Path) -> None:
    left = copy / "gateway/api/operator/v1/gone_pb2.py"
    left.touch()
    assert "gone_pb2.py" in check(copy).output
    assert python("proto/generate.py", cwd=copy).code == 0
    assert not left.exists()


@pytest.mark.parametrize(
    ("pattern", "replacement", "complaint"),
    [
        (r"^  bool want_receipt ", "  bool wantReceipt ", "lower_snake_case"),
        (r"^// No deposit is asked\.\nmessage", "message", "non-empty comment"),
        (r'pattern: "\^\[a-z0-9\]\+', 'pattern: "^[a-z0-9+', "fails to compile"),
    ],
)
def test_lint_sees(copy: Path, pattern: str, replacement: str, complaint: str) -> None:
    edit(copy / "proto" / OPERATOR, pattern, replacement)
    done = check(copy)
    assert done.code == 1
    assert complaint in done.output


def test_a_syntax_error_is_told_with_its_place(copy: Path) -> None:
    edit(copy / "proto" / OPERATOR, r"^message DepositWaiver \{\}$", "message DepositWaiver {")
    done = check(copy)
    assert done.code == 1
    assert "protoc failed" in done.output
    assert "operator.proto:" in done.output
    assert "Traceback" not in done.output


def contract_files(checkout: Path) -> Iterator[FileDescriptor]:
    for path in sorted((checkout / "proto").rglob("*.proto")):
        name = path.relative_to(checkout / "proto").with_suffix("").as_posix().replace("/", ".")
        file = importlib.import_module(f"{name}_pb2").DESCRIPTOR
        assert isinstance(file, FileDescriptor)
        yield file


def fields(message: Descriptor) -> Iterator[FieldDescriptor]:
    yield from message.fields
    for nested in message.nested_types:
        yield from fields(nested)


def test_no_field_that_leaves_a_city_can_carry_a_score(checkout: Path) -> None:
    """Invariant I1: every number has a meaning that is not about a person; there are no fractions and no open types."""
    number = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}
    number |= {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
    fraction = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}
    own = {file.package for file in contract_files(checkout)}
    seen = set()
    for file in contract_files(checkout):
        if file.package.startswith("gateway.api.consent."):
            continue  # served inside the city, to the city's own app
        for message in file.message_types_by_name.values():
            for field in fields(message):
                seen.add(field.name)
                assert field.cpp_type not in fraction, field.full_name
                assert field.cpp_type not in number or field.name in NUMBERS, field.full_name
                if field.message_type is not None:
                    package = field.message_type.file.package
                    known = package in own or field.message_type.full_name == "google.protobuf.Timestamp"
                    assert known, field.full_name
    assert seen >= NUMBERS.keys()


def leaves(message: Descriptor, path: str = "") -> Iterator[tuple[str, FieldDescriptor]]:
    """The fields of a message and of those that it holds, by dotted path."""
    for field in message.fields:
        if field.message_type is None:
            yield f"{path}{field.name}", field
        else:
            yield from leaves(field.message_type, f"{path}{field.name}.")


def test_an_operator_names_a_scenario_and_has_no_field_for_a_threshold(checkout: Path) -> None:
    (file,) = (file for file in contract_files(checkout) if file.package == "gateway.api.operator.v1")
    messages = file.message_types_by_name
    asked = dict(leaves(messages["CheckEligibilityRequest"]))
    assert set(asked) == {
        "request_id", "scenario", "want_receipt", "presentation.token.token", "presentation.token.proof",
        "presentation.handle",
    }  # fmt: skip
    assert {name for name, field in asked.items() if field.cpp_type != FieldDescriptor.CPPTYPE_STRING} == {
        "want_receipt"
    }
    batched = dict(leaves(messages["BatchCheckEligibilityRequest"]))
    assert set(batched) == {f"items.{name}" for name in asked}


def test_generated_code_imports_no_package_named_buf(checkout: Path) -> None:
    for path in (checkout / "gateway/api").rglob("*.py*"):
        if path.suffix in {".py", ".pyi"}:
            assert not re.search(r"^\s*(from|import) buf\b", path.read_text(encoding="utf-8"), re.MULTILINE), path.name

"""Generate ``gateway/api`` from the ``.proto`` files, and check the contract.

Every step works on one compiled image (a ``FileDescriptorSet``). The field rules are declared in
``buf/validate/validate.proto``, which no installed package carries as a file; its descriptor is taken from the
installed ``protovalidate`` and joined to the image, so ``protoc`` and ``buf`` need neither network nor registry.

For Python that one import is then taken out of the image. The rules stay where they are, as bytes in the fields'
options, and ``protovalidate`` reads them from there; the generated code imports no top-level ``buf`` package, which
could belong to somebody else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import protovalidate
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

PROTO = Path(__file__).resolve().parent
CHECKOUT = PROTO.parent
API = Path("gateway/api")
BASELINE = "baseline.binpb"
RULES = "buf/validate/validate.proto"
SCRIPTS = Path(sysconfig.get_path("scripts"))
PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


class ContractError(Exception):
    """A step failed; the text says which, and what the tool printed."""


def run(step: str, *command: str) -> None:
    """Run one tool quietly; raise :class:`ContractError` with everything it printed when it fails."""
    # buf insists on a cache folder although it fetches nothing here; it may not depend on HOME
    environment = {**os.environ, "BUF_CACHE_DIR": tempfile.gettempdir()}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise ContractError(f"{step} failed:\n{(done.stdout + done.stderr).strip()}")


def protoc(step: str, *arguments: str) -> None:
    """Run the ``protoc`` of ``grpcio-tools``, which is of the same version as the installed ``grpcio``."""
    run(step, sys.executable, "-m", "grpc_tools.protoc", *arguments)


def rules_with_imports() -> FileDescriptorSet:
    """Return the descriptor of the field rules, preceded by what it imports."""
    files = FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(protovalidate.ViolationPb.desc().file.proto.to_binary())
    return files


def compile_image(proto: Path, scratch: Path) -> tuple[Path, list[str]]:
    """Compile everything under ``proto`` to an image with imports and comments; return it and the sources' names."""
    sources = sorted(path.relative_to(proto).as_posix() for path in proto.rglob("*.proto"))
    if not sources:
        raise ContractError(f"no .proto files under {proto}")
    rules, image = scratch / "rules.binpb", scratch / "image.binpb"
    rules.write_bytes(rules_with_imports().SerializeToString(deterministic=True))
    protoc(
        "protoc",
        f"--descriptor_set_in={rules}",
        f"--proto_path={proto}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={image}",
        *sources,
    )
    return image, sources


def without_rules_import(image: Path, *, comments: bool) -> bytes:
    """Return the image without the file of the rules and without the imports of it (the module's text says why)."""
    kept = FileDescriptorSet()
    for file in FileDescriptorSet.FromString(image.read_bytes()).file:
        if file.name == RULES:
            continue
        dependencies = [name for name in file.dependency if name != RULES]
        del file.dependency[:]
        file.dependency.extend(dependencies)
        if not comments:
            file.ClearField("source_code_info")
        kept.file.append(file)
    return kept.SerializeToString(deterministic=True)


def write_stubs(image: Path, sources: list[str], out: Path) -> None:
    """Write the generated modules, their type stubs and the package files under ``out``."""
    stripped = image.with_name("stripped.binpb")
    stripped.write_bytes(without_rules_import(image, comments=True))
    protoc(
        "code generation",
        f"--descriptor_set_in={stripped}",
        *(f"--plugin={name}={SCRIPTS / name}" for name in PLUGINS),
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet,only_async:{out}",
        *sources,
    )
    folders = {parent for name in sources for parent in Path(name).parents}
    for package in folders - set(API.parents):
        text = f"Generated from ``proto/{package.as_posix()}`` by ``./dev proto``. Nothing here is written by hand."
        (out / package / "__init__.py").write_text(f'"""{text}"""\n', encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by relative name, without byte-code."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def replace_stubs(fresh: Path, out: Path) -> None:
    """Make ``out`` hold exactly what was generated: write what changed, remove what no source stands for any more."""
    old, new = contents(out), contents(fresh)
    for name in old.keys() - new.keys():
        (out / name).unlink()
    for name, content in new.items():
        if old.get(name) != content:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)


def check(proto: Path, out: Path, image: Path, sources: list[str], fresh: Path) -> list[str]:
    """Return everything wrong with the contract: stale stubs, lint, breaking changes."""
    problems = []
    old, new = contents(out / API), contents(fresh / API)
    stale = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if stale:
        problems.append("generated code is stale, run ./dev proto:\n" + "\n".join(f"{API}/{name}" for name in stale))
    buf, config = str(SCRIPTS / "buf"), f"--config={proto / 'buf.yaml'}"
    # without the paths the rules' own file and Google's would be checked, too
    paths = [f"--path={name}" for name in sources]
    baseline = f"--against={proto / BASELINE}"
    for step, command in (("lint", [buf, "lint", str(image)]), ("breaking", [buf, "breaking", str(image), baseline])):
        try:
            run(f"buf {step}", *command, config, *paths)
        except ContractError as error:
            problems.append(str(error))
    return problems


def main() -> int:
    """Entry point of ``./dev proto`` and of the contract's part in ``./dev lint``."""
    parser = argparse.ArgumentParser(prog="./dev proto", description="Generate gateway/api from proto/.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail on stale code, lint, breaking changes"
    )
    parser.add_argument("--baseline", action="store_true", help="accept the contract as the new baseline, too")
    parser.add_argument("--proto", type=Path, default=PROTO, metavar="DIR", help="where the sources are")
    parser.add_argument("--out", type=Path, default=CHECKOUT, metavar="DIR", help="where gateway/api is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch, "fresh")
        fresh.mkdir()
        try:
            image, sources = compile_image(options.proto.resolve(), Path(scratch))
            write_stubs(image, sources, fresh)
            if options.check:
                problems = check(options.proto.resolve(), options.out, image, sources, fresh)
                if problems:
                    raise ContractError("\n".join(problems))
                return 0
            replace_stubs(fresh / API, options.out / API)
            if options.baseline:
                (options.proto / BASELINE).write_bytes(without_rules_import(image, comments=False))
        except ContractError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

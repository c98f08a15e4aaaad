"""The import rules of docs/architecture.md, read from the source: each file imports only from a lower rank."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Lowest first. A file may import from lower ranks and from its own package.
RANKS: list[set[str]] = [
    {"device_agent"},
    {"device_agent.wire"},
    {
        "device_agent.errors", "device_agent.clock", "device_agent.backoff", "device_agent.seldom",
        "device_agent.metrics", "device_agent.events",
        "device_agent.config", "device_agent.configfile", "device_agent.systemd", "device_agent.board", "device_agent.status",
        "device_agent.descriptors", "device_agent.desk", "device_agent.output", "device_agent.redact", "device_agent.secretfile",
        "device_agent.libzmq",
    },
    {"device_agent.ports"},
    {"device_agent.router", "device_agent.packer"},
    {"device_agent.intake", "device_agent.sources", "device_agent.spool", "device_agent.uplink"},
    {"device_agent.operate"},
    {"device_agent.agent"},
    {"device_agent.daemon", "device_agent.embedded"},
    {"device_agent.cli"},
]  # fmt: skip
#: Ranks whose members stand on the same floor but do build on each other: errors under config, and so on.
NEIGHBOURS = {2}
#: What an external library may be imported by.
ONLY_IN = {
    "zmq": ("device_agent.libzmq", "device_agent.intake", "device_agent.sources", "device_agent.embedded"),
    "boto3": ("device_agent.uplink", "device_agent.operate"),
    "botocore": ("device_agent.uplink", "device_agent.operate"),
}
FILES = sorted((ROOT / "device_agent").rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, module) of every import, those inside of functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield node.lineno, full if is_module(full) else str(node.module)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module" and isinstance(node.args[0], ast.Constant):
            yield node.lineno, str(node.args[0].value)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def unit(name: str) -> str:
    """Return the part of the ranks that a module belongs to."""
    return ".".join(name.split(".")[:2])


def rank(name: str) -> int:
    for position, members in enumerate(RANKS):
        if unit(name) in members:
            return position
    raise AssertionError(f"{name} has no rank: add it to RANKS and to docs/architecture.md")


@pytest.mark.parametrize("path", FILES, ids=[module_name(path) for path in FILES])
def test_a_file_of_the_device_imports_only_from_lower_ranks(path: Path) -> None:
    name = module_name(path)
    for line, imported in imports(path):
        if imported.split(".")[0] != "device_agent" or unit(imported) == unit(name):
            continue
        same = rank(imported) == rank(name) and rank(name) in NEIGHBOURS
        assert rank(imported) < rank(name) or same, f"{path}:{line}: {name} imports {imported}, which does not stand below it"


@pytest.mark.parametrize("path", FILES, ids=[module_name(path) for path in FILES])
def test_zmq_and_boto3_stay_in_their_adapters(path: Path) -> None:
    name = module_name(path)
    for line, imported in imports(path):
        allowed = ONLY_IN.get(imported.split(".")[0])
        assert allowed is None or unit(name) in allowed, f"{path}:{line}: {imported} belongs in {allowed}"


def test_the_wire_needs_only_the_standard_library_zstd_and_messagepack() -> None:
    allowed = set(sys.stdlib_module_names) | {"msgpack", "zstandard", "backports", "compression", "device_agent"}
    for path in (ROOT / "device_agent" / "wire").rglob("*.py"):
        for line, imported in imports(path):
            assert imported.split(".")[0] in allowed, f"{path}:{line}: {imported}"


def test_the_functions_import_the_wire_and_nothing_else_of_the_device() -> None:
    for path in (ROOT / "lambdas").rglob("*.py"):
        for line, imported in imports(path):
            top = imported.split(".")[0]
            assert top != "device_agent" or unit(imported) == "device_agent.wire", f"{path}:{line}: {imported}"
            assert top not in {"infra", "tests", "localcloud"}, f"{path}:{line}: {imported}"


def test_landing_stands_below_the_functions_and_they_do_not_know_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for path in (ROOT / "lambdas").rglob("*.py"):
        name = unit(module_name(path))
        graph.setdefault(name, set()).update(unit(imported) for _, imported in imports(path) if imported.startswith("lambdas."))
    below = {name: {other for other in others if other not in {name, "lambdas"}} for name, others in graph.items()}
    assert not below["lambdas.landing"]
    assert "lambdas.state" not in below["lambdas.archive"]
    assert "lambdas.archive" not in below["lambdas.state"]
    TopologicalSorter(below).prepare()  # raises CycleError


def test_the_infrastructure_imports_only_the_limits_of_the_wire() -> None:
    for path in (ROOT / "infra").rglob("*.py"):
        for line, imported in imports(path):
            top = imported.split(".")[0]
            assert top != "device_agent" or imported in {"device_agent.wire.limits", "device_agent.wire"}, f"{path}:{line}: {imported}"
            assert top not in {"lambdas", "tests", "localcloud"}, f"{path}:{line}: {imported}"


@pytest.mark.parametrize("folder", ["device_agent", "lambdas", "infra"])
def test_nobody_imports_tests_functions_or_infrastructure(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for line, imported in imports(path):
            top = imported.split(".")[0]
            assert top == folder or top not in {"tests", "lambdas", "infra", "localcloud", "examples", "bench", "tools"}, (
                f"{path}:{line}: {imported}"
            )


def test_the_package_imports_nothing_by_itself() -> None:
    tree = ast.parse((ROOT / "device_agent" / "__init__.py").read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_the_ranks_are_those_of_the_files() -> None:
    known = {name for members in RANKS for name in members}
    found = {unit(module_name(path)) for path in FILES}
    assert found <= known, f"without a rank: {found - known}"

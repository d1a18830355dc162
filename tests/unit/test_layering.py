"""Do imports point down only, and do decisions stay pure? Read from the source, without running it."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: the layers of scheduler, top first; a module may import from its own layer and from those below
LAYERS = ("cli", "daemon", "telling", "report", "effects", "audit", "decide", "rounds", "judging")
#: third-party package -> the modules of scheduler that may import it (a folder stands for all in it)
EDGES = {
    "pynvml": {"scheduler/effects/gpu.py"},
    "tomlkit": {"scheduler/report/suggested_spec.py"},
    "apscheduler": {"scheduler/effects/timers.py"},
    "watchfiles": {"scheduler/effects/folder_watch.py"},
    "msgspec": {"scheduler/effects/fact_lines.py"},
    "apprise": {"scheduler/effects/messenger.py"},
    "packaging": {"scheduler/cli/findings.py"},
    "typer": {"scheduler/cli"},
    "rich": {"scheduler/cli"},
    "pydantic": {"scheduler/rounds"},
    "pydantic_core": {"scheduler/rounds"},
    "matplotlib": {"scheduler/report/pictures.py"},
    "jinja2": {"scheduler/report/templating.py"},
    "markupsafe": {"scheduler/report/templating.py"},
    "scipy": {"scheduler/judging"},
    "optuna": set(),
    "torch": set(),
    "numpy": {"scheduler/judging", "scheduler/effects/adviser.py"},
}
#: psutil is the workers' edge; recovery and the lock ask whether a process still lives
PSUTIL_MODULES = 3
HEAVY = {"torch", "scipy", "optuna", "numpy", "pandas", "matplotlib", "fla", "triton"}
#: what somebody else's program imports, who has the package loaded anyway
FOR_OTHERS = {"policies/pruners.py": {"optuna"}}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "handler", "misc"}
#: what a decision must be given as a value
IMPURE_CALLS = {
    "open",
    "input",
    "print",
    "time.time",
    "time.monotonic",
    "time.sleep",
    "time.perf_counter",
    "datetime.now",
    "datetime.datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "uuid.uuid4",
    "random.random",
    "random.seed",
    "os.getpid",
    "os.urandom",
}
IMPURE_MODULES = {
    "os",
    "subprocess",
    "socket",
    "threading",
    "shutil",
    "tempfile",
    "secrets",
    "asyncio",
    "time",
}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """scheduler/cli/__init__.py -> scheduler.cli"""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, module: str = "", *, is_package: bool = False) -> Iterator[str]:
    """Every module that `tree` names in an import, relative ones resolved against `module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parents = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            # `from scheduler import effects` names a module in what looks like an attribute.
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@functools.cache
def imports_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(), filename=str(path))
    return frozenset(imported(tree, name_of(path), is_package=path.name == "__init__.py"))


def packages_of(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(path)}


def executed_at_import(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that are made when the module is, and not for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from executed_at_import(ast.Module(body=child.orelse, type_ignores=[]))
        else:
            yield from executed_at_import(child)


def light_packages_of(path: Path) -> set[str]:
    """Packages imported by importing `path` itself."""
    module = name_of(path)
    return {
        name.partition(".")[0]
        for statement in executed_at_import(ast.parse(path.read_text()))
        for name in imported(statement, module, is_package=path.name == "__init__.py")
    }


def layer_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "scheduler" and len(parts) > 1 else None


def is_below(path: Path, place: str) -> bool:
    return path.is_relative_to(ROOT / place)


@pytest.mark.parametrize("path", sources("scheduler"), ids=name_of)
def test_imports_of_the_scheduler_point_down_only(path: Path) -> None:
    own = layer_of(name_of(path))
    if own is None:
        assert not [name for name in imports_of(path) if name.startswith("scheduler.")]
        return
    assert own in LAYERS, f"{path} lies in no known layer"
    for name in imports_of(path):
        layer = layer_of(name)
        if layer in LAYERS:
            assert LAYERS.index(own) <= LAYERS.index(layer), f"{name_of(path)} imports {name} from above"


@pytest.mark.parametrize("path", sources("policies", "trainers"), ids=name_of)
def test_policies_and_trainers_know_nothing_of_the_scheduler(path: Path) -> None:
    assert "scheduler" not in packages_of(path)


@pytest.mark.parametrize("path", sources("policies"), ids=name_of)
def test_policies_know_nothing_of_trainers(path: Path) -> None:
    assert "trainers" not in packages_of(path)


@pytest.mark.parametrize("path", sources("trainers"), ids=name_of)
def test_trainers_know_nothing_of_policies(path: Path) -> None:
    assert "policies" not in packages_of(path)


@pytest.mark.parametrize("package", sorted(EDGES))
def test_a_third_party_package_is_imported_behind_its_edge_only(package: str) -> None:
    users = [path for path in sources("scheduler") if package in packages_of(path)]
    strangers = [path for path in users if not any(is_below(path, place) for place in EDGES[package])]
    assert strangers == []


def test_process_trees_are_known_to_few_modules() -> None:
    users = [path for path in sources("scheduler") if "psutil" in packages_of(path)]
    assert all(is_below(path, "scheduler/effects") for path in users), users
    assert len(users) <= PSUTIL_MODULES, users


@pytest.mark.parametrize(
    "path", sources("scheduler/decide", "scheduler/audit", "scheduler/judging", "policies"), ids=name_of
)
def test_decisions_are_pure(path: Path) -> None:
    tree = ast.parse(path.read_text())
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called & IMPURE_CALLS == set()
    assert packages_of(path) & IMPURE_MODULES == set()


@pytest.mark.parametrize("path", sources("scheduler/decide"), ids=name_of)
def test_decisions_use_the_standard_library_and_values_only(path: Path) -> None:
    # orjson turns values into bytes and back, and touches nothing.
    allowed = {"scheduler", "policies", "orjson", "__future__", *sys.stdlib_module_names}
    assert packages_of(path) - allowed == set()


@pytest.mark.parametrize(
    "path", [*sources("scheduler", "policies"), *(ROOT / "trainers").glob("*.py")], ids=name_of
)
def test_nothing_heavy_is_imported_with_a_light_module(path: Path) -> None:
    allowed = FOR_OTHERS.get(str(path.relative_to(ROOT)), set())
    assert light_packages_of(path) & HEAVY - allowed == set()


@pytest.mark.parametrize("path", sources("scheduler", "policies"), ids=name_of)
def test_what_is_meant_for_others_is_imported_by_nobody_here(path: Path) -> None:
    assert imports_of(path) & {other.removesuffix(".py").replace("/", ".") for other in FOR_OTHERS} == set()


@pytest.mark.parametrize("folder", ["queue", "results"])
def test_a_folder_for_data_holds_no_python_file(folder: str) -> None:
    assert list((ROOT / folder).rglob("*.py")) == []
    assert not (ROOT / folder / "__pycache__").exists()


@pytest.mark.parametrize("path", sources("scheduler", "policies", "trainers"), ids=name_of)
def test_every_module_has_an_idea_in_its_name(path: Path) -> None:
    assert not VAGUE_NAMES & set(name_of(path).lower().replace("_", ".").split("."))


@pytest.mark.parametrize(
    ("source", "module", "expected"),
    [
        ("import a.b", "x", {"a.b"}),
        ("from a import b", "x", {"a", "a.b"}),
        ("from . import b", "scheduler.cli.status", {"scheduler.cli", "scheduler.cli.b"}),
        ("from ..effects import gpu", "scheduler.cli.status", {"scheduler.effects", "scheduler.effects.gpu"}),
        ("def f():\n    import torch", "x", {"torch"}),
    ],
)
def test_no_form_of_import_escapes(source: str, module: str, expected: set[str]) -> None:
    assert set(imported(ast.parse(source), module)) == expected


def test_an_import_inside_a_function_is_not_made_with_the_module() -> None:
    tree = ast.parse(
        "if TYPE_CHECKING:\n    import torch\n"
        "try:\n    import a\nexcept E:\n    import b\n"
        "class C:\n    import c\n    def method(self):\n        import scipy\n"
    )
    assert {name for each in executed_at_import(tree) for name in imported(each)} == {"a", "b", "c"}

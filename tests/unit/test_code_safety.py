"""Does nothing in the code run a shell, load code from data, or print past the one door?"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for folder in ("scheduler", "policies", "trainers") for path in (ROOT / folder).rglob("*.py")
)

#: they make code of data, or hand a line to a shell
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("os.execlp", "os.execvp", "os.execvpe", "os.spawnlp", "os.spawnvp", "pty.spawn"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "tempfile.mktemp"),
}
#: their formats hold code
FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}
#: ways to the terminal that go past `scheduler.cli.saying`
PRINTING_CALLS = {"print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write", "sys.stderr.write"}

#: by place: what is allowed there after all, and why
EXCEPTIONS = {
    # the one door itself
    ("scheduler/cli/saying.py", "sys.stdout.write"),
    # what a model wrote is run there and nowhere else, in a process of its own with every door shut
    ("trainers/_sandboxed.py", "exec"),
    ("trainers/_sandboxed.py", "compile"),
}


def named(call: ast.Call) -> str:
    """`os.system` of a call of it; the last two names where there are more."""
    return ".".join(ast.unparse(call.func).split(".")[-2:])


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield node, named(node)


def place(path: Path, node: ast.Call) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((given.value for given in node.keywords if given.arg == name), None)


def is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


@pytest.mark.fault("a spec holds shell syntax", moment="a run", outcome="it is an argument, no command")
def test_no_command_goes_through_a_shell() -> None:
    shells = [
        place(path, node)
        for path in SOURCES
        for node, _ in calls(path)
        if (shell := keyword(node, "shell")) is not None and ast.unparse(shell) != "False"
    ]
    assert shells == []


def test_nothing_makes_code_of_data() -> None:
    found = [
        place(path, node)
        for path in SOURCES
        for node, name in calls(path)
        if name in FORBIDDEN_CALLS and (str(path.relative_to(ROOT)), name) not in EXCEPTIONS
    ]
    assert found == []


def test_no_format_that_holds_code_is_read_or_written() -> None:
    for path in SOURCES:
        for node in nodes(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not FORBIDDEN_MODULES & {name.partition(".")[0] for name in names}, path


@pytest.mark.fault("a checkpoint holds code", moment="a run goes on from it", outcome="the code is never run")
def test_weights_are_loaded_and_nothing_else_with_them() -> None:
    loads = [(path, node) for path in SOURCES for node, name in calls(path) if name == "torch.load"]
    assert loads
    assert [place(*load) for load in loads if not is_true(keyword(load[1], "weights_only"))] == []
    arrays = [(path, node) for path in SOURCES for node, name in calls(path) if name.endswith("np.load")]
    assert arrays
    assert [place(*load) for load in arrays if is_true(keyword(load[1], "allow_pickle"))] == []


def test_a_child_that_runs_our_code_ignores_the_current_folder() -> None:
    """`python -m` without -P would import a module that somebody left in the home."""
    started = [
        (path, node.elts)
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "sys.executable"
    ]
    assert started
    for path, elements in started:
        flags = {element.value for element in elements if isinstance(element, ast.Constant)}
        assert flags & {"-P", "-I"}, f"{path.relative_to(ROOT)}: {ast.unparse(elements[0])}"


def test_everything_is_printed_through_one_door() -> None:
    found = [
        place(path, node)
        for path in SOURCES
        if path.is_relative_to(ROOT / "scheduler" / "cli")
        for node, name in calls(path)
        if name in PRINTING_CALLS and (str(path.relative_to(ROOT)), name) not in EXCEPTIONS
    ]
    assert found == []


def test_the_search_finds_what_it_looks_for() -> None:
    bad = "import os, subprocess\nos.system('x')\nsubprocess.run('x', shell=True)\ntorch.load(f)\nprint(1)\n"
    found = [named(node) for node in ast.walk(ast.parse(bad)) if isinstance(node, ast.Call)]
    assert {"os.system", "subprocess.run", "torch.load", "print"} == set(found)
    assert {"os.system"} == set(found) & FORBIDDEN_CALLS

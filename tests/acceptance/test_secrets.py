"""A secret in a spec reaches its run, and is in nothing that anybody is shown."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from real_home import Home

from scheduler.cli import main

SECRET = "hunter2-or-something-longer"
SPEC = f"""
round = "night"
policy = {{ name = "threshold" }}
[stages.quick]
time_budget_sec = 60
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
env = {{ API_TOKEN = "{SECRET}", MODE = "quiet", PAUSE = "{{pause}}" }}
inputs = ["told.py"]
argv = ["python3", "told.py", "{{fails}}"]
[tasks.baseline]
fails = 0
pause = 0
[tasks.variants.fails]
fails = 1
pause = 0
"""
TOLD = f"""
import os, sys, time
token = os.environ["API_TOKEN"]
print("logging in with", token)
print(f"val_acc: {{float(token == '{SECRET}'):.2f}}", flush=True)
if sys.argv[1] == "1":
    sys.exit(f"401 for https://user:{{token}}@example.org")
"""


def schedctl(home: Home, *arguments: str) -> int:
    return main(["--home", str(home.paths.root), *arguments])


def files_with(root: Path, words: str) -> set[str]:
    found = (path for path in root.rglob("*") if path.is_file() and words.encode() in path.read_bytes())
    return {str(path.relative_to(root)) for path in found}


@pytest.mark.fault("a spec holds a token", moment="any", outcome="the run gets it, nothing shows it")
def test_a_secret_of_a_spec_is_in_its_own_files_alone(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.paths.root / "told.py").write_text(TOLD)
    home.drop("night", SPEC)
    home.start()
    home.wait_for("night", "round_accepted")
    home.kill()  # what was accepted is known from the records and the round's own files
    assert home.start("--until-idle").wait(timeout=90) == 0, home.output()
    home.wait_for("night")

    runs = home.events("night", "run_finished")  # one may be lost to the kill
    assert [run["value"] for run in runs if run["status"] == "ok"] == [1.0]
    [failed] = {run["error"].splitlines()[-1] for run in runs if run["status"] == "failed"}
    assert "401 for https://user:[redacted]@example.org" in failed

    monkeypatch.chdir(home.paths.root)
    (home.paths.root / "again.toml").write_text(SPEC)
    for verb in ("rebuild", "show night", "show night sums", "explain night", "validate again.toml"):
        assert schedctl(home, *verb.split()) == 0
    assert schedctl(home, "noise", "night", "sums") == 2
    told = "".join(capsys.readouterr())
    assert SECRET not in told
    assert "the spec holds the value of API_TOKEN" in told

    own = {"told.py", "queue/done/night.toml", "results/night/spec.toml", "results/night/secrets.json"}
    assert files_with(home.paths.root, SECRET) == {*own, "again.toml"}
    for name in ("spec.toml", "secrets.json"):
        assert stat.S_IMODE((home.paths.round("night").root / name).stat().st_mode) == 0o600


def test_a_problem_that_quotes_a_secret_does_not_show_it(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = home.paths.root / "bad.toml"
    bad.write_text(SPEC.replace(SECRET, SECRET + "{"))
    assert schedctl(home, "validate", str(bad)) == 2
    told = capsys.readouterr().err
    assert "tasks[0].args.env.API_TOKEN: a lone {" in told
    assert SECRET not in told


def test_a_marker_in_a_spec_is_no_secret(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    bad = home.paths.root / "bad.toml"
    bad.write_text(SPEC.replace(SECRET, "redacted:" + "0" * 16))
    assert schedctl(home, "validate", str(bad)) == 2
    assert "env.API_TOKEN: stands for a secret that is not here" in capsys.readouterr().err

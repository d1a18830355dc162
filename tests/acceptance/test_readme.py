"""What the README tells people to type works, at a reduced size where it would take minutes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from real_home import Home, wait_until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

TRAIN = """
import sys
lr, steps = float(sys.argv[2]), int(sys.argv[6])
for step in range(1, steps + 1, 50):
    print(f"Step {step} | val_loss: {3 + abs(lr - 0.1):.6f}")
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(first_word: str) -> list[list[str]]:
    lines = (line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines())
    return [shlex.split(line) for line in lines if line.startswith(first_word)]


def reduced_demo(folder: Path) -> Path:
    """The demo's own round, with steps for seconds instead of minutes."""
    text = (ROOT / "queue/examples/demo.toml").read_text()
    text = re.sub(r"^max_steps = \d+", "max_steps = 4", text, flags=re.MULTILINE)
    text = re.sub(r"^d_acc = \S+", "d_acc = -100.0", text, flags=re.MULTILINE)
    text = re.sub(r"^(\[stages.quick\])", r"\1\nn_eval = 64", text, flags=re.MULTILINE)
    text = re.sub(r"^(\[stages.medium\])", r"\1\nn_eval = 64", text, flags=re.MULTILINE)
    text = re.sub(r"^\[tasks.variants.head\]\n.*\n", "", text, flags=re.MULTILINE)
    spec = folder / "demo.toml"
    spec.write_text(text)
    return spec


def test_the_two_commands_exist_and_set_everything_up_themselves() -> None:
    assert [command[:2] for command in commands("make")][:2] == [["make", "demo"], ["make", "test"]]
    for _, target, *_ in commands("make"):
        shown = subprocess.run(
            ["make", "--dry-run", "--always-make", target],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "pip install" in shown
        assert {"demo": "schedctl demo", "test": "python -m pytest"}[target] in shown


def test_the_demo_trains_promotes_and_reports(tmp_path: Path) -> None:
    demo = subprocess.run(
        [sys.executable, "-P", "-m", "scheduler.cli", "demo", "--spec", str(reduced_demo(tmp_path))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert demo.returncode == 0, demo.stderr
    for words in ("RUN task=sudoku4_infill", "PROMOTE", "VERDICT", "unmatched reading (not evidence)"):
        assert words in demo.stdout
    assert str(Path(".demo/results/demo/records.jsonl")) in demo.stdout
    assert (tmp_path / ".demo/results/demo/records.jsonl").stat().st_size > 0


def test_the_readmes_round_runs_by_the_readmes_commands(home: Home) -> None:
    [spec] = [block for block in blocks("toml") if "round =" in block]
    (home.paths.root / "night.toml").write_text(spec)
    (home.paths.root / "train.py").write_text(TRAIN)
    for _, flag, folder, verb, *arguments in commands("schedctl"):
        assert (flag, folder) == ("--home", "~/search")
        if verb == "daemon":
            home.start()
        else:
            done = home.schedctl(verb, *arguments)
            assert done.returncode == 0, done.stderr
    home.wait_for("night")
    path = home.paths.round("night").summary_text
    wait_until(lambda: path.exists() and "\nfinished;" in path.read_text(), "the round's last summary")
    summary = path.read_text()
    assert re.search(r"hot +d_loss=\+", summary)
    for word in ("RUN", "PRUNE", "PROMOTE", "VERDICT"):
        assert f" {word} " in home.log()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()

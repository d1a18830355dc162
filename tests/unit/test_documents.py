"""Is what the documents say still true? Their links lead somewhere, and their code runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from policies.evidence import Hold, Objective, Observation, Promote, TaskEvidence

ROOT = Path(__file__).parents[2]
FOLDERS = (".", "docs", "docs/gallery", "docs/trainers", "queue", "results", "systemd", "benchmarks")
DOCUMENTS = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|mailto:|#)([^)#\s]+)")
CONTRIBUTING = ROOT / "CONTRIBUTING.md"


def code_in(document: Path, name: str) -> str:
    """The code block that is marked ```python <name>."""
    block = re.search(rf"^```python {name}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None, f"{document.name} has no block `python {name}`"
    return block[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    dead = [
        target for target in LINK.findall(document.read_text()) if not (document.parent / target).exists()
    ]
    assert dead == []


def test_there_are_links_to_check() -> None:
    assert any(LINK.findall(document.read_text()) for document in DOCUMENTS)


def observation(config: str, stage: str) -> Observation:
    return Observation(
        stage=stage,
        config=config,
        seed=0,
        slot=0,
        status="ok",
        protocol="p",
        value=0.5 if config == "baseline" else 0.6,
    )


def test_the_policy_of_contributing_is_a_policy(tmp_path: Path) -> None:
    file = tmp_path / "generous.py"
    file.write_text(code_in(CONTRIBUTING, "policy"))
    spec = importlib.util.spec_from_file_location("generous", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    policy = module.Policy()
    evidence = TaskEvidence(
        objective=Objective(),
        stages=("quick", "medium"),
        variant=(observation("v", "quick"), observation("v", "medium")),
        baseline=(observation("baseline", "quick"), observation("baseline", "medium")),
    )
    assert policy.slots("quick", 2) == (0, 1)
    assert isinstance(policy.after("quick", evidence), Promote)
    assert isinstance(policy.after("medium", evidence), Hold)
    verdict = policy.verdict(evidence)
    assert verdict.name == "NEUTRAL"
    assert "+10.00 pp" in verdict.reason


def test_constraints_pin_exactly_and_name_no_place() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    loose = [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin)]
    assert loose == []
    assert "torch==2.13.0" in pins

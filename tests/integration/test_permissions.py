"""Does a daemon refuse a home through which others could run code, and say what closes it?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from real_home import Home

from scheduler.cli import main
from scheduler.effects.permissions import exposures, refuse_exposed
from scheduler.rounds.errors import SettingsError
from scheduler.rounds.paths import HomePaths

#: nobody's, and nobody on this machine
STRANGER = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")

TRUSTED = [
    "",
    "queue",
    "queue/active",
    "queue/done",
    "queue/rejected",
    "queue/control",
    "results",
    "roundhouse.toml",
    "trainers",
    "trainers/mine.py",
    "trainers/large",
    "trainers/large/__init__.py",
    "trainers/large/deep/model.py",
]


@pytest.fixture
def trusted(home: Home) -> HomePaths:
    """A home with trainers of its own."""
    deep = home.paths.trainers / "large" / "deep"
    deep.mkdir(parents=True)
    for file in (home.paths.trainers / "mine.py", deep.parent / "__init__.py", deep / "model.py"):
        file.write_text("")
    assert list(exposures(home.paths)) == []
    return home.paths


@pytest.mark.fault("everybody may write to the home", moment="start", outcome="refused, with the chmod")
@pytest.mark.parametrize("place", TRUSTED)
def test_what_everybody_may_write_is_refused_with_its_remedy(trusted: HomePaths, place: str) -> None:
    path = trusted.root / place if place else trusted.root
    path.chmod(path.stat().st_mode | stat.S_IWOTH)
    with pytest.raises(SettingsError) as refused:
        refuse_exposed(trusted)
    assert f"everybody may write to {path}" in str(refused.value)
    assert f"chmod o-w {path}" in str(refused.value)


@needs_root
@pytest.mark.fault("the home belongs to another user", moment="start", outcome="refused, with the chown")
@pytest.mark.parametrize("place", TRUSTED)
def test_what_belongs_to_another_user_is_refused_with_its_remedy(trusted: HomePaths, place: str) -> None:
    path = trusted.root / place if place else trusted.root
    os.chown(path, STRANGER, -1)
    [exposure] = exposures(trusted)
    assert f"{path} belongs to {STRANGER}" in exposure.what
    assert f"chown root {path}" in exposure.remedy


def test_every_exposure_is_told_at_once(trusted: HomePaths) -> None:
    for folder in (trusted.queue, trusted.results):
        folder.chmod(0o777)
    with pytest.raises(SettingsError) as refused:
        refuse_exposed(trusted)
    assert str(refused.value).count("remedy: chmod o-w") == 2


def test_the_daemon_ends_with_64_before_it_reads_anything(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.paths.settings.write_text("no settings at all")
    home.paths.settings.chmod(0o666)
    assert main(["--home", str(home.paths.root), "daemon"]) == 64
    told = capsys.readouterr().err
    assert f"chmod o-w {home.paths.settings}" in told
    assert "not TOML" not in told
    assert not home.paths.lock.exists()


def test_a_shared_queue_is_served_and_what_comes_of_it_is_for_user_and_group_only(home: Home) -> None:
    for folder in (home.paths.queue, home.paths.control):
        folder.chmod(0o2770)
    home.drop("night", home.spec("night"))
    assert home.start("--until-idle").wait(timeout=90) == 0, home.output()
    home.wait_for("night")
    written = [path for path in home.paths.results.rglob("*") if not path.is_symlink()]
    open_to_others = {
        str(path.relative_to(home.paths.root)): oct(path.stat().st_mode)
        for path in written
        if path.stat().st_mode & 0o027 and path != home.paths.cache
    }
    assert len(written) > 20
    assert open_to_others == {}


def test_a_link_is_judged_by_what_it_leads_to(home: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    home.paths.trainers.symlink_to(elsewhere)
    [exposure] = exposures(home.paths)
    assert str(home.paths.trainers) in exposure.what

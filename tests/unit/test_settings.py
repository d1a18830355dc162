"""Do the settings hold what the file says, and is every mistake in it told?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from scheduler.rounds.errors import SettingsError
from scheduler.rounds.notice import NotifySettings
from scheduler.rounds.settings import Settings, load_settings
from scheduler.rounds.windows import Window

MONDAY = 20  # of October 2025


def at(day: int, clock: str) -> datetime:
    return datetime.fromisoformat(f"2025-10-{day} {clock}:00+02:00")


def settings_of(folder: Path, text: str) -> Settings:
    path = folder / "roundhouse.toml"
    path.write_text(text)
    return load_settings(path)


def problems_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings_of(folder, text)
    assert caught.value.exit_code == 64
    assert str(folder / "roundhouse.toml") in str(caught.value)
    return [line.strip() for line in str(caught.value).splitlines() if line.startswith("  ")]


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "roundhouse.toml") == Settings()
    assert settings_of(tmp_path, "# nothing\n") == Settings()


def test_every_key_can_be_set(tmp_path: Path) -> None:
    text = """
        device = "cuda:1"
        threads = 4
        quiet_period_seconds = 5
        rescan_seconds = 60
        grace_seconds = 2.5
        disk_floor_mib = 0
        windows = ["22:00-07:00", "sat,sun 00:00-24:00"]
        allow_network_filesystem = true
        max_attempts = 5
        network_backoff_seconds = 10
        disk_backoff_seconds = 5
        environment = ["HF_HOME", "WANDB_API_KEY"]
        heartbeat_timeout_seconds = 120
        reuse_baselines = false
        baseline_check_every = 10
        log_max_mib = 2.5
        log_files_kept = 0
        cost_per_hour = 0.45
        currency = "EUR"
    """
    assert settings_of(tmp_path, text) == Settings(
        device="cuda:1",
        threads=4,
        quiet_period_seconds=5.0,
        rescan_seconds=60.0,
        grace_seconds=2.5,
        disk_floor_mib=0.0,
        windows=(
            Window(start_minute=22 * 60, end_minute=7 * 60),
            Window(start_minute=0, end_minute=24 * 60, days=frozenset({5, 6})),
        ),
        allow_network_filesystem=True,
        max_attempts=5,
        network_backoff_seconds=10.0,
        disk_backoff_seconds=5.0,
        environment=("HF_HOME", "WANDB_API_KEY"),
        reuse_baselines=False,
        baseline_check_every=10,
        heartbeat_timeout_seconds=120.0,
        log_max_mib=2.5,
        log_files_kept=0,
        cost_per_hour=0.45,
        currency="EUR",
    )


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda:0", "GPU-8f1c2e34-aaaa-bbbb-cccc-0123456789ab"])
def test_every_way_to_name_a_device_is_taken(tmp_path: Path, device: str) -> None:
    assert settings_of(tmp_path, f'device = "{device}"').device == device


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("thread = 2", 'thread: unknown key; did you mean "threads"? (found 2)'),
        ("zzz = 2", "zzz: unknown key; known here: device, threads"),
        ("[daemon]\nthreads = 2", "daemon: unknown key"),
        ("threads = 0", "threads: must be a whole number from 1 to 1024 (found 0)"),
        ("threads = 1.0", "threads: must be a whole number"),
        ("threads = true", "threads: must be a whole number"),
        ('threads = "1"', 'threads: must be a whole number from 1 to 1024 (found "1")'),
        ("grace_seconds = -1", "grace_seconds: must be a number from 0 to"),
        ("grace_seconds = nan", "grace_seconds: must be a number"),
        ("grace_seconds = inf", "grace_seconds: must be a number"),
        ("rescan_seconds = 0", "rescan_seconds: must be a number from 1 to"),
        ("heartbeat_timeout_seconds = 1", "heartbeat_timeout_seconds: must be a number from 5 to"),
        ("max_attempts = 0", "max_attempts: must be a whole number from 1 to 100"),
        ('disk_floor_mib = "1G"', "disk_floor_mib: must be a number"),
        ("allow_network_filesystem = 1", "allow_network_filesystem: must be true or false (found 1)"),
        ('device = "gpu"', 'device: must be "auto", "cpu", "cuda:N" or the uuid of a GPU (found "gpu")'),
        ("device = 0", "device: must be"),
        ("cost_per_hour = -1", "cost_per_hour: must be a number from 0 to"),
        ('currency = "euro"', "currency: must be a code of three letters"),
        ('environment = "HF_HOME"', 'environment: must be a list of strings (found "HF_HOME")'),
        ('environment = ["HF_HOME", "A=B"]', "environment[1]: must be the name of an environment variable"),
        ("environment = [1]", "environment[0]: must be the name"),
        ('windows = "22:00-07:00"', "windows: must be a list of strings"),
        ("windows = [22]", "windows[0]: must be a string"),
        ('windows = ["22-7"]', 'windows[0]: must look like "22:00-07:00" or "mon-fri 22:00-07:00"'),
        ('windows = ["22:00-07:00", "25:00-07:00"]', "windows[1]: 25:00 is no time of day"),
        ('windows = ["22:60-07:00"]', "windows[0]: 22:60 is no time of day"),
        ('windows = ["24:00-07:00"]', "windows[0]: cannot start at 24:00"),
        ('windows = ["07:00-07:00"]', "windows[0]: starts and ends at the same time"),
        ('windows = ["mon-fry 22:00-07:00"]', 'windows[0]: "fry" is no day'),
        ('windows = ["mon, 22:00-07:00"]', "windows[0]: "),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems_of(tmp_path, text)
    assert found.startswith(problem)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = 'thread = 2\nmax_attempts = 0\nwindows = ["x", "22:00-07:00", "y"]\n'
    assert [problem.partition(":")[0] for problem in problems_of(tmp_path, text)] == [
        "thread",
        "max_attempts",
        "windows[0]",
        "windows[2]",
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"threads = ", "is not TOML"), (b"threads = 1\nthreads = 2\n", "line 2"), (b"\xff", "is not TOML")],
)
def test_a_file_that_is_no_toml_is_refused_with_its_path(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "roundhouse.toml"
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("window", "day", "clock", "is_open"),
    [
        ("09:00-17:00", MONDAY, "08:59", False),
        ("09:00-17:00", MONDAY, "09:00", True),
        ("09:00-17:00", MONDAY, "16:59", True),
        ("09:00-17:00", MONDAY, "17:00", False),
        ("22:00-07:00", MONDAY, "23:00", True),
        ("22:00-07:00", MONDAY, "06:59", True),
        ("22:00-07:00", MONDAY, "07:00", False),
        ("22:00-07:00", MONDAY, "12:00", False),
        ("mon-fri 22:00-07:00", MONDAY, "06:00", False),  # Sunday's night
        ("mon-fri 22:00-07:00", MONDAY + 5, "06:00", True),  # Friday's night
        ("mon-fri 22:00-07:00", MONDAY + 5, "22:30", False),
        ("sat,sun 00:00-24:00", MONDAY + 5, "23:59", True),
        ("sat,sun 00:00-24:00", MONDAY + 4, "23:59", False),
        ("fri-mon 10:00-11:00", MONDAY, "10:30", True),
        ("fri-mon 10:00-11:00", MONDAY + 1, "10:30", False),
        ("MON 00:00-00:01", MONDAY, "00:00", True),
    ],
)
def test_a_window_is_open_within_its_hours_and_days(window: str, day: int, clock: str, is_open: bool) -> None:
    assert Window.parse(window).is_open(at(day, clock)) is is_open


@pytest.mark.parametrize(
    ("window", "opens", "closes"),
    [
        ("09:00-17:30", ("mon,tue,wed,thu,fri,sat,sun", 9, 0), ("mon,tue,wed,thu,fri,sat,sun", 17, 30)),
        ("fri,sat 22:00-07:00", ("fri,sat", 22, 0), ("sat,sun", 7, 0)),
        ("sun 12:00-24:00", ("sun", 12, 0), ("mon", 0, 0)),
    ],
)
def test_the_edges_of_a_window_are_cron_fields(window: str, opens: Any, closes: Any) -> None:
    edges = {
        name: (fields["day_of_week"], fields["hour"], fields["minute"])
        for name, fields in Window.parse(window).cron_edges()
    }
    assert edges == {"opens": opens, "closes": closes}


@pytest.mark.parametrize("text", ["22:00-07:00", "sat,sun 00:00-24:00", "mon 09:05-17:30"])
def test_a_window_is_shown_as_it_is_written(text: str) -> None:
    assert str(Window.parse(text)) == text


def defaults(settings: Any = None, within: str = "") -> Iterator[tuple[str, Any]]:
    """Every key, those of tables by `table.key`, and its default."""
    settings = Settings() if settings is None else settings
    for name in settings.__dataclass_fields__:
        value = getattr(settings, name)
        if is_dataclass(value):
            yield from defaults(value, within=f"{name}.")
        else:
            yield f"{within}{name}", value


@pytest.mark.parametrize(("name", "value"), list(defaults()))
def test_every_setting_is_documented_with_its_default(name: str, value: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    written = f"{value:g}" if isinstance(value, float) else json.dumps(value)
    assert f"`{name}` | `{written}`" in text


def test_tables_hold_keys_of_their_own(tmp_path: Path) -> None:
    text = """
        [notify]
        urls = ["env:NIGHT_URL", "json://127.0.0.1:8080/secret"]
        on = ["gpu_dirty"]
    """
    notify = NotifySettings(urls=("env:NIGHT_URL", "json://127.0.0.1:8080/secret"), on=("gpu_dirty",))
    assert settings_of(tmp_path, text) == Settings(notify=notify)
    assert "secret" not in repr(settings_of(tmp_path, text))


@pytest.mark.fault(
    "an address for notices is misspelt",
    moment="at the start",
    outcome="exit 64; the message does not show it",
)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('notify = "discord://1/hush"', "notify: must be a table, [notify]"),
        ('[notify]\nurl = "discord://1/hush"', 'notify.url: unknown key; did you mean "urls"?'),
        ('urls = ["discord://1/hush"]', "urls: unknown key; known here: device,"),
        ('[notify]\nurls = "discord://1/hush"', "notify.urls: must be a list of strings"),
        ('[notify]\nurls = ["discord//hush"]', "notify.urls[0]: must be an address such as"),
        ('[notify]\nurls = ["env:NO-NAME"]', "notify.urls[0]: must be an address such as"),
        ('[notify]\non = ["hush"]', "notify.on[0]: must be one of round_finished,"),
    ],
)
def test_a_mistake_about_an_address_does_not_tell_it(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems_of(tmp_path, text)
    assert found.startswith(problem)
    assert "hush" not in found

"""Would systemd accept the units, and do they treat exit codes and crashes as the daemon means them?"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scheduler.effects import unit_files
from scheduler.effects.unit_files import Service, quoted, this_program
from scheduler.rounds.errors import (
    AlreadyRunningError,
    CorruptRecordsError,
    SettingsError,
    UsageError,
)

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = (FOLDER / "roundhouse.service", FOLDER / "system" / "roundhouse.service")
#: what reliability asks of the system unit: exposure 2.0, as systemd-analyze counts it
MOST_EXPOSURE = 20
#: what torch or CUDA does not tolerate
AVOIDED = ("MemoryDenyWriteExecute", "PrivateDevices", "PrivateIPC", "PrivateUsers", "ProcSubset")
#: a home that has everything in its name that systemd would expand or split
ODD_HOME = Path('/srv/my search 100%n of "$HOME" \\ é')


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("no systemd-analyze")
    return found


def read(unit: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser["Service"]


@pytest.fixture(params=UNITS, ids=["user", "system"])
def service(request: pytest.FixtureRequest) -> configparser.SectionProxy:
    return read(request.param)


def verify(analyze: str, unit: Path, scope: str, folder: Path) -> None:
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    verified = subprocess.run(
        [analyze, scope, "verify", "--man=no", "--recursive-errors=yes", unit],
        env=os.environ | {"HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_user_unit_is_correct_as_it_is(analyze: str, tmp_path: Path) -> None:
    program = tmp_path / ".local" / "bin" / "schedctl"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    verify(analyze, UNITS[0], "--user", tmp_path)


@pytest.mark.parametrize(
    ("scope", "home"), [("--user", Path("/srv/search")), ("--user", ODD_HOME), ("--system", None)]
)
def test_a_unit_is_correct_as_it_is_installed(
    analyze: str, tmp_path: Path, scope: str, home: Path | None
) -> None:
    installed = Service(name="roundhouse", program=this_program(), home=home)
    [unit, *_] = unit_files.write(installed.files(tmp_path))
    verify(analyze, unit, scope, tmp_path)


@pytest.mark.parametrize("drop_in", sorted(FOLDER.glob("drop-ins/*.conf")), ids=lambda path: path.stem)
def test_a_drop_in_is_correct(analyze: str, tmp_path: Path, drop_in: Path) -> None:
    [unit, *_] = unit_files.write(Service(name="roundhouse", program=this_program()).files(tmp_path))
    folder = unit.with_name("roundhouse.service.d")
    folder.mkdir()
    shutil.copy(drop_in, folder)
    verify(analyze, unit, "--system", tmp_path)


def test_the_system_unit_is_little_exposed(analyze: str) -> None:
    asked = subprocess.run(
        [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager", UNITS[1]],
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stdout
    level = re.search(r"Overall exposure level for roundhouse.service: ([0-9.]+)", asked.stdout)
    assert level is not None
    assert float(level[1]) <= MOST_EXPOSURE / 10


def test_the_system_unit_asks_for_nothing_that_torch_or_cuda_cannot_live_with() -> None:
    service = read(UNITS[1])
    assert not set(AVOIDED) & set(service)
    assert service["SystemCallFilter"] == "@system-service"


def test_ends_that_need_a_person_are_not_started_again(service: configparser.SectionProxy) -> None:
    final = {int(code) for code in service["RestartPreventExitStatus"].split()}
    errors = (SettingsError, AlreadyRunningError, CorruptRecordsError)
    assert final == {0, *(error.exit_code for error in errors)}
    assert service["Restart"] == "always"


def test_a_stop_reaches_the_daemon_first_and_leaves_nothing(service: configparser.SectionProxy) -> None:
    assert service["KillMode"] == "mixed"
    assert service["OOMPolicy"] == "continue"
    assert service["Delegate"] == "yes"


def test_both_units_wait_for_readiness_and_watch_the_loop(service: configparser.SectionProxy) -> None:
    assert service["Type"] == "notify"
    assert service["WatchdogSec"] == "2min"


def test_both_units_say_the_same_of_the_daemon_itself() -> None:
    user, system = (
        {line for line in path.read_text().splitlines() if re.match("Restart|Kill|Timeout|Watchdog", line)}
        for path in UNITS
    )
    assert user == system


class TestText:
    @pytest.mark.parametrize(
        ("word", "text"),
        [
            ("/home/ada/search", "/home/ada/search"),
            ("/a b", '"/a b"'),
            ("/50%", '"/50%%"'),
            ('/a"b\\', '"/a\\"b\\\\"'),
            ("/a\nExecStartPre=/bin/evil", '"/a\\nExecStartPre=/bin/evil"'),
        ],
    )
    def test_a_word_is_written_so_that_nothing_in_it_is_expanded(self, word: str, text: str) -> None:
        assert quoted(word) == text

    def test_a_user_unit_names_its_program_and_home(self) -> None:
        made = Service(name="night", program=("/opt/rh/bin/schedctl", "daemon"), home=Path("/data/search"))
        lines = made.unit().splitlines()
        assert lines.count("ExecStart=/opt/rh/bin/schedctl daemon") == 1
        assert lines.count("Environment=ROUNDHOUSE_HOME=/data/search") == 1
        assert sum(line.startswith("ExecStart=") for line in lines) == 1
        assert len(lines) == len(UNITS[0].read_text().splitlines())

    def test_a_system_unit_of_another_name_has_folders_of_that_name(self) -> None:
        made = Service(name="second", program=("/opt/rh/bin/schedctl", "daemon"))
        files = made.files(Path("/"))
        assert {str(path) for path in files} == {
            "/etc/systemd/system/second.service",
            "/etc/sysusers.d/second.conf",
            "/etc/tmpfiles.d/second.conf",
        }
        for variable in ("ROUNDHOUSE_HOME", "HOME"):
            assert f"Environment={variable}=%S/%N\n" in made.unit()
        folders = files[Path("/etc/tmpfiles.d/second.conf")]
        assert "d /var/lib/second/queue " in folders
        assert "/var/lib/roundhouse" not in folders

    def test_a_packager_s_prefix_leads_to_the_folders_of_packages(self) -> None:
        files = Service(name="roundhouse", program=("/usr/bin/schedctl", "daemon")).files(
            Path("/tmp/package"), "/usr"
        )
        assert {str(path) for path in files} == {
            "/tmp/package/usr/lib/systemd/system/roundhouse.service",
            "/tmp/package/usr/lib/sysusers.d/roundhouse.conf",
            "/tmp/package/usr/lib/tmpfiles.d/roundhouse.conf",
        }

    @pytest.mark.parametrize("name", ["", "../roundhouse", "a b", "a@b", "-a", "a/b"])
    def test_a_name_that_could_be_a_path_or_a_template_is_refused(self, name: str) -> None:
        with pytest.raises(UsageError, match="cannot be the name of a unit"):
            Service(name=name, program=("/bin/true",))


class TestPlaces:
    def service(self, program: str = "/bin/true") -> Service:
        return Service(name="roundhouse", program=(program,))

    def test_what_is_there_already_is_left_alone_and_what_has_changed_is_written(
        self, tmp_path: Path
    ) -> None:
        files = self.service().files(tmp_path)
        assert set(unit_files.write(files)) == set(files)
        assert unit_files.write(files) == ()
        assert unit_files.write(self.service("/bin/false").files(tmp_path)) == (next(iter(files)),)

    def test_a_file_of_another_hand_is_neither_overwritten_nor_removed(self, tmp_path: Path) -> None:
        unit, users, folders = files = self.service().files(tmp_path)
        folders.parent.mkdir(parents=True)
        folders.write_text("# mine\n")
        with pytest.raises(UsageError, match=r"tmpfiles.d/roundhouse.conf was not written by schedctl"):
            unit_files.write(files)
        assert not unit.exists()
        assert not users.exists()
        with pytest.raises(UsageError, match="was not written by schedctl"):
            unit_files.remove(tuple(files))
        assert folders.read_text() == "# mine\n"

    def test_removal_takes_what_was_written_and_may_be_repeated(self, tmp_path: Path) -> None:
        files = self.service().files(tmp_path)
        unit_files.write(files)
        assert unit_files.remove(tuple(files)) == tuple(files)
        assert unit_files.remove(tuple(files)) == ()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_a_user_unit_goes_where_the_user_s_systemd_looks(self, tmp_path: Path) -> None:
        assert unit_files.user_unit_folder({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "systemd/user"
        assert unit_files.user_unit_folder({"XDG_CONFIG_HOME": "x"}) == Path.home() / ".config/systemd/user"

    def test_a_program_that_others_cannot_reach_is_found_before_systemd_fails_on_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        python = tmp_path / "closed" / "python"
        python.parent.mkdir(mode=0o700)
        python.symlink_to("/bin/sh")
        monkeypatch.setattr("sys.executable", str(python))
        assert unit_files.hidden_part() == python

"""Is prepared data made once, whole for whoever asks, and within its limit?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainers import kept_data
from trainers.prepared_data import prepared_arrays

KEY = {"set": "squares", "version": 1}


class Maker:
    """Counts how often it is asked."""

    def __init__(self, size: int = 1000) -> None:
        self.calls = 0
        self.size = size

    def __call__(self) -> dict[str, np.ndarray]:
        self.calls += 1
        return {"tokens": np.arange(self.size) ** 2, "bound": np.array(0.1)}


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "data").iterdir())


def assert_right(arrays: dict[str, np.ndarray], size: int = 1000) -> None:
    assert sorted(arrays) == ["bound", "tokens"]
    assert np.array_equal(arrays["tokens"], np.arange(size) ** 2)
    assert float(arrays["bound"]) == 0.1


def test_arrays_are_made_once_and_mapped_afterwards(tmp_path: Path) -> None:
    make = Maker()
    assert_right(prepared_arrays(tmp_path, KEY, make))
    again = prepared_arrays(tmp_path, dict(reversed(KEY.items())), make)
    assert_right(again)
    assert make.calls == 1
    assert isinstance(again["tokens"], np.memmap)


def test_every_part_of_a_key_tells_data_apart(tmp_path: Path) -> None:
    make = Maker()
    for key in (KEY, KEY | {"version": 2}, KEY | {"set": "cubes"}, KEY | {"more": None}):
        prepared_arrays(tmp_path, key, make)
    assert make.calls == len(kept(tmp_path)) == 4
    assert KEY in [json.loads((folder / "key.json").read_bytes())["key"] for folder in kept(tmp_path)]


def test_arrays_cannot_be_written_to_however_they_were_come_by(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            prepared_arrays(tmp_path, KEY, Maker())["tokens"][0] = 1


def damaged_by(tmp_path: Path, how: str) -> None:
    (folder,) = kept(tmp_path)
    match how:
        case "lost":
            (folder / "tokens.npy").unlink()
        case "torn":
            os.truncate(folder / "tokens.npy", 500)
        case "empty":
            os.truncate(folder / "key.json", 0)
        case "strange":
            (folder / "key.json").write_text("{}")


@pytest.mark.parametrize("how", ["lost", "torn", "empty", "strange"])
def test_what_is_not_whole_is_made_again(tmp_path: Path, how: str) -> None:
    make = Maker()
    prepared_arrays(tmp_path, KEY, make)
    damaged_by(tmp_path, how)
    assert_right(prepared_arrays(tmp_path, KEY, make))
    assert_right(prepared_arrays(tmp_path, KEY, make))
    assert make.calls == 2
    assert len(kept(tmp_path)) == 1


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    room_for_three = 3 * 8 * 1000 + 4000
    clock = iter(range(1, 99))

    def calls(number: int, limit_bytes: int = room_for_three) -> int:
        make = Maker()
        prepared_arrays(tmp_path, {"number": number}, make, limit_bytes=limit_bytes)
        for folder in kept(tmp_path):
            if json.loads((folder / "key.json").read_bytes())["key"]["number"] == number:
                os.utime(folder / "key.json", (now := next(clock), now))
        return make.calls

    assert [calls(number) for number in (1, 2, 3)] == [1, 1, 1]
    assert calls(1) == 0
    assert calls(4) == 1, "nobody has made it"
    assert [calls(1), calls(3)] == [0, 0]
    assert calls(2) == 1, "used longest ago when 4 was made"
    assert calls(5, limit_bytes=10) == 1
    assert len(kept(tmp_path)) == 1, "the newest stays, however large it is"


def test_arrays_stay_usable_when_their_files_are_deleted(tmp_path: Path) -> None:
    prepared_arrays(tmp_path, KEY, Maker())
    mapped = prepared_arrays(tmp_path, KEY, Maker())
    prepared_arrays(tmp_path, {"other": 1}, Maker(), limit_bytes=1)
    assert len(kept(tmp_path)) == 1
    assert_right(mapped)


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").write_text("in the way")
    assert_right(prepared_arrays(tmp_path, KEY, Maker()))
    assert "prepared data is not kept: " in capfd.readouterr().out


def test_what_a_dead_process_left_half_made_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    old, young = tmp_path / "data/.old", tmp_path / "data/.young"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (1, 1))
    prepared_arrays(tmp_path, KEY, Maker())
    assert not old.exists()
    assert young.exists()


RACER = """
import json, sys
from pathlib import Path
import numpy as np
from trainers import kept_data
from trainers.prepared_data import prepared_arrays
sys.stdin.readline()
wrong = 0
for number in range(50):
    key = {"number": number % 7}
    value = number % 7
    found = prepared_arrays(
        Path(sys.argv[1]), key, lambda: {"x": np.full(500, value), "y": np.array(value)}, limit_bytes=18_000
    )
    wrong += not ((found["x"] == value).all() and found["x"].shape == (500,) and found["y"] == value)
print(wrong)
"""


def test_processes_that_make_map_and_delete_at_once_all_get_whole_arrays(tmp_path: Path) -> None:
    racers: list[subprocess.Popen[Any]] = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [racer.communicate("go\n", timeout=120) for racer in racers]
    assert [(out.strip(), err) for out, err in said] == [("0", "")] * 2
    assert not [folder for folder in kept(tmp_path) if folder.name.startswith(".")]


def test_what_is_kept_can_be_listed_and_verified(tmp_path: Path) -> None:
    assert kept_data.kept_data(tmp_path) == ()
    prepared_arrays(tmp_path, KEY, Maker())
    (only,) = kept_data.kept_data(tmp_path)
    assert only.key == KEY
    assert only.bytes > 8000
    assert kept_data.problems_of(only) == ()


@pytest.mark.parametrize("damage", ["a flipped byte", "an array that is gone", "a key that is none"])
def test_damage_to_what_is_kept_is_told(tmp_path: Path, damage: str) -> None:
    prepared_arrays(tmp_path, KEY, Maker())
    (folder,) = kept(tmp_path)
    array = folder / "tokens.npy"
    if damage == "a flipped byte":
        array.write_bytes(array.read_bytes()[:-1] + b"\x01")
    elif damage == "an array that is gone":
        array.unlink()
    else:
        (folder / "key.json").write_text("[]")
    (problem,) = kept_data.problems_of(kept_data.kept_data(tmp_path)[0])
    assert str(folder) in problem


def test_data_from_before_digests_is_no_damage(tmp_path: Path) -> None:
    prepared_arrays(tmp_path, KEY, Maker())
    (folder,) = kept(tmp_path)
    told = json.loads((folder / "key.json").read_bytes())
    del told["digests"]
    (folder / "key.json").write_text(json.dumps(told))
    assert kept_data.problems_of(kept_data.kept_data(tmp_path)[0]) == ()
    make = Maker()
    assert_right(prepared_arrays(tmp_path, KEY, make))
    assert make.calls == 0


def test_old_data_goes_first_by_age_and_then_by_size(tmp_path: Path) -> None:
    for number in range(3):
        prepared_arrays(tmp_path, {"number": number}, Maker())
    oldest, middle, newest = sorted(kept(tmp_path), key=lambda f: f.name)
    for age, folder in ((9000, oldest), (60, middle), (0, newest)):
        moment = time.time() - age
        os.utime(folder / "key.json", (moment, moment))
    assert [each.folder for each in kept_data.prune(tmp_path, older_than_seconds=3600)] == [oldest]
    assert kept_data.prune(tmp_path, 10**9) == ()
    assert [each.folder for each in kept_data.prune(tmp_path, 0, keep=newest)] == [middle]
    assert kept(tmp_path) == [newest]

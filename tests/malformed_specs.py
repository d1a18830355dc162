"""Specs with something wrong in them, written by hand: what the file holds and what its rejection must say.

`place` and `words` both stand in one problem of the answer. A row begins with a sound spec in which one piece
is swapped for another, or it is the whole file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scheduler.rounds.paths import HomePaths

SOUND = """\
title = "Does it help?"
priority = 0
after = []
fresh = false
[objective]
metric = "acc"
direction = "maximize"
unit = "pp"
min_effect = 1.0
[policy]
name = "threshold"
min_delta = 0.3
[stages.quick]
max_steps = 5
time_budget_sec = 10
[stages.medium]
max_steps = 9
time_budget_sec = 20
[[tasks]]
name = "sums"
trainer = "line"
seeds = [0, 1]
bsz = [4, 2]
[tasks.args]
width = 4
[tasks.baseline]
lr = 0.1
[tasks.variants.hot]
lr = 1.0
[tasks.grid_base]
depth = 2
[tasks.grid]
lr = [0.2, 0.3]
"""

COMMAND = """\
[stages.quick]
time_budget_sec = 10
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
inputs = ["train.py"]
argv = ["python3", "train.py", "{score}", "{pause}"]
metrics = { acc = 'val_acc: (?P<value>[0-9.]+)' }
env = { MODE = "x", API_TOKEN = "hunter2hunter2" }
[tasks.baseline]
score = 0.5
pause = 0
[tasks.variants.good]
score = 0.6
pause = 0
"""

#: the trainer of SOUND, for the home's own folder
TRAINER = '''
"""Fits a line."""
from pydantic import Field
from trainers.contract import Fingerprint, TrainerConfig, protocol_field

class Config(TrainerConfig):
    width: int = protocol_field(8, ge=1, le=64)
    lr: float = Field(0.1, gt=0.0)
    depth: int = 1
    kind: str = "plain"

def fingerprint(config):
    return Fingerprint(digest="d")

def prepare(config, context):
    raise NotImplementedError

def train(prepared, context):
    raise NotImplementedError
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """One file that is no round."""

    name: str
    data: bytes
    #: where in the file the problem is, as it is told
    place: str
    words: str
    suffix: str = ".toml"
    #: only for a child with limits
    is_slow: bool = False

    @property
    def file(self) -> str:
        return self.name + self.suffix

    def is_in(self, problems: Iterable[str]) -> bool:
        """Whether one of the problems says what is wrong, and where."""
        return any(self.place in problem and self.words in problem for problem in problems)

    def why(self, paths: HomePaths) -> str:
        """What the daemon says of it; empty before it does."""
        path = paths.rejected / f"{self.file}.why.txt"
        return path.read_text() if path.exists() else ""


#: (what, its replacement, place, words), in SOUND
SWAPS: list[tuple[str, str, str, str]] = [
    # keys that are not known
    ('title = "Does', 'titel = "Does', "titel", 'unknown key; did you mean "title"?'),
    ("priority = 0", "Priority = 0", "Priority", 'did you mean "priority"?'),
    ("after = []", "afterr = []", "afterr", 'did you mean "after"?'),
    ("fresh = false", "refresh = false", "refresh", 'did you mean "fresh"?'),
    ("fresh = false", "__proto__ = 1", "__proto__", "unknown key"),
    ("fresh = false", "include = '/etc/passwd'", "include", "unknown key"),
    ("[objective]", "[objectives]", "objectives", 'did you mean "objective"?'),
    ('metric = "acc"', 'metrics = "acc"', "objective.metrics", 'did you mean "metric"?'),
    ('direction = "maximize"', 'directions = "maximize"', "objective.directions", 'mean "direction"?'),
    ('unit = "pp"', 'units = "pp"', "objective.units", 'did you mean "unit"?'),
    ("min_effect = 1.0", "mineffect = 1.0", "objective.mineffect", 'did you mean "min_effect"?'),
    ("[policy]", "[polciy]", "polciy", 'did you mean "policy"?'),
    ("min_delta = 0.3", "min_detla = 0.3", "policy.min_detla", "min_delta"),
    ("min_delta = 0.3", "keep = 0.3", "policy.keep", "unknown option"),
    ("[stages.quick]", "[stages.qick]", "stages.qick", 'unknown stage; did you mean "quick"?'),
    ("[stages.medium]", "[stages.large]", "stages.large", "unknown stage"),
    ("[stages.medium]", "[stages.Medium]", "stages.Medium", 'did you mean "medium"?'),
    ("max_steps = 5", "max_step = 5", "stages.quick.max_step", 'did you mean "max_steps"?'),
    ("max_steps = 5", "steps = 5", "stages.quick.steps", 'did you mean "max_steps"?'),
    ("max_steps = 9", "seed = 9", "stages.medium.seed", "unknown key"),
    ("time_budget_sec = 10", "time_budget = 10", "stages.quick.time_budget", "time_budget_sec"),
    ("seeds = [0, 1]", "seed = 0", "tasks[0].seed", 'did you mean "seeds"?'),
    ("bsz = [4, 2]", "bs = 4", "tasks[0].bs", "unknown key"),
    ("bsz = [4, 2]", "output = '/etc/cron.d/x'", "tasks[0].output", "unknown key"),
    ("bsz = [4, 2]", "run_dir = '../..'", "tasks[0].run_dir", "unknown key"),
    ("[tasks.args]", "[tasks.arguments]", "tasks[0].arguments", "unknown key"),
    ("[tasks.baseline]", "[tasks.base]", "tasks[0].base", "unknown key"),
    ("[tasks.variants.hot]", "[tasks.varaints.hot]", "tasks[0].varaints", 'did you mean "variants"?'),
    ("[tasks.grid]", "[tasks.gird]", "tasks[0].gird", 'did you mean "grid"?'),
    ("width = 4", "widht = 4", "tasks[0].args.widht", "did you mean 'width'?"),
    ("lr = 1.0", "learning_rate = 1.0", "tasks[0].variants.hot.learning_rate", "unknown field"),
    ("lr = 1.0", "__class__ = 1.0", "tasks[0].variants.hot.__class__", "unknown field"),
    ("lr = 0.1\n", "lrr = 0.1\n", "tasks[0].baseline.lrr", "did you mean 'lr'?"),
    ("depth = 2", "detph = 2", "tasks[0].grid_base.detph", "did you mean 'depth'?"),
    ("lr = [0.2, 0.3]", "ls = [0.2, 0.3]", "tasks[0].grid.ls[0]", "unknown field"),
    # the title
    ('title = "Does it help?"', 'title = ""', "title", "must not be empty"),
    ('title = "Does it help?"', "title = 7", "title", "must be a string (found 7)"),
    ('title = "Does it help?"', "title = true", "title", "must be a string (found true)"),
    ('title = "Does it help?"', "title = 2026-01-01", "title", "dates and times have no meaning here"),
    ('title = "Does it help?"', "title = 07:30:00", "title", "dates and times have no meaning here"),
    ('title = "Does it help?"', "title = 2026-01-01T07:30:00Z", "title", "write it as a string"),
    ('title = "Does it help?"', "title = ['a']", "title", "must be a string"),
    ('title = "Does it help?"', "title = {a = 1}", "title", "must be a string (found a table)"),
    ('title = "Does it help?"', 'title = "a\\nb"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\tb"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\u001b[2Jb"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\u0007b"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\u009b31mb"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\u007fb"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "gnp\\u202eexe"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\u2066b"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\u200fb"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\u2028b"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\ufeffb"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\U000e0041b"', "title", "must be one line of text"),
    ('title = "Does it help?"', 'title = "a\\u0000b"', "title", "holds a NUL"),
    ('title = "Does it help?"', f'title = "{"x" * 201}"', "title", "at most 200 characters"),
    ('title = "Does it help?"', 'title = """\na\nb"""', "title", "must be one line of text"),
    # priority, after, fresh
    ("priority = 0", "priority = 1001", "priority", "must be at most 1000"),
    ("priority = 0", "priority = -1001", "priority", "must be at least -1000"),
    ("priority = 0", "priority = 0.5", "priority", "must be a whole number"),
    ("priority = 0", "priority = 1e2", "priority", "must be a whole number"),
    ("priority = 0", "priority = '1'", "priority", "must be a whole number"),
    ("priority = 0", "priority = true", "priority", "must be a whole number"),
    ("priority = 0", "priority = inf", "priority", "must be a finite number"),
    ("priority = 0", "priority = nan", "priority", "must be a finite number"),
    ("priority = 0", "priority = 9223372036854775808", "priority", "must fit into 64 bits"),
    ("priority = 0", f"priority = {'9' * 4000}", "priority", "must fit into 64 bits"),
    ("priority = 0", "priority = 0x7fffffffffffffffff", "priority", "must fit into 64 bits"),
    ("priority = 0", "priority = []", "priority", "must be a whole number"),
    ("after = []", 'after = "evening"', "after", "must be a list"),
    ("after = []", "after = [1]", "after[0]", "must be a string"),
    ("after = []", 'after = ["a", "a"]', "after", "must all differ"),
    ("after = []", 'after = ["../x"]', "after[0]", "must be letters"),
    ("after = []", 'after = [""]', "after[0]", "must be letters"),
    ("after = []", 'after = [["a"]]', "after[0]", "must be a string"),
    ("after = []", 'after = ["cache"]', "after[0]", "is a reserved name"),
    ("after = []", 'after = ["a\\u202e"]', "after[0]", "must be letters"),
    ("fresh = false", "fresh = 0", "fresh", "bool"),
    ("fresh = false", 'fresh = "no"', "fresh", "bool"),
    # the id
    ("fresh = false", 'round = "a b"', "round", "must be letters"),
    ("fresh = false", 'round = ""', "round", "must be letters"),
    ("fresh = false", 'round = "."', "round", "must be letters"),
    ("fresh = false", 'round = ".."', "round", "must be letters"),
    ("fresh = false", 'round = "../../etc"', "round", "must be letters"),
    ("fresh = false", 'round = "/etc/passwd"', "round", "must be letters"),
    ("fresh = false", 'round = "a/b"', "round", "must be letters"),
    ("fresh = false", "round = 'a\\b'", "round", "must be letters"),
    ("fresh = false", 'round = "~"', "round", "must be letters"),
    ("fresh = false", 'round = "-rf"', "round", "must be letters"),
    ("fresh = false", 'round = "$(id)"', "round", "must be letters"),
    ("fresh = false", 'round = "`id`"', "round", "must be letters"),
    ("fresh = false", 'round = "a;b"', "round", "must be letters"),
    ("fresh = false", 'round = "a\\nb"', "round", "must be letters"),
    ("fresh = false", 'round = "a\\n"', "round", "must be letters"),
    ("fresh = false", 'round = "a\\u0000"', "round", "holds a NUL"),
    ("fresh = false", 'round = "a.b"', "round", "must be letters"),
    ("fresh = false", 'round = "nächte"', "round", "must be letters"),
    ("fresh = false", 'round = "а"', "round", "must be letters"),
    ("fresh = false", 'round = "a\\u200b"', "round", "must be letters"),
    ("fresh = false", 'round = "a\\u202eb"', "round", "must be letters"),
    ("fresh = false", 'round = "１"', "round", "must be letters"),
    ("fresh = false", f'round = "{"x" * 65}"', "round", "at most 64"),
    ("fresh = false", f'round = "{"x" * 100_000}"', "round", "at most 64"),
    ("fresh = false", "round = 7", "round", "must be a string (found 7)"),
    ("fresh = false", "round = true", "round", "must be a string (found true)"),
    ("fresh = false", "round = 2026-01-01", "round", "dates and times have no meaning here"),
    ("fresh = false", 'round = ["a"]', "round", "must be a string"),
    ("fresh = false", "[round]", "round", "must be a string (found a table)"),
    ("fresh = false", 'round = "cache"', "round", "is a reserved name"),
    ("fresh = false", 'round = "JOURNAL"', "round", "is a reserved name"),
    ("fresh = false", 'round = "Ledger"', "round", "is a reserved name"),
    ("fresh = false", 'round = "index"', "round", "is a reserved name"),
    ("fresh = false", 'round = "status"', "round", "is a reserved name"),
    ("fresh = false", 'round = "launcher"', "round", "is a reserved name"),
    ("fresh = false", 'round = "daemon"', "round", "is a reserved name"),
    ("fresh = false", 'round = "probe"', "round", "is a reserved name"),
    ("fresh = false", 'round = "control"', "round", "is a reserved name"),
    ("fresh = false", 'round = "active"', "round", "is a reserved name"),
    ("fresh = false", 'round = "done"', "round", "is a reserved name"),
    ("fresh = false", 'round = "rejected"', "round", "is a reserved name"),
    # the objective
    ('metric = "acc"', 'metric = ""', "objective.metric", "must be one word"),
    ('metric = "acc"', 'metric = "two words"', "objective.metric", "must be one word"),
    ('metric = "acc"', 'metric = "a\\u001b[1m"', "objective.metric", "must be one printable word"),
    ('metric = "acc"', 'metric = "a\\u202e"', "objective.metric", "must be one printable word"),
    ('metric = "acc"', f'metric = "{"x" * 65}"', "objective.metric", "must be one word"),
    ('metric = "acc"', "metric = 1", "objective.metric", "must be a string"),
    ('direction = "maximize"', 'direction = "max"', "objective.direction", "'maximize' or 'minimize'"),
    ('direction = "maximize"', 'direction = "Maximize"', "objective.direction", "'maximize' or 'minimize'"),
    ('direction = "maximize"', "direction = 1", "objective.direction", "'maximize' or 'minimize'"),
    ('unit = "pp"', 'unit = ""', "objective.unit", "must be one word"),
    ('unit = "pp"', 'unit = "a b"', "objective.unit", "must be one word"),
    ('unit = "pp"', f'unit = "{"x" * 17}"', "objective.unit", "must be one word"),
    ('unit = "pp"', "unit = []", "objective.unit", "must be a string"),
    ("min_effect = 1.0", "min_effect = 0", "objective.min_effect", "must be greater than 0"),
    ("min_effect = 1.0", "min_effect = -1", "objective.min_effect", "must be greater than 0"),
    ("min_effect = 1.0", "min_effect = nan", "objective.min_effect", "must be a finite number"),
    ("min_effect = 1.0", "min_effect = inf", "objective.min_effect", "must be a finite number"),
    ("min_effect = 1.0", "min_effect = 1e999", "objective.min_effect", "must be a finite number"),
    ("min_effect = 1.0", "min_effect = '1'", "objective.min_effect", "must be a number"),
    ("min_effect = 1.0", "min_effect = true", "objective.min_effect", "must be a number"),
    ('unit = "pp"\nmin_effect = 1.0', 'unit = "nat"', "objective.min_effect", 'is missing: with unit "nat"'),
    ('metric = "acc"\ndirection = "maximize"', 'metric = "loss"', "objective.direction", "is missing"),
    ("[objective]", "[[objective]]", "objective", "must be a table"),
    # the policy
    ('name = "threshold"', 'name = "treshold"', "policy.name", 'did you mean "threshold"?'),
    ('name = "threshold"', 'name = "../evil"', "policy.name", "unknown policy"),
    ('name = "threshold"', 'name = "os"', "policy.name", "unknown policy"),
    ('name = "threshold"', 'name = "_optuna"', "policy.name", "unknown policy"),
    ('name = "threshold"', 'name = ""', "policy.name", "unknown policy"),
    ('name = "threshold"', "name = 1", "policy.name", "must be a string"),
    ('name = "threshold"', 'name = "a\\u001b[2J"', "policy.name", "unknown policy"),
    ("min_delta = 0.3", "min_delta = '0.3'", "policy.min_delta", "must be a finite number"),
    ("min_delta = 0.3", "min_delta = nan", "policy.min_delta", "must be a finite number"),
    ("min_delta = 0.3", "min_delta = true", "policy.min_delta", "must be a finite number"),
    ("min_delta = 0.3", "min_delta = []", "policy.min_delta", "must be a finite number"),
    ("min_delta = 0.3", "min_delta = 0.3\nd_acc = 0.3", "policy.d_acc", "is the old name of min_delta"),
    # stages
    ("[stages.quick]\nmax_steps = 5\ntime_budget_sec = 10", "[stages]\nquick = 5", "stages.quick", "a table"),
    ("max_steps = 5", "max_steps = 0", "stages.quick.max_steps", "must be at least 1"),
    ("max_steps = 5", "max_steps = -5", "stages.quick.max_steps", "must be at least 1"),
    ("max_steps = 5", "max_steps = 5.0", "stages.quick.max_steps", "must be a whole number"),
    ("max_steps = 5", "max_steps = 1e3", "stages.quick.max_steps", "must be a whole number"),
    ("max_steps = 5", "max_steps = '5'", "stages.quick.max_steps", "must be a whole number"),
    ("max_steps = 5", "max_steps = false", "stages.quick.max_steps", "must be a whole number"),
    ("max_steps = 5", "max_steps = inf", "stages.quick.max_steps", "must be a finite number"),
    ("max_steps = 5", "max_steps = [5]", "stages.quick.max_steps", "must be a whole number"),
    ("max_steps = 5", "max_steps = 99999999999999999999", "stages.quick.max_steps", "must fit into 64 bits"),
    ("max_steps = 5", "max_steps = 5\neval_every = 0", "stages.quick.eval_every", "must be at least 1"),
    ("max_steps = 5", "max_steps = 5\neval_every = 1.5", "stages.quick.eval_every", "must be a whole number"),
    ("max_steps = 5", "max_steps = 5\nn_eval = -1", "stages.quick.n_eval", "must be at least 1"),
    ("max_steps = 5", "max_steps = 5\nn_eval = 'all'", "stages.quick.n_eval", "must be a whole number"),
    ("time_budget_sec = 10", "time_budget_sec = 0", "stages.quick.time_budget_sec", "greater than 0"),
    ("time_budget_sec = 10", "time_budget_sec = -1", "stages.quick.time_budget_sec", "greater than 0"),
    ("time_budget_sec = 10", "time_budget_sec = nan", "stages.quick.time_budget_sec", "a finite number"),
    ("time_budget_sec = 10", "time_budget_sec = inf", "stages.quick.time_budget_sec", "a finite number"),
    ("time_budget_sec = 10", "time_budget_sec = 1e300", "stages.quick.time_budget_sec", "must be at most"),
    ("time_budget_sec = 10", "time_budget_sec = '2m'", "stages.quick.time_budget_sec", "must be a number"),
    ("time_budget_sec = 10", "time_budget_sec = 00:02:00", "stages.quick.time_budget_sec", "dates and times"),
    ("time_budget_sec = 10\n", "", "stages.quick.time_budget_sec", "is missing: every stage needs"),
    ("time_budget_sec = 20\n", "", "stages.medium.time_budget_sec", "is missing: every stage needs"),
    ("[stages.quick]", "[stages.long]", "stages", "must be written in order of effort"),
    (
        "[[tasks]]",
        "[stages.confirm]\nmax_steps = 8\n[[tasks]]",
        "stages.confirm.max_steps",
        "as in medium (9)",
    ),
    ("[stages.medium]", "[stages.confirm]", "stages.confirm", "needs a stage medium"),
    # tasks
    ("[[tasks]]\nname", "[tasks]\nname", "tasks", "must be a list"),
    ('name = "sums"', 'name = ""', "tasks[0].name", "must be letters"),
    ('name = "sums"', 'name = "a b"', "tasks[0].name", "must be letters"),
    ('name = "sums"', 'name = "../x"', "tasks[0].name", "must be letters"),
    ('name = "sums"', 'name = "a.b"', "tasks[0].name", "must be letters"),
    ('name = "sums"', f'name = "{"x" * 255}"', "tasks[0].name", "at most 64"),
    ('name = "sums"', 'name = "a\\u202eb"', "tasks[0].name", "must be letters"),
    ('name = "sums"', 'name = "a\\u001b[2J"', "tasks[0].name", "must be letters"),
    ('name = "sums"', "name = 1", "tasks[0].name", "must be a string"),
    ('name = "sums"', 'name = "index"', "tasks[0].name", "is a reserved name"),
    ('name = "sums"\n', "", "tasks[0].name", "is missing"),
    ('trainer = "line"\n', "", "tasks[0].trainer", "is missing"),
    ('trainer = "line"', 'trainer = "lime"', "tasks[0].trainer", "did you mean 'line'?"),
    ('trainer = "line"', 'trainer = "zzz"', "tasks[0].trainer", "no trainer 'zzz'"),
    ('trainer = "line"', 'trainer = "_worker"', "tasks[0].trainer", "no trainer '_worker'"),
    ('trainer = "line"', 'trainer = "contract"', "tasks[0].trainer", "no trainer 'contract'"),
    ('trainer = "line"', 'trainer = "os"', "tasks[0].trainer", "no trainer 'os'"),
    ('trainer = "line"', 'trainer = "os.path"', "tasks[0].trainer", "must be the name of a trainer"),
    ('trainer = "line"', 'trainer = "../line"', "tasks[0].trainer", "must be the name of a trainer"),
    ('trainer = "line"', 'trainer = "/tmp/evil.py"', "tasks[0].trainer", "must be the name of a trainer"),
    ('trainer = "line"', 'trainer = "line\\u0000"', "tasks[0].trainer", "holds a NUL"),
    ('trainer = "line"', 'trainer = ""', "tasks[0].trainer", "must be the name of a trainer"),
    ('trainer = "line"', "trainer = 1", "tasks[0].trainer", "must be a string"),
    ("seeds = [0, 1]", "seeds = []", "tasks[0].seeds", "must have at least one entry"),
    ("seeds = [0, 1]", "seeds = 0", "tasks[0].seeds", "must be a list"),
    ("seeds = [0, 1]", "seeds = [0, 0]", "tasks[0].seeds", "must all differ"),
    ("seeds = [0, 1]", "seeds = [-1]", "tasks[0].seeds[0]", "must be at least 0"),
    ("seeds = [0, 1]", "seeds = [0, 2147483648]", "tasks[0].seeds[1]", "must be less than 2147483648"),
    ("seeds = [0, 1]", "seeds = [0.0]", "tasks[0].seeds[0]", "must be a whole number"),
    ("seeds = [0, 1]", "seeds = [true]", "tasks[0].seeds[0]", "must be a whole number"),
    ("seeds = [0, 1]", "seeds = ['0']", "tasks[0].seeds[0]", "must be a whole number"),
    ("seeds = [0, 1]", "seeds = [[0]]", "tasks[0].seeds[0]", "must be a whole number"),
    ("seeds = [0, 1]", "seeds = [nan]", "tasks[0].seeds[0]", "must be a finite number"),
    ("seeds = [0, 1]", "seeds = [1979-05-27]", "tasks[0].seeds[0]", "dates and times have no meaning"),
    ("bsz = [4, 2]", "bsz = 0", "tasks[0].bsz", "must be at least 1"),
    ("bsz = [4, 2]", "bsz = []", "tasks[0].bsz", "must have at least one entry"),
    ("bsz = [4, 2]", "bsz = [2, 4]", "tasks[0].bsz", "must fall from the largest to the smallest"),
    ("bsz = [4, 2]", "bsz = [4, 4]", "tasks[0].bsz", "must fall"),
    ("bsz = [4, 2]", "bsz = 'auto'", "tasks[0].bsz", "a whole number or a list of them"),
    ("bsz = [4, 2]", "bsz = 2.5", "tasks[0].bsz", "a whole number or a list of them"),
    ("bsz = [4, 2]", "bsz = [4, 'x']", "tasks[0].bsz[1]", "must be a whole number"),
    ("bsz = [4, 2]", "bsz = [2147483648]", "tasks[0].bsz[0]", "must be less than"),
    ("bsz = [4, 2]", "stages = 1", "tasks[0].stages", "must be a table"),
    ("bsz = [4, 2]", "stages.long.max_steps = 3", "tasks[0].stages.long", "is no stage of this round"),
    ("bsz = [4, 2]", "stages.quick.max_steps = 0", "tasks[0].stages.quick.max_steps", "must be at least 1"),
    ("bsz = [4, 2]", "objective.unit = 'F1'", "tasks[0].objective.min_effect", 'is missing: with unit "F1"'),
    ("bsz = [4, 2]", "objective = 1", "tasks[0].objective", "must be a table"),
    ("bsz = [4, 2]", "policy.name = 'x'", "tasks[0].policy.name", "unknown policy"),
    ("[tasks.args]\nwidth = 4", "args = 4", "tasks[0].args", "must be a table (found 4)"),
    (
        "[tasks.args]",
        "[[tasks]]\nname = 'sums'\ntrainer = 'line'\n[tasks.args]",
        "tasks[1].name",
        "of tasks[0]",
    ),
    (
        "[tasks.args]",
        "[[tasks]]\nname = 'Sums'\ntrainer = 'line'\n[tasks.args]",
        "tasks[1].name",
        "upper and",
    ),
    # arguments, variants, grids
    ("width = 4", "width = 0", "tasks[0].args.width", "greater than or equal to 1"),
    ("width = 4", "width = 65", "tasks[0].args.width", "less than or equal to 64"),
    ("width = 4", "width = 'wide'", "tasks[0].args.width", "integer"),
    ("width = 4", "width = 4.5", "tasks[0].args.width", "integer"),
    ("width = 4", "width = nan", "tasks[0].args.width", "must be a finite number"),
    ("width = 4", "width = [4]", "tasks[0].args.width", "integer"),
    ("width = 4", "width = {a = 4}", "tasks[0].args.width", "integer"),
    ("width = 4", f"width = {10**30}", "tasks[0].args.width", "must fit into 64 bits"),
    ("width = 4", "width = 2026-01-01", "tasks[0].args.width", "dates and times have no meaning here"),
    ("width = 4", '"" = 4', 'tasks[0].args.""', "the key is empty"),
    ("width = 4", '"a\\u0000" = 4', 'tasks[0].args."a', "characters that are no text"),
    ("width = 4", '"a\\u001b[2J" = 4', 'tasks[0].args."a', "unknown field"),
    ("width = 4", '"a\\u202eb" = 4', 'tasks[0].args."a', "unknown field"),
    ("width = 4", 'kind = "a\\u0000"', "tasks[0].args.kind", "holds a NUL"),
    ("lr = 1.0", "lr = 0.0", "tasks[0].variants.hot.lr", "greater than 0"),
    ("lr = 1.0", "lr = -inf", "tasks[0].variants.hot.lr", "must be a finite number"),
    ("lr = 1.0", "lr = 'high'", "tasks[0].variants.hot.lr", "number"),
    ("lr = 1.0", "width = 5", "tasks[0].variants.hot.width", "is part of the protocol"),
    ("lr = 1.0", "lr = 0.1", "tasks[0].variants.hot", "is the same as baseline"),
    ("lr = 1.0", "", "tasks[0].variants.hot", "is the same as baseline"),
    ("lr = 1.0", "lr = 1.0\n[tasks.variants.b]\nlr = 1.0", "tasks[0].variants.b", "is the same as hot"),
    ("lr = 1.0", "lr = 1.0\n[tasks.variants.Hot]\nlr = 2.0", "tasks[0].variants.Hot", "upper and lower case"),
    ("[tasks.variants.hot]\nlr = 1.0", "[tasks.variants]\nhot = 1.0", "tasks[0].variants.hot", "a table"),
    (
        "[tasks.variants.hot]\nlr = 1.0",
        "[[tasks.variants]]\nlr = 1.0",
        "tasks[0].variants",
        "must be a table",
    ),
    ("[tasks.variants.hot]", "[tasks.variants.baseline]", "tasks[0].variants.baseline", "of the baseline"),
    ("[tasks.variants.hot]", "[tasks.variants.BASELINE]", "tasks[0].variants.BASELINE", "of the baseline"),
    ("[tasks.variants.hot]", '[tasks.variants."a b"]', 'tasks[0].variants."a b"', "must be letters"),
    ("[tasks.variants.hot]", '[tasks.variants."../x"]', 'tasks[0].variants."../x"', "must be letters"),
    ("[tasks.variants.hot]", '[tasks.variants.".."]', 'tasks[0].variants.".."', "must be letters"),
    ("[tasks.variants.hot]", '[tasks.variants."/"]', 'tasks[0].variants."/"', "must be letters"),
    ("[tasks.variants.hot]", '[tasks.variants."a\\u001b[2J"]', 'tasks[0].variants."a', "must be letters"),
    ("[tasks.variants.hot]", '[tasks.variants."a\\u202e"]', 'tasks[0].variants."a', "must be letters"),
    ("[tasks.variants.hot]", f"[tasks.variants.{'x' * 65}]", "tasks[0].variants.xxx", "at most 64"),
    ("[tasks.variants.hot]", f"[tasks.variants.{'x' * 255}]", "tasks[0].variants.xxx", "at most 64"),
    ("[tasks.variants.hot]", '[tasks.variants.""]', 'tasks[0].variants.""', "the key is empty"),
    ("[tasks.grid]\nlr = [0.2, 0.3]\n", "", "tasks[0].grid_base", "has no effect without a grid"),
    ("lr = [0.2, 0.3]", "", "tasks[0].grid", "has no axes"),
    ("lr = [0.2, 0.3]", "lr = 0.2", "tasks[0].grid.lr", "must be a list"),
    ("lr = [0.2, 0.3]", "lr = []", "tasks[0].grid.lr", "must have at least one entry"),
    ("lr = [0.2, 0.3]", "lr = [0.2, 0.2]", "tasks[0].grid.lr[1]", "the same name in a variant as entry 0"),
    ("lr = [0.2, 0.3]", "lr = [0.2, [0.3]]", "tasks[0].grid.lr[1]", "must be a number, a string or"),
    ("lr = [0.2, 0.3]", "lr = [0.2, {a = 1}]", "tasks[0].grid.lr[1]", "must be a number, a string or"),
    ("lr = [0.2, 0.3]", "lr = [0.2, nan]", "tasks[0].grid.lr[1]", "must be a finite number"),
    ("lr = [0.2, 0.3]", "lr = [0.2, -1.0]", "tasks[0].grid.lr[1]", "greater than 0"),
    ("lr = [0.2, 0.3]", "depth = [1, 3]", "tasks[0].grid.depth", "is in grid_base too"),
    ("lr = [0.2, 0.3]", "width = [1, 3]", "tasks[0].grid.width", "is part of the protocol"),
    ("lr = [0.2, 0.3]", 'kind = ["a", "A"]', "tasks[0].grid", "upper and lower case"),
    ("lr = [0.2, 0.3]", f'kind = ["{"y" * 80}"]', "tasks[0].grid", "makes names of"),
    (
        "lr = [0.2, 0.3]",
        f"lr = [{', '.join(f'{i}.5' for i in range(12_000))}]",
        "tasks[0].grid",
        "12000 variants",
    ),
    (
        "lr = [0.2, 0.3]",
        "\n".join(f"a{i} = [{', '.join(map(str, range(10)))}]" for i in range(30)),
        "tasks[0].grid",
        f"makes {10**30} variants",
    ),
    (
        "[tasks.grid]",
        '[tasks.variants."lr-0.2"]\nlr = 4.0\n[tasks.grid]',
        "tasks[0].grid",
        "that is written out",
    ),
    (
        "[tasks.grid]\nlr = [0.2, 0.3]",
        "[tasks.grid]\n_x = [1]",
        "tasks[0].grid",
        "do not begin with a letter",
    ),
    # ways of judging
    ("[[tasks]]", "[judge.no_such]\n[[tasks]]", "judge.no_such", "unknown way of judging"),
    ("[[tasks]]", "[judge]\nband = 1\n[[tasks]]", "judge.band", "must be a table"),
    ("[[tasks]]", "[judge.band]\nzzz = 1\n[[tasks]]", "judge.band", "zzz"),
]

#: (what, its replacement, place, words), in COMMAND
COMMAND_SWAPS: list[tuple[str, str, str, str]] = [
    ('argv = ["python3", "train.py", "{score}", "{pause}"]\n', "", "tasks[0].args", "argv is required"),
    ('argv = ["python3", "train.py", "{score}", "{pause}"]', "argv = []", "tasks[0].args.argv", "at least 1"),
    ('argv = ["python3", ', 'argv = "python3 train.py {score} {pause}"#', "tasks[0].args.argv", "tuple"),
    ('"python3", "train', '[1], "train', "tasks[0].args.argv[0]", "string"),
    ('"{score}"', '"{scroe}"', "tasks[0].args.argv[2]", "unknown placeholder {scroe}"),
    ('"{score}"', '"{score"', "tasks[0].args.argv[2]", "a lone {"),
    ('"{score}"', '"score}"', "tasks[0].args.argv[2]", "a lone }"),
    ('"{score}"', '"{}"', "tasks[0].args.argv[2]", "a lone {"),
    ('"{score}"', '"{score.__class__}"', "tasks[0].args.argv[2]", "unknown placeholder"),
    ('"{score}"', '"{score!r}"', "tasks[0].args.argv[2]", "a lone {"),
    ('"{score}"', '"{score:>10}"', "tasks[0].args.argv[2]", "a lone {"),
    ('"{score}"', '"a\\u0000"', "tasks[0].args.argv[2]", "holds a NUL"),
    (
        'inputs = ["train.py"]',
        'inputs = ["none.py"]',
        "tasks[0].args.inputs",
        "inputs match no file: none.py",
    ),
    ('inputs = ["train.py"]', 'inputs = "train.py"', "tasks[0].args.inputs", "tuple"),
    ('inputs = ["train.py"]', "inputs = [1.5, []]", "tasks[0].args.inputs[1]", "string"),
    ('inputs = ["train.py"]', 'inputs = ["/dev/zero"]', "tasks[0].args.inputs", "no regular file"),
    ('inputs = ["train.py"]', 'inputs = ["pipe"]', "tasks[0].args.inputs", "no regular file"),
    ("inputs = [", 'cwd = "nowhere"\ninputs = [', "tasks[0].args", "cwd 'nowhere' is no folder"),
    ("inputs = [", 'cwd = "/nowhere"\ninputs = [', "tasks[0].args", "cwd '/nowhere' is no folder"),
    ("inputs = [", "cwd = []\ninputs = [", "tasks[0].args.cwd", "string"),
    ("inputs = [", "shell = true\ninputs = [", "tasks[0].args.shell", "unknown field shell"),
    ("inputs = [", "grace_seconds = 0\ninputs = [", "tasks[0].args.grace_seconds", "greater than 0"),
    (
        "inputs = [",
        "grace_seconds = 1e9\ninputs = [",
        "tasks[0].args.grace_seconds",
        "less than or equal to 600",
    ),
    ("inputs = [", 'metrics_file = "x.csv"\ninputs = [', "tasks[0].args.metrics_file", ".jsonl or .json"),
    ("(?P<value>[0-9.]+)", "[0-9.]+", "tasks[0].args.metrics.acc", "has no group (?P<value>...)"),
    ("(?P<value>[0-9.]+)", "(?P<value>[0-9.]+", "tasks[0].args.metrics.acc", "is no regular expression"),
    ("(?P<value>[0-9.]+)", "(?P<value>[0-9.]{99999999999})", "tasks[0].args.metrics.acc", "is no regular"),
    ("metrics = { acc = 'val_acc: (?P<value>[0-9.]+)' }", "metrics = 'x'", "tasks[0].args.metrics", "dict"),
    ('MODE = "x"', 'MODE = "{nope}"', "tasks[0].args.env.MODE", "unknown placeholder {nope}"),
    ('"hunter2hunter2"', '"hunter2hunter2{"', "tasks[0].args.env.API_TOKEN", "a lone { in '"),
    ('MODE = "x"', "MODE = []", "tasks[0].args.env.MODE", "string"),
    ('MODE = "x"', "MODE = nan", "tasks[0].args.env.MODE", "must be a finite number"),
    ('env = { MODE = "x", API_TOKEN = "hunter2hunter2" }', "env = 'A=1'", "tasks[0].args.env", "dict"),
    ("score = 0.6", "score = [0.6]", "tasks[0].variants.good.score", "must be text, a number or a boolean"),
    ("score = 0.6", "scroe = 0.6", "tasks[0].variants.good.scroe", "unknown field scroe"),
    ("score = 0.6", "seed = 1\nscore = 0.6", "tasks[0].variants.good.seed", "is given by the round"),
    (
        "score = 0.6",
        'run_dir = "/etc"\nscore = 0.6',
        "tasks[0].variants.good.run_dir",
        "is given by the round",
    ),
    ("score = 0.6", 'cwd = "/"\nscore = 0.6', "tasks[0].variants.good.cwd", "is part of the protocol"),
    ("score = 0.6", 'argv = ["sh"]\nscore = 0.6', "tasks[0].variants.good.argv", "is part of the protocol"),
]

#: whole TOML files
TOML: list[tuple[bytes, str, str]] = [
    (b"", "the file", "is empty"),
    (b" \t\r\n\n", "the file", "is empty"),
    (b"\xef\xbb\xbf", "tasks", "is missing"),
    (b"# nothing but a comment\n", "tasks", "is missing"),
    (b"\0", "line 1", "NUL byte"),
    (b"a = 1\n\0\n", "line 2", "NUL byte"),
    (bytes(range(256)), "line 2", "not UTF-8"),
    (b"\x7fELF\x02\x01\x01" + bytes(9), "line 1", "NUL byte"),
    (b"\x1f\x8b\x08\x08abc", "line 1", "not UTF-8"),
    (b"\x89PNG\r\n\x1a\nxyz", "line 1", "not UTF-8"),
    (b"a = '\xff'\n", "line 1", "not UTF-8 (byte 0xff at offset 5)"),
    (b"a = 1\nb = '\xc3\x28'\n", "line 2", "not UTF-8"),
    (b"a = '\xed\xa0\x80'\n", "line 1", "not UTF-8"),
    (b"a = '\xc0\xaf'\n", "line 1", "not UTF-8"),
    (b"a = '\xf8\x88\x80\x80\x80'\n", "line 1", "not UTF-8"),
    ("a = 'ü'\n".encode("latin-1"), "line 1", "not UTF-8"),
    (SOUND.encode("utf-16"), "line 1", "not UTF-8"),
    (SOUND.encode("utf-16-le"), "line 1", "NUL byte"),
    (SOUND.encode("utf-16-be"), "line 1", "NUL byte"),
    (SOUND.encode("utf-32"), "line 1", "not UTF-8"),
    (b"\xef\xbb\xbf\xef\xbb\xbf" + SOUND.encode(), "line 1, column 1", "not TOML"),
    (SOUND.replace("\n", "\r").encode(), "line", "not TOML"),
    (SOUND.replace("\n", "\u2028").encode(), "line", "not TOML"),
    (SOUND.replace(" = ", "\u00a0=\u00a0").encode(), "line 1", "not TOML"),
    (SOUND.replace('"', "\u201c").encode(), "line 1", "not TOML"),
    (b"round", "end of the file", "not TOML"),
    (b"round =", "end of the file", "not TOML"),
    (b"round = a", "line 1, column 9", "not TOML: Invalid value in `round = ...`"),
    (b"round == 'a'", "line 1", "not TOML"),
    (b"round: a", "line 1", "not TOML"),
    (b"= 1", "line 1", "not TOML"),
    (b"a = 1 b = 2", "line 1, column 7", "not TOML"),
    (b"a = 'x", "end of the file", "not TOML"),
    (b'a = "x\ny"', "line 1", "not TOML"),
    (b'a = "\\q"', "line 1", "not TOML"),
    (b'a = "\\ud800"', "line 1", "not TOML"),
    (b'a = "\\U00110000"', "line 1", "not TOML"),
    (b'a = "\x01"', "line 1", "not TOML"),
    (b'a = "\x1b[2J"', "line 1", "not TOML"),
    (b"a = '''x", "end of the file", "not TOML"),
    (b"a = [1, 2", "end of the file", "not TOML"),
    (b"a = [1 2]", "line 1", "not TOML"),
    (b"a = {b = 1", "end of the file", "not TOML"),
    (b"a = {b = 1,}", "line 1", "not TOML"),
    (b"a = {b = 1\n}", "line 1", "not TOML"),
    (b"a = 01", "line 1", "not TOML"),
    (b"a = 1__0", "line 1", "not TOML"),
    (b"a = 1.", "line 1", "not TOML"),
    (b"a = .5", "line 1", "not TOML"),
    (b"a = +-1", "line 1", "not TOML"),
    (b"a = 0xg", "line 1", "not TOML"),
    (b"a = True", "line 1", "not TOML"),
    (b"a = null", "line 1", "not TOML"),
    (b"a = 2026-13-01", "line 1", "not TOML"),
    (b"a = 25:00:00", "line 1", "not TOML"),
    (b"a = " + b"9" * 5000, "not TOML", "Exceeds the limit"),
    (b"a = 1\na = 2\n", "line 2", "not TOML: Cannot overwrite a value"),
    (b"a = 1\na.b = 2", "end of the file", "not TOML: Cannot overwrite a value"),
    (b"a.b = 1\n[a]\nb = 2", "line 2", "not TOML: Cannot declare"),
    (b"[a]\n[a]", "line 2", "not TOML: Cannot declare ('a',) twice"),
    (b"[a]\n[[a]]", "line 2", "not TOML"),
    (b"[[tasks]]\nname = 'a'\nname = 'b'\n", "line 3", "not TOML: Cannot overwrite a value"),
    (b"[stages.quick]\n[stages.quick]", "line 2", "Cannot declare ('stages', 'quick') twice"),
    (b"a = {b = 1, b = 2}", "line 1", "not TOML: Duplicate inline table key 'b'"),
    (b"[tasks", "end of the file", "not TOML"),
    (b"[tasks]]", "line 1", "not TOML"),
    (b"[]", "line 1", "not TOML"),
    (b"[a..b]", "line 1", "not TOML"),
    (b"[[tasks]]", "tasks[0].name", "is missing"),
    (b"tasks = []", "tasks", "must have at least one entry"),
    (b"tasks = 1", "tasks", "must be a list"),
    (b"tasks = [1]", "tasks[0]", "must be a table"),
    (b"tasks = [[]]", "tasks[0]", "must be a table"),
    (b"tasks = [{}]", "tasks[0].trainer", "is missing"),
    (b"stages = 1", "stages", "must be a table"),
    (b"policy = 'threshold'", "policy", "must be a table"),
    (b"judge = 1", "judge", "must be a table"),
    (json.dumps({"tasks": []}).encode(), "line 1, column 1", "not TOML"),
    (b"%YAML 1.2\n---\nround: a\n", "line 1", "not TOML"),
    (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "line 1", "not TOML"),
    (b"#!/bin/sh\nrm -rf /\n", "line 2", "not TOML"),
    (b"!!python/object/apply:os.system ['id']\n", "line 1", "not TOML"),
    (b"a = " + b"[" * 5_000, "nested", "more than 16 levels deep"),
    (b"a = " + b"[" * 200_000, "nested", "more than 16 levels deep"),
    (b"a = " + b"{a=" * 5_000, "nested", "more than 16 levels deep"),
    (b"a" + b".a" * 500 + b" = 1", "a.a.a", "nested more than 16 levels deep"),
    (b"[" + b"a." * 400 + b"a]", "a.a.a", "nested more than 16 levels deep"),
    (b"a = [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "a[0][0]", "nested more than 16 levels deep"),
    (b"a = 1" + b" " * 256 * 1024, "the file has 262149 bytes", "262144"),
    (b"#" * 1_000_000, "the file has 1000000 bytes", "262144"),
]

#: a parser's worst: each part of a dotted key is looked up from the beginning. They take more than their time
SLOW: list[bytes] = [
    b"[" + b".".join([b"a"] * 100_000) + b"]\n",
    b"[[" + b".".join([b"a"] * 100_000) + b"]]\n",
    b".".join([b"a"] * 100_000) + b" = 1\n",
]

#: whole JSON files
JSON: list[tuple[bytes, str, str]] = [
    (b"", "the file", "is empty"),
    (b"{", "line 1", "not JSON"),
    (b"}", "line 1", "not JSON"),
    (b"{}", "tasks", "is missing"),
    (b"[]", "the file must hold one JSON object", "found []"),
    (b"null", "the file must hold one JSON object", "found null"),
    (b"true", "the file must hold one JSON object", "found true"),
    (b"3", "the file must hold one JSON object", "found 3"),
    (b'"round"', "the file must hold one JSON object", 'found "round"'),
    (b"NaN", "the file must hold one JSON object", "found NaN"),
    (b"round = 'a'", "line 1, column 1", "not JSON"),
    (b"{'a': 1}", "line 1, column 2", "not JSON"),
    (b'{"a": 1,}', "line 1, column 9", "not JSON"),
    (b'{"a": 1}\n{"b": 2}', "line 2, column 1", "not JSON: Extra data"),
    (b'{"a": 1} x', "line 1, column 10", "not JSON: Extra data"),
    (b'{"a" 1}', "line 1", "not JSON"),
    (b'{"a": }', "line 1", "not JSON"),
    (b'{"a": 01}', "line 1", "not JSON"),
    (b'{"a": +1}', "line 1", "not JSON"),
    (b'{"a": .5}', "line 1", "not JSON"),
    (b'{"a": 0x10}', "line 1", "not JSON"),
    (b'{"a": undefined}', "line 1", "not JSON"),
    (b'{"a": "x\ny"}', "line 1", "not JSON"),
    (b'{"a": "\x1b"}', "line 1", "not JSON"),
    (b'{"a": "\\x41"}', "line 1", "not JSON"),
    (b'// a comment\n{"a": 1}', "line 1, column 1", "not JSON"),
    (b'{"a": NaN}', "a", "must be a finite number"),
    (b'{"a": -Infinity}', "a", "must be a finite number"),
    (b'{"a": 1e999}', "a", "must be a finite number (found Infinity)"),
    (b'{"a": [1, [2, NaN]]}', "a[1][1]", "must be a finite number"),
    (b'{"a": 9223372036854775808}', "a", "must fit into 64 bits"),
    (b'{"a": -9223372036854775809}', "a", "must fit into 64 bits"),
    (b'{"a": ' + b"9" * 4000 + b"}", "a", "must fit into 64 bits (found a very large number)"),
    (b'{"a": ' + b"9" * 5000 + b"}", "not JSON", "Exceeds the limit"),
    (b'{"round": "a", "round": "b"}', "round", "the key is given twice"),
    (b'{"tasks": [{"args": {"x": 1, "x": 1}}]}', "tasks[0].args.x", "the key is given twice"),
    (b'{"round": "a", "r\\u006fund": "b"}', "round", "the key is given twice"),
    (b'{"": 1}', '""', "the key is empty"),
    (b'{"a": "\\ud800"}', "a", "half a character"),
    (b'{"\\ud800": 1}', '"', "characters that are no text"),
    (b'{"a": "\\u0000"}', "a", "holds a NUL"),
    (b'{"a": "\\udc00\\ud800"}', "a", "half a character"),
    (b'{"a\\u001b[2J": 1}', '"a', "unknown key"),
    (b'{"__proto__": {"x": 1}}', "__proto__", "unknown key"),
    (b'{"round": null}', "round", "must be a string (found null)"),
    (b'{"tasks": null}', "tasks", "must be a list (found null)"),
    (b'{"tasks": {"0": {}}}', "tasks", "must be a list"),
    (b'{"tasks": [null]}', "tasks[0]", "must be a table"),
    (b'{"stages": {"quick": null}}', "stages.quick", "must be a table"),
    (b'{"stages": {"quick": {"time_budget_sec": null}}}', "stages.quick.time_budget_sec", "must be a number"),
    ('{"a": "é"}'.encode("latin-1"), "line 1", "not UTF-8"),
    ('{"a": "é"}'.encode("utf-16"), "line 1", "not UTF-8"),
    (b'{"a": 1}\0', "line 1", "NUL byte"),
    (b"[" * 100_000, "nested", "more than 16 levels deep"),
    (b'{"a":' * 50_000, "nested", "more than 16 levels deep"),
    (b'{"a":' * 17 + b"1" + b"}" * 17, "a.a.a", "nested more than 16 levels deep"),
    (b'{"a": ' + b"[" * 30 + b"]" * 30 + b"}", "a[0][0]", "nested more than 16 levels deep"),
    (b"{" + b",".join(b'"k%d": 1' % i for i in range(20_000)) + b"}", "k0", "unknown key"),
    (b'{"a": "' + b"x" * 262_144 + b'"}', "the file has 262153 bytes", "262144"),
    (
        json.dumps({"tasks": [{"name": "a", "trainer": "line"}] * 3000}).encode(),
        "tasks[1].name",
        "is the name of tasks[0] too",
    ),
]


def _table() -> Iterator[Malformed]:
    for kind, sound, swaps in (("s", SOUND, SWAPS), ("c", COMMAND, COMMAND_SWAPS)):
        for number, (old, new, place, words) in enumerate(swaps):
            assert sound.count(old) == 1, old
            data = sound.replace(old, new).encode()
            yield Malformed(name=f"{kind}{number:03}", data=data, place=place, words=words)
    for number, (data, place, words) in enumerate(TOML):
        yield Malformed(name=f"t{number:03}", data=data, place=place, words=words)
    for number, data in enumerate(SLOW):
        words = "more than 2 s of processor time"
        yield Malformed(name=f"z{number:03}", data=data, place="dotted", words=words, is_slow=True)
    for number, (data, place, words) in enumerate(JSON):
        yield Malformed(name=f"j{number:03}", data=data, place=place, words=words, suffix=".json")


MALFORMED: tuple[Malformed, ...] = tuple(_table())

#: what is legal and looks as if it were not: (suffix, bytes)
LEGAL: dict[str, tuple[str, bytes]] = {
    "bom": (".toml", b"\xef\xbb\xbf" + SOUND.encode()),
    "crlf": (".toml", SOUND.replace("\n", "\r\n").encode()),
    "bom-and-crlf": (".toml", b"\xef\xbb\xbf" + SOUND.replace("\n", "\r\n").encode()),
    "no-last-line-end": (".toml", SOUND.rstrip("\n").encode()),
    "letters": (".toml", SOUND.replace("Does it help?", "Hilft es? 助けになる? 🚂").encode()),
    "quotes": (".toml", SOUND.replace("Does it help?", "<script>alert('1')</script> $(id) `id`").encode()),
    "longest-title": (".toml", SOUND.replace("Does it help?", "ü" * 200).encode()),
    "least-priority": (".toml", SOUND.replace("priority = 0", "priority = -1000").encode()),
    "largest-seed": (".toml", SOUND.replace("[0, 1]", "[2147483647]").encode()),
    "comment-to-the-limit": (".toml", SOUND.encode() + b"#" * (256 * 1024 - len(SOUND))),
    "dotted": (".toml", b"stages.quick.time_budget_sec = 1\ntasks = [{name = 'a', trainer = 'line'}]"),
    "dots-in-a-name": (".toml", SOUND.replace("variants.hot", 'variants."v1.5-x_y"').encode()),
    "longest-name": (".toml", SOUND.replace("variants.hot", f"variants.{'x' * 64}").encode()),
    "nan-as-text": (".toml", SOUND.replace("width = 4", 'kind = "nan"').encode()),
    "date-as-text": (".toml", SOUND.replace("width = 4", 'kind = "2026-01-01"').encode()),
}


def furnish(home: Path) -> None:
    """Put into a home what the specimens name: a trainer, a program, and a pipe."""
    (home / "trainers").mkdir(exist_ok=True)
    (home / "trainers" / "line.py").write_text(TRAINER)
    (home / "train.py").touch()
    os.mkfifo(home / "pipe")

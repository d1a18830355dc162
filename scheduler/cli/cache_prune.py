"""How does what may be reused become less?"""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.asking import ask
from scheduler.cli.cache_list import MIB
from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.report.numbers import count
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths
from trainers.kept_data import prune

_DAY_SECONDS = 86_400.0


def prune_cache(
    context: typer.Context,
    round_id: Annotated[str | None, typer.Option("--round", help="Forget the results of this round.")] = None,
    key: Annotated[str | None, typer.Option(help="Forget the result of this content key.")] = None,
    data_mib: Annotated[
        float | None, typer.Option(min=0.0, help="Keep at most so much prepared data.")
    ] = None,
    data_days: Annotated[
        float | None, typer.Option(min=0.0, help="Delete prepared data that was not used for so long.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Kept in the ledger.")] = "",
) -> None:
    """Have results forgotten, or delete prepared data.

    A forgotten result is run again when a round wants it; no record is lost. Prepared data is made again.
    """
    home: HomePaths = existing_home(context.obj)
    if all(each is None for each in (round_id, key, data_mib, data_days)):
        raise UsageError("say what to prune: --round, --key, --data-mib or --data-days")
    if data_mib is not None or data_days is not None:
        gone = prune(
            home.cache,
            None if data_mib is None else int(data_mib * MIB),
            older_than_seconds=None if data_days is None else data_days * _DAY_SECONDS,
        )
        freed = sum(kept.bytes for kept in gone) / MIB
        say(f"deleted {count(len(gone), 'set')} of prepared data, {freed:.1f} MiB")
    if round_id is not None or key is not None:
        payload = {} if key is None else {"key": key}
        ask(home, "forget", round_id=round_id, reason=reason, payload=payload)

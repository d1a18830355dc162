"""Which verbs look after what may be reused? `schedctl cache list`, `verify` and `prune`."""

from __future__ import annotations

import typer

from scheduler.cli import cache_list, cache_prune, cache_verify

app = typer.Typer(
    help="List, verify and prune what later rounds may reuse.", no_args_is_help=True, rich_markup_mode=None
)
app.command("list")(cache_list.list_cache)
app.command("verify")(cache_verify.verify_cache)
app.command("prune")(cache_prune.prune_cache)

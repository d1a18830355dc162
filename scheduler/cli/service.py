"""Which verbs have systemd look after the daemon? `schedctl service install`, `remove` and `show`."""

from __future__ import annotations

import typer

from scheduler.cli import service_install, service_remove, service_show

app = typer.Typer(
    help="Have systemd start the daemon, watch it and start it again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("install")(service_install.install_service)
app.command("remove")(service_remove.remove_service)
app.command("show")(service_show.show_service)

"""Would a notice arrive, and are its addresses kept secret? Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scheduler.cli.finding import Finding
from scheduler.effects.messenger import NOT_INSTALLED
from scheduler.effects.notices import deliver, exposed
from scheduler.rounds.notice import resolved, shown
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings


def notify_findings(home: HomePaths, settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """What keeps notices from arriving; nothing where none are wanted."""
    notify = settings.notify
    if not notify.urls:
        return
    if exposed(home.settings, notify):
        yield Finding(
            level="warn",
            what=f"others can read {home.settings}, and with it the addresses of notices",
            remedy=f'chmod 600 {home.settings}, or urls = ["env:NAME"]',
        )
    urls, missing = resolved(notify.urls, environment)
    for name in missing:
        yield Finding(
            level="warn",
            what=f"the environment variable {name} holds no address for notices, at least not here",
            remedy="set it for the daemon: `systemctl --user edit roundhouse`, Environment=",
        )
    errors = deliver(urls, None) if urls else ()
    if NOT_INSTALLED in errors:
        what, _, remedy = NOT_INSTALLED.partition("; ")
        yield Finding(level="fail", what=f"notices cannot be sent: {what}", remedy=remedy)
        return
    for url, error in zip(urls, errors, strict=True):
        if error is not None:
            yield Finding(
                level="fail",
                what=f"notices cannot be sent to {shown(url)}: {error}",
                remedy="correct it in [notify] urls; `schedctl notify --test` tries it",
            )
    sound = sum(error is None for error in errors)
    if sound:
        yield Finding(level="ok", what=f"notices go to {sound} of {len(urls)} addresses; none was sent now")

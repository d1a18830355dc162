"""May a daemon serve this home? Asked before all that takes long to load, for those who come too late."""

from __future__ import annotations

from scheduler.effects.files import is_network_filesystem
from scheduler.effects.lock import HomeLock
from scheduler.effects.permissions import refuse_exposed
from scheduler.rounds.errors import SettingsError
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings, load_settings


def owned(home: HomePaths) -> tuple[Settings, HomeLock]:
    """The settings of the home, with all its folders made, and the right to be its daemon.

    Raises RoundhouseError where it cannot be served; within a second, when another daemon has it.
    """
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    refuse_exposed(home)
    settings = load_settings(home.settings)
    _refuse_network_filesystem(home, settings)
    return settings, HomeLock.acquire(home.lock)


def _refuse_network_filesystem(home: HomePaths, settings: Settings) -> None:
    for folder in (home.queue, home.results):
        kind = is_network_filesystem(folder)
        if kind is not None and not settings.allow_network_filesystem:
            raise SettingsError(
                f"{folder} is on a network file system ({kind}), where locks and renames cannot be trusted;"
                " choose a local home, or set allow_network_filesystem = true in roundhouse.toml"
            )

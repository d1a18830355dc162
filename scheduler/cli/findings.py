"""Is this machine fit for a home? Every check says what it found, and what to do where it is not well."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from packaging.requirements import Requirement

from scheduler.cli.finding import Finding
from scheduler.cli.machine_findings import machine_findings
from scheduler.cli.notify_findings import notify_findings
from scheduler.cli.status import gather
from scheduler.effects.files import free_mib, is_network_filesystem
from scheduler.effects.gpu import Gpu
from scheduler.effects.gpu_sharing import GpuReading
from scheduler.effects.lock import DeviceLock, holder
from scheduler.effects.machine import read_machine
from scheduler.effects.permissions import exposures
from scheduler.report.numbers import duration
from scheduler.rounds.errors import AlreadyRunningError, RoundhouseError, SettingsError
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings, load_settings

#: the distribution whose requirements are checked
_DISTRIBUTION = "roundhouse"
_TORCH_CUDA = re.compile(r"^cuda\b[^=]*=\s*(?:'(?P<version>[^']+)'|None)", re.MULTILINE)


def findings(home: HomePaths) -> Iterator[Finding]:
    """Everything that can be looked at without changing anything."""
    yield from python_findings()
    yield from package_findings()
    settings = Settings()
    try:
        settings = load_settings(home.settings)
        yield Finding(level="ok", what=_settings_words(home))
    except SettingsError as error:
        yield Finding(level="fail", what=str(error), remedy=f"correct or remove {home.settings}")
    torch_cuda = torch_build()
    yield torch_finding(torch_cuda)
    yield from gpu_findings(settings, torch_cuda, is_ours=holder(home.lock) is not None)
    yield from home_findings(home, settings)
    yield from machine_findings(read_machine(home.results, home.journal))
    yield from notify_findings(home, settings, os.environ)
    yield daemon_finding(home)


def python_findings() -> Iterator[Finding]:
    """The interpreter, and what Roundhouse itself is."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(level="ok", what=f"Python {version} ({sys.executable})")


def package_findings() -> Iterator[Finding]:
    """What Roundhouse requires, by version; and the package that hides a required one."""
    try:
        requirements = importlib.metadata.requires(_DISTRIBUTION) or []
        own = importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        yield Finding(level="fail", what="roundhouse is not installed", remedy="pip install roundhouse")
        return
    wanted = [Requirement(text) for text in requirements if "extra ==" not in text]
    installed = {each.name: _version_of(each.name) for each in wanted}
    found = ", ".join(f"{name} {version}" for name, version in installed.items() if version is not None)
    yield Finding(level="ok", what=f"roundhouse {own} with {found}")
    yield from version_findings(wanted, installed)
    if _version_of("pynvml") is not None:
        yield Finding(
            level="warn",
            what="the deprecated package pynvml is installed beside nvidia-ml-py and may hide its module",
            remedy="pip uninstall pynvml, then pip install --force-reinstall nvidia-ml-py",
        )


def version_findings(wanted: Sequence[Requirement], installed: Mapping[str, str | None]) -> Iterator[Finding]:
    """The packages that are not there, or not in a version that is known to work."""
    for each in wanted:
        version = installed[each.name]
        if version is None:
            what = f"missing: {each.name}"
        elif not each.specifier.contains(version, prereleases=True):
            what = f"{each.name} {version} is installed, which is not {each.specifier}"
        else:
            continue
        remedy = f"{sys.executable} -m pip install '{each.name}{each.specifier}'"
        yield Finding(level="fail", what=what, remedy=remedy)


def torch_build() -> str | None:
    """`""` without torch, `"cpu"`, or the CUDA version it was built for. Torch is not imported."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        built = _TORCH_CUDA.search(Path(spec.origin).with_name("version.py").read_text())
    except OSError:
        return "unknown"
    return (built["version"] if built is not None else None) or "cpu"


def torch_finding(build: str | None) -> Finding:
    """Whether the trainers that ship can train, and on what."""
    if build is None:
        return Finding(
            level="warn",
            what="torch is not installed; only the trainer `command` can run",
            remedy=f"{sys.executable} -m pip install 'roundhouse[train]'",
        )
    version = _version_of("torch") or "of unknown version"
    made_for = "the CPU only" if build == "cpu" else f"CUDA {build}"
    return Finding(level="ok", what=f"torch {version}, built for {made_for}")


def gpu_findings(settings: Settings, torch_cuda: str | None, *, is_ours: bool) -> Iterator[Finding]:
    """The device that `settings` choose, who uses it, and whether torch can."""
    try:
        gpu = Gpu.open(settings.device, settings.threads)
    except RoundhouseError as error:
        yield Finding(level="fail", what=str(error), remedy="correct `device` in roundhouse.toml")
        return
    if gpu is None:
        yield _cpu_finding(settings)
        return
    yield Finding(level="ok", what=f"{gpu.device.id}: {gpu.device.name}, driver {gpu.device.driver}")
    if torch_cuda == "cpu":
        yield Finding(
            level="fail",
            what="torch is built for the CPU only, so that runs on this GPU will fail",
            remedy='install a CUDA build of torch (README, "Another build of torch"), or set device = "cpu"',
        )
    try:
        yield _use_finding(gpu.read())
    except RoundhouseError as error:
        yield Finding(level="fail", what=str(error), remedy="look for Xid errors in dmesg")
    if not is_ours:
        yield _device_lock_finding(gpu.uuid)


def home_findings(home: HomePaths, settings: Settings) -> Iterator[Finding]:
    """Whether the home exists, is ours alone to write, and lies on a local disk with room."""
    if not home.results.is_dir():
        yield Finding(
            level="warn", what=f"there is no home in {home.root} yet", remedy="`schedctl daemon` makes one"
        )
        return
    for exposure in exposures(home):
        yield Finding(level="fail", what=exposure.what, remedy=exposure.remedy)
    for folder in (home.queue, home.results):
        kind = is_network_filesystem(folder)
        if kind is not None and not settings.allow_network_filesystem:
            yield Finding(
                level="fail",
                what=f"{folder} is on a network file system ({kind}), where locks cannot be trusted",
                remedy="choose a local home, or set allow_network_filesystem = true in roundhouse.toml",
            )
    free = free_mib(home.results)
    is_low = free < settings.disk_floor_mib
    yield Finding(
        level="fail" if is_low else "ok",
        what=f"{free} MiB free for {home.results}; nothing starts below {settings.disk_floor_mib:.0f} MiB",
        remedy="free some space, or lower disk_floor_mib in roundhouse.toml" if is_low else "",
    )


def daemon_finding(home: HomePaths) -> Finding:
    """Whether a daemon serves the home, and is not stuck."""
    told = gather(home, now=datetime.now().astimezone())
    daemon = told["daemon"]
    if daemon is None:
        return Finding(
            level="warn",
            what="the daemon is down",
            remedy=f"schedctl --home {home.root} daemon, or start its systemd unit",
        )
    if told["is_stale"] and not told["is_starting"]:
        age = told["age_seconds"]
        silent = "for ever" if age is None else f"for {duration(age)}"
        return Finding(
            level="fail",
            what=f"the daemon (process {daemon.get('pid')}) has not written its status {silent}",
            remedy="see the end of launcher.log, then restart it; no finished run is lost",
        )
    return Finding(level="ok", what=f"the daemon runs as process {daemon.get('pid')}")


def _settings_words(home: HomePaths) -> str:
    return f"{home.settings} is sound" if home.settings.exists() else "no roundhouse.toml: defaults hold"


def _version_of(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_finding(settings: Settings) -> Finding:
    if settings.device == "cpu":
        return Finding(level="ok", what='runs train on the CPU (device = "cpu")')
    has_card = any(Path("/dev").glob("nvidia[0-9]*"))
    return Finding(
        level="warn" if has_card else "ok",
        what="no NVIDIA driver or no visible GPU: runs train on the CPU",
        remedy="nvidia-smi should list the GPU; see also CUDA_VISIBLE_DEVICES" if has_card else "",
    )


def _use_finding(reading: GpuReading) -> Finding:
    used, total = reading.memory_used_mib, reading.memory_total_mib
    memory = "memory unknown" if used is None or total is None else f"{used:.0f} of {total:.0f} MiB in use"
    processes = ", ".join(f"{process.pid} ({process.name})" for process in reading.processes or ())
    return Finding(level="ok", what=f"{memory}; compute processes: {processes or 'none'}")


def _device_lock_finding(uuid: str) -> Finding:
    try:
        DeviceLock.acquire(uuid).release()
    except AlreadyRunningError as error:
        return Finding(level="warn", what=str(error), remedy="the daemon of this home cannot start meanwhile")
    return Finding(level="ok", what="no daemon of another home owns the GPU")

"""What of the daemon's environment may a worker see? An allow list, so that no secret travels by accident."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: names, and with a trailing `*` prefixes, that training programs commonly need
ALLOWED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "CUDA_*",
    "NVIDIA_*",
    "NCCL_*",
    "PYTORCH_*",
    "TORCH_*",
    "TRITON_*",
    "OMP_*",
    "MKL_*",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
#: parts of a name that make it a secret, whatever list it is on
SECRET_PARTS = ("TOKEN", "KEY", "SECRET", "PASSW")


def worker_environment(environment: Mapping[str, str], additions: Iterable[str] = ()) -> dict[str, str]:
    """The part of `environment` that a worker gets. `additions` are names of the user's own.

    A name on neither list is left out; one that looks like a secret needs to be named in full.
    """
    named = set(additions)
    return {
        name: value
        for name, value in environment.items()
        if name in named or (_is_allowed(name) and not any(part in name for part in SECRET_PARTS))
    }


def _is_allowed(name: str) -> bool:
    return any(name.startswith(entry[:-1]) if entry.endswith("*") else name == entry for entry in ALLOWED)

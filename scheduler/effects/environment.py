"""What of the daemon's environment may a worker see? An allow list, so that no secret travels by accident."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping

from scheduler.rounds.redaction import looks_secret

#: names, and patterns of names, that training programs commonly need
ALLOWED = (
    *("HOME", "LANG", "LANGUAGE", "LC_*", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR"),
    *("TZ", "USER", "VIRTUAL_ENV", "XDG_*"),
    *("CUBLAS_*", "CUDA_*", "CUDNN_*", "GOMP_*", "KMP_*", "MKL_*", "NCCL_*", "NUMEXPR_*", "NVIDIA_*"),
    *("OMP_*", "OPENBLAS_*", "PYTORCH_*", "TORCH_*", "TORCHINDUCTOR_*", "TRITON_*"),
    *("HF_*", "HUGGINGFACE_*", "TRANSFORMERS_*", "DATASETS_*", "TOKENIZERS_PARALLELISM", "WANDB_MODE"),
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "http_proxy", "https_proxy"),
    *("no_proxy", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
)

_ALLOWED_PATTERN = re.compile("|".join(fnmatch.translate(pattern) for pattern in ALLOWED))


def worker_environment(environment: Mapping[str, str], additions: Iterable[str] = ()) -> dict[str, str]:
    """The part of `environment` that a worker gets. `additions` are names of the user's own.

    A name on neither list is left out, and so is one that looks like a secret, unless it is named in full.
    """
    named = frozenset(additions)
    return {
        name: value
        for name, value in environment.items()
        if name in named or (_ALLOWED_PATTERN.match(name) and not looks_secret(name))
    }

"""Connects to a Ray cluster, or starts one on this machine, and starts runners on it."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from darkroom.cluster.messages import Setup
from darkroom.cluster.numerics import numerics
from darkroom.cluster.pool import Pool, Sizes
from darkroom.cluster.probe import probe
from darkroom.cluster.runner import ClusterRunner
from darkroom.config.settings import Settings
from darkroom.engine.start import Started
from darkroom.errors import SetupError
from darkroom.models import Memory, ModelKind, ModelNames, Models
from darkroom.resources import install_command
from darkroom.store import Store
from darkroom.system.cores import usable_cores

log = logging.getLogger("darkroom")

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_OBJECTS = 100_000_000  # bytes of shared memory of a cluster of our own: only results without their files go through it
_LONGEST_FOLDER = 30  # characters; the paths of sockets below it may have 107


@contextmanager
def on_cluster(settings: Settings, store: Store, kinds: Sequence[ModelKind]) -> Iterator[Started]:
    """Compute on a Ray cluster (`engine.start.StartRunner`)."""
    models = settings.models()
    with probe(store) as key, _connected():
        gpus = int(models.device.startswith("cuda"))
        cpus = _cpus(settings, models, gpus)
        size = _room(cpus, gpus)
        batches = models.workers if gpus else max(1, cpus // int(models.memory.threads))
        make_models = partial(_models, models.resolved_settings(), batches)
        loras = models.loras.names
        setup = Setup(make_models, kinds, loras, numerics(models, kinds, loras), store.folder, key)
        pool = Pool(setup, Sizes(size, cpus, gpus, batches), store.mark_unsafe)
        log.info("%d Ray workers on %s", size, "the cluster" if os.environ.get("RAY_ADDRESS") else "this machine")
        try:
            yield Started(ClusterRunner(models, store, pool), pool.facts, pool.at_work)
        finally:
            pool.close()


def _models(settled: Mapping[str, Any], batches: int) -> Models:
    """The models of `Models.resolved_settings`, for a worker, which sees only its own GPU."""
    device = settled["device"].partition(":")[0]
    return Models(ModelNames(**settled["models"]), Memory(**{**settled["memory"], "workers": batches}), device)


def _cpus(settings: Settings, models: Models, gpus: int) -> int:
    """The cores of each worker."""
    if settings.engine.cpus != "auto":
        return settings.engine.cpus
    if not gpus:
        return int(models.memory.threads)
    shares = [each["CPU"] // each["GPU"] for each in _machines() if each.get("GPU")]
    return max(1, int(min(shares, default=1)))


def _room(cpus: int, gpus: int) -> int:
    """How many workers the machines of the cluster have room for."""
    needed = {name: number for name, number in {"CPU": cpus, "GPU": gpus}.items() if number}
    room = sum(min(int(each.get(name, 0) // number) for name, number in needed.items()) for each in _machines())
    if not room:
        what = f"{cpus} cores and a GPU" if gpus else f"{cpus} cores"
        raise SetupError(f"engine.cpus: no machine of the Ray cluster has {what} for a worker")
    return room


def _machines() -> list[dict[str, float]]:
    """What each machine of the cluster has: `CPU` and `GPU` are numbers of cores and of GPUs."""
    import ray

    nodes: Any = ray.nodes  # without types
    return [machine["Resources"] for machine in nodes() if machine["Alive"]]


@contextmanager
def _connected() -> Iterator[None]:
    """A connection to the cluster that RAY_ADDRESS names, or to one of our own."""
    _set_environment()
    try:
        import ray
    except ImportError:
        raise SetupError(f"engine=ray: needs a package: {install_command('ray')}; or give engine=local") from None

    with _folder() as folder:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if not os.environ.get("RAY_ADDRESS"):
            options |= {
                "address": "local",
                "num_cpus": usable_cores(),
                "include_dashboard": False,
                "_temp_dir": str(folder),
            }
            options["object_store_memory"] = _OBJECTS
        try:
            with _our_signals():
                ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise SetupError(f"engine=ray: {' '.join(str(error).split())}") from None
        try:
            yield
        finally:
            ray.shutdown()


def _set_environment() -> None:
    """Set what Ray reads at import. A cluster of our own gets a token; else Ray writes one into the home folder."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    given = {"RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)
    if not given and "ray" not in sys.modules:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def _folder() -> Iterator[Path]:
    """A private folder for the files of a cluster of our own."""
    given = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="darkroom-", dir=given if len(given) < _LONGEST_FOLDER else "/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _our_signals() -> Iterator[None]:
    """Keep our handler of SIGTERM, which Ray replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)

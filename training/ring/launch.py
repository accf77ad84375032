"""Which ring this process belongs to, told by the environment that its launcher made."""

from __future__ import annotations

import os
import socket

import torch

from mapring.settings.ring import Ring as RingSettings
from training.ring.interface import Ring, RingError
from training.ring.watched import WatchedRing


def open_ring(settings: RingSettings) -> Ring:
    """Join the ring that the launcher set up, and give each rank its share of the host's cores.

    horovodrun and mpirun lead to Horovod, torchrun to torch.distributed, no launcher to a single process.

    Raises:
        RingError: the launcher's ring cannot be joined.
    """
    ring = _join(settings)
    if "OMP_NUM_THREADS" not in os.environ:
        try:
            torch.set_num_threads(_threads(ring))
        except RingError:
            ring.shutdown()
            raise
    return ring


def is_elastic() -> bool:
    """Whether horovodrun discovers hosts and forms a new ring where one ends."""
    return os.environ.get("HOROVOD_ELASTIC") == "1"


def _threads(ring: Ring) -> int:
    """Divide the host's cores among its ranks; mpirun may have bound each rank to cores of its own already."""
    host, mine = socket.gethostname(), sorted(os.sched_getaffinity(0))
    everyone = ring.allgather_object([host, mine])
    cores = {core for where, allowed in everyone if where == host for core in allowed}
    return max(1, min(len(mine), len(cores) // ring.local_size))


def _join(settings: RingSettings) -> Ring:
    if "HOROVOD_RANK" in os.environ or "OMPI_COMM_WORLD_RANK" in os.environ:
        from training.ring.horovod_ring import HorovodRing

        return _watched(HorovodRing(settings), settings)
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        from training.ring.torch_ring import TorchRing

        return _watched(TorchRing(settings), settings)
    _refuse_other_launchers()
    from training.ring.single import SingleRing

    return SingleRing()


def _refuse_other_launchers() -> None:
    """Each of their processes would take itself for the only one, and train in the same directory."""
    of_slurm = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in os.environ else "SLURM_NTASKS"
    for name in ("PMI_SIZE", *([of_slurm] if "SLURM_STEP_ID" in os.environ else [])):
        if os.environ.get(name, "1") != "1":
            raise RingError(
                f"found {name}={os.environ[name]}, as srun and other launchers set it, expected horovodrun, Open MPI's "
                "mpirun or torchrun, which tell each rank of its ring; start the ranks by one of these"
            )


def _watched(ring: Ring, settings: RingSettings) -> Ring:
    """A ring that has just formed; where a rank is lost meanwhile it is left, so that another one can form."""
    try:
        return WatchedRing(ring, settings.stall_shutdown_seconds)
    except RingError:
        ring.shutdown()
        raise

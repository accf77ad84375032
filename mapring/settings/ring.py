"""Settings of the ring: how its ranks are started."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mapring.settings.base import Section, execution


class Ring(Section):
    """How the ranks of the ring are started by `mapring run` and `mapring train`."""

    ranks: int = execution(2, description="Number of ranks (processes).", ge=1)
    launcher: Literal["horovodrun", "mpirun"] = execution(
        "horovodrun", description="horovodrun uses the Gloo controller, mpirun the MPI controller."
    )
    hosts: str | None = execution(None, description="Hosts and slots, such as a:2,b:2; none for this machine only.")
    discovery_script: str | None = execution(
        None,
        description="Program that prints hosts and slots, a:2 in a line each, whenever horovodrun asks: ranks then "
        "come and go while the training goes on; none for ranks that are fixed.",
    )
    min_ranks: int = execution(1, description="Ranks without which the training waits; for discovered hosts.", ge=1)
    max_ranks: int | None = execution(
        None, description="Most ranks that are started; for discovered hosts; none for `ranks` of them.", ge=1
    )
    cycle_time_ms: float | None = execution(
        None,
        description="Pause of Horovod's background thread in ms between two looks for tensors to send; that of "
        "`make setup` sleeps until there is one, and takes it for tensors that wait for other ranks. null is 3 with "
        "mpirun and 10 with horovodrun, whose rounds cost more.",
        gt=0,
    )
    stall_shutdown_seconds: int = execution(
        45, description="Time in s after which a rank that does not answer ends the job.", ge=10
    )

    @model_validator(mode="after")
    def _discovery_is_horovodrun_s(self) -> Ring:
        if self.discovery_script is None:
            for name in ("min_ranks", "max_ranks"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name}: found {getattr(self, name)} without discovery_script, which alone lets ranks come "
                        "and go; add it, or remove this one"
                    )
            return self
        if self.launcher != "horovodrun" or self.hosts is not None:
            raise ValueError("discovery_script needs launcher horovodrun and no hosts, for it names them")
        if not self.min_ranks <= self.ranks <= (self.max_ranks or self.ranks):
            raise ValueError(
                f"found min_ranks {self.min_ranks}, ranks {self.ranks}, max_ranks {self.max_ranks}; expected them "
                "in ascending order"
            )
        return self

"""The places of a run directory."""

from __future__ import annotations

from dataclasses import dataclass

from mapring import storage


@dataclass(frozen=True)
class RunDirectory:
    """The places of a run directory, as the public contract names them."""

    root: str

    def shards(self, fingerprint: str) -> str:
        """Directory of the shards with this fingerprint."""
        return storage.join(self.root, "shards", fingerprint)

    def training(self, fingerprint: str) -> str:
        """Directory of the checkpoints, metrics and TensorBoard events of one training."""
        return storage.join(self.root, "training", fingerprint)

    def model(self, fingerprint: str) -> str:
        """Directory of the model with this fingerprint."""
        return storage.join(self.root, "models", fingerprint)

    def backend(self, fingerprint: str) -> str:
        """Directory of the backend with this fingerprint."""
        return storage.join(self.root, "backends", fingerprint)

    def bank(self, fingerprint: str) -> str:
        """Directory of the bank of templates with this fingerprint."""
        return storage.join(self.root, "banks", fingerprint)

    def ranker(self, fingerprint: str) -> str:
        """Directory of the ranker with this fingerprint."""
        return storage.join(self.root, "rankers", fingerprint)

    def recommendations(self, fingerprint: str) -> str:
        """Directory of the users' lists with this fingerprint."""
        return storage.join(self.root, "recommendations", fingerprint)

    def pairs(self, fingerprint: str) -> str:
        """Directory of the pairs of texts with this fingerprint."""
        return storage.join(self.root, "pairs", fingerprint)

    @property
    def scores(self) -> str:
        """The Delta table of scores."""
        return storage.join(self.root, "scores")

    def ranked(self, fingerprint: str) -> str:
        """Directory of the ranking with this fingerprint."""
        return storage.join(self.root, "ranked", fingerprint)

    @property
    def schedule(self) -> str:
        """What scheduled runs have done and are doing."""
        return storage.join(self.root, "schedule")

    @property
    def watch(self) -> str:
        """What watching has found."""
        return storage.join(self.root, "watch")

    @property
    def alerts(self) -> str:
        """What was found by watching the scores, and who was told."""
        return storage.join(self.root, "alerts")

    @property
    def report(self) -> str:
        """The report page."""
        return storage.join(self.root, "report.html")

"""Figures of a running service, in the Prometheus format.

Several processes keep theirs in files of one folder, so whichever is asked answers for all.
"""

import os

import prometheus_client as prometheus
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder; to be set before this module is imported."""

OUTCOMES = ("ok", "degraded", "late", "shed", "invalid", "error")
"""What becomes of a question; each is counted once."""

_BUCKETS_S = (
    0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.2, 0.5, 1.0, 2.0,
)  # fmt: skip


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "recfunnel_questions_total",
            "Questions by what became of them and the path that was taken.",
            ("outcome", "path"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "recfunnel_latency_seconds",
            "From arrival at the server to the answer, of answered questions.",
            registry=self.registry,
            buckets=_BUCKETS_S,
        )
        self._candidates = Counter(
            "recfunnel_candidates_total", "Candidates ranked.", registry=self.registry
        )
        self._waiting = Gauge(
            "recfunnel_unanswered",
            "Questions that wait or are ranked.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._quality = Counter(
            "recfunnel_quality_delivered_total",
            "Sum of the predicted NDCG of answers in time.",
            registry=self.registry,
        )

    def answered(
        self, outcome: str, path: str, latency_s: float, num_candidates: int, quality: float
    ) -> None:
        """One question was answered.

        Args:
            outcome: `ok`, `degraded` or `late`.
            path: that was taken.
            latency_s: from arrival to answer.
            num_candidates: it brought.
            quality: predicted NDCG of the path; counted for answers in time.
        """
        self._requests.labels(outcome, path).inc()
        self._latency.observe(latency_s)
        self._candidates.inc(num_candidates)
        if outcome != "late":
            self._quality.inc(quality)

    def failed(self, outcome: str) -> None:
        """One question was not answered: `shed`, `invalid` or `error`."""
        self._requests.labels(outcome, "").inc()

    def text(self, num_unanswered: int) -> bytes:
        """Everything, as Prometheus reads it."""
        self._waiting.set(num_unanswered)
        if SHARED_FOLDER not in os.environ:
            return prometheus.generate_latest(self.registry)
        every = CollectorRegistry()
        multiprocess.MultiProcessCollector(every)  # type: ignore[no-untyped-call]
        return prometheus.generate_latest(every)


def forget_process(process_id: int) -> None:
    """Leave a dead process out of what is summed over living ones; what it counted stays."""
    multiprocess.mark_process_dead(process_id)  # type: ignore[no-untyped-call]


CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST

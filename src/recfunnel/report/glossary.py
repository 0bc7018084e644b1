"""The words of a report, for a reader who meets them first here."""

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("query", "One user's request to rank."),
    ("candidate", "An item offered for ranking."),
    ("stage", "One model that keeps the best of the candidates it reads."),
    ("pipeline", "Stages in order; each reads what the one before it keeps. Also called a funnel."),
    ("station", "Servers with one first-come-first-served queue; 2x1t is two of one thread each."),
    ("path", "A pipeline with the stations it runs on: one way to serve a query."),
    (
        "NDCG@k",
        "Quality of the first k items served: relevant ones count the more the higher they stand, "
        "divided by what the best list drawn from all candidates would reach. 1 is perfect.",
    ),
    ("latency", "Arrival of a query to its answer, waiting included."),
    ("service time", "The same without waiting."),
    ("p50, p95, p99", "The latency that 50, 95 or 99 of 100 queries stay below."),
    ("service level", "A latency quantile and its deadline, such as p99 within 25 ms."),
    ("capacity", "The highest load, in queries a second, at which the service level holds."),
    ("saturation", "The load from which queues grow without end; no latency means anything there."),
    ("not steady", "The load asked for lies beyond saturation."),
    (
        "Pareto front",
        "Paths that no other path beats in NDCG, tail latency and capacity at once.",
    ),
    (
        "±",
        "One standard error. An interval said to be 95 % reaches 1.96 of them to both sides.",
    ),
    (
        "paired comparison",
        "Two pipelines judged on the same queries, their difference resampled over queries; "
        "far sharper than comparing two means.",
    ),
    (
        "same quality",
        "The interval of the difference excludes a loss larger than the stated tolerance.",
    ),
    ("disturbed", "Something else used the machine meanwhile; the row proves nothing."),
)
"""Word and meaning, in the order they are needed."""

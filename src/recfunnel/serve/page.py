"""A page for people: what is served, and how it goes."""

from html import escape
from importlib.resources import files

from recfunnel.serve.ranking import Ranking


def status_page(ranking: Ranking) -> str:
    """Self-contained HTML; its figures are read from `/metrics` by the page itself.

    Args:
        ranking: what is served.
    """
    deployment = ranking.deployment
    rows = "".join(
        f"<tr><td>{number}</td><td>{escape(path.name)}</td><td>{path.quality:.4f}</td>"
        f"<td>{1e3 * sum(s.service.median_s[-1] for s in path.stations):.3f}</td>"
        f'<td class="share" data-path="{escape(path.name)}">0</td></tr>'
        for number, path in enumerate(ranking.menu.paths)
    )
    template = files("recfunnel.serve").joinpath("page.html").read_text()
    facts = {
        "DATASET": deployment.dataset.name,
        "PLAN": deployment.plan.content_hash,
        "DEADLINE": f"{1e3 * ranking.deadline_s:g}",
        "RATE": f"{deployment.plan.rate_qps:g}",
        "ITEMS": f"{len(deployment.dataset.items):,}",
    }
    for name, value in facts.items():
        template = template.replace(f"[[{name}]]", escape(value))
    return template.replace("[[PATHS]]", rows)

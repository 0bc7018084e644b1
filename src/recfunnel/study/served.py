"""Which runtimes can serve which model: found out once models are fitted, and said where not."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import variant_name
from recfunnel.runtime.base import RuntimeSpec


def served_models(
    models: Iterable[str],
    runtimes: Mapping[str, RuntimeSpec],
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, tuple[str, ...]]:
    """The runtimes of everything that can be served.

    Args:
        models: names of fitted models.
        runtimes: by name, the preferred one first.
        folder: that holds a folder for each model.
        say: told of every model that a runtime cannot run, and why.

    Returns:
        For each model the exact runtimes that can run it, and for each model and runtime that is
        not exact a variant (`MODEL@RUNTIME`) on that runtime alone.

    Raises:
        StudyError: no exact runtime can run a model.
    """
    served: dict[str, tuple[str, ...]] = {}
    variants: dict[str, tuple[str, ...]] = {}
    for model in models:
        refusals = {name: spec.refusal(folder / model) for name, spec in runtimes.items()}
        able = [name for name, why in refusals.items() if not why]
        exact = tuple(name for name in able if runtimes[name].exact)
        if not exact:
            raise StudyError(_nobody(model, refusals, runtimes))
        for name, why in refusals.items():
            if why:
                say(f"{model} is not run on {name}: {why}")
        served[model] = exact
        others = [name for name in able if not runtimes[name].exact]
        variants |= {variant_name(model, name): (name,) for name in others}
    return served | variants


def _nobody(model: str, refusals: Mapping[str, str], runtimes: Mapping[str, RuntimeSpec]) -> str:
    reasons = [
        f"{name}: {why or 'its scores are not exact'}"
        for name, why in refusals.items()
        if why or not runtimes[name].exact
    ]
    return (
        f"no exact runtime of the study can run {model!r} ({'; '.join(reasons)}); "
        "add one that can, such as torch"
    )

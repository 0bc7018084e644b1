"""`recfunnel compact`: which features of a model can do with a smaller representation."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from recfunnel.cli.options import StudyOptions
from recfunnel.cli.printing import emit_json, print_table, say
from recfunnel.core.errors import StudyError

if TYPE_CHECKING:
    from recfunnel.models.embeddings.base import EmbeddingSpec
    from recfunnel.study.compact import CompactChoice


def compact(
    model: str,
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    max_bytes: int,
    representation: Annotated[str, Parameter(name="--with")] = '{ kind = "dhe" }',
    repeats: int = 3,
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(alias="-q", negative="")] = False,
) -> int:
    """Fit a model into so many bytes: features that lose least get a small representation.

    Trains the model again for each feature that would be smaller, compares quality on validation
    queries, chooses the best set of features for the measured changes, and trains that.

    Args:
        model: its name in the run.
        out: run folder of its study.
        max_bytes: of all its parameters.
        representation: the small one, as a study writes it.
        repeats: how often each is trained; with one, standard errors leave out the training seed.
        json: print JSON.
        quiet: no progress on standard error.
    """
    from recfunnel.cli.progress import reporting
    from recfunnel.cli.work import chosen_study
    from recfunnel.study.compact import choose_compact
    from recfunnel.study.run_folder import RunFolder
    from recfunnel.study.steps import Steps

    if not (out / "study.toml").exists():
        raise StudyError(f"{out} holds no study; train one: recfunnel train STUDY --out {out}")
    study = chosen_study(None, StudyOptions(out=out))
    wanted = _representation(representation)
    with RunFolder(out) as folder, reporting(quiet=quiet) as progress:
        steps = Steps(study, folder, progress)
        found = choose_compact(steps, model, wanted, max_bytes, num_repeats=repeats)
    if json:
        emit_json(found)
    else:
        _draw(found)
    return 0


def _representation(text: str) -> "EmbeddingSpec":
    """A spec written as in a study."""
    from recfunnel.models.embeddings.base import embeddings

    try:
        return embeddings.parse(tomllib.loads(f"value = {text}")["value"])
    except tomllib.TOMLDecodeError as error:
        raise StudyError(
            f"--with is {text!r}, which is no TOML ({error}); write it as in a study: "
            '\'{ kind = "dhe", codes = "mprec", decoder = "mprec" }\''
        ) from error


def _draw(found: "CompactChoice") -> None:
    """Print each feature, what all cost together, and the line for a study."""
    from recfunnel.report.formatting import size
    from recfunnel.study.compact import as_toml

    say(
        f"{found.model}: {size(found.size_bytes)}, {found.metric} {found.quality.mean:.4f} on "
        f"{found.quality.num_samples:,} validation queries or rows; changes where one feature "
        "alone is compact:"
    )
    print_table(
        [
            {
                "feature": one.feature,
                "ids": one.num_ids,
                "saves": size(one.saved_bytes),
                "change": f"{one.change.mean:+.5f}",
                "stderr": f"{one.change.stderr:.5f}",
                "compact": "yes" if one.is_compact else "no",
            }
            for one in found.features
        ]
    )
    together = found.together
    say(
        f"chosen: {size(found.chosen_bytes)}, change together {together.mean:+.5f} "
        f"(stderr {together.stderr:.5f})"
    )
    say(f"embedding = {as_toml(found.embedding)}")

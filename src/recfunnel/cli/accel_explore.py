"""`recfunnel accel explore`: the best designs of the accelerator for a run's models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from recfunnel.cli.printing import emit_json, print_table, say
from recfunnel.cli.progress import reporting

if TYPE_CHECKING:
    from recfunnel.plan.accel.result import AccelPoint, Exploration

Several = Parameter(negative="", consume_multiple=True)
Flag = Parameter(negative="")
QUICK = Path("runs/quick")


def explore(
    run: Path = QUICK,
    /,
    *,
    model: Annotated[tuple[str, ...], Several] = (),
    recpipe_sizes: Annotated[bool, Flag] = False,
    rate: float = 1000.0,
    area_mm2: float | None = None,
    power_w: float | None = None,
    p99_ms: float | None = None,
    ndcg: float | None = None,
    answers: int = 64,
    max_stages: int = 2,
    keep: Annotated[tuple[int, ...], Several] = (128, 256, 512, 1024),
    array: Annotated[tuple[int, ...], Several] = (64, 128),
    sub_array: Annotated[tuple[int, ...], Several] = (16, 32, 64, 128),
    sub_batches: Annotated[tuple[int, ...], Several] = (1, 2, 4, 8, 16),
    policy: Annotated[tuple[str, ...], Several] = ("quota", "running", "global", "host"),
    row_sram_mib: Annotated[tuple[int, ...], Several] = (4, 16),
    finalists: int = 48,
    queries: int = 500,
    arrivals: int = 4000,
    replications: int = 3,
    seed: int = 0,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: Annotated[bool, Flag] = False,
    quiet: Annotated[bool, Parameter(alias="-q", negative="")] = False,
) -> int:
    """Search how an accelerator is built and used: what no other design beats (simulated).

    Every pipeline of the run's models is combined with every cut of the array, number of
    sub-batches, filter policy and division of the embedding SRAM. Quality is that of what filters
    pass on of the run's stored scores. The designs that nothing beats before load are simulated
    under it. Exit code 1: nothing meets the bounds; the one that binds is named.

    Args:
        run: folder of a run with scores; the recipe quick is scored there first when it is not
            given and not there.
        model: names of models; all that a stage can be when none is given.
        recpipe_sizes: price dlrm_small, dlrm_medium and dlrm_large as RecPipe's networks on Criteo
            and its published chip, and rank by the run's scores.
        rate: load, queries a second.
        area_mm2: the chip must not exceed.
        power_w: the chip must not exceed.
        p99_ms: latency must not exceed at the load.
        ndcg: must be reached.
        answers: of a query.
        max_stages: 1 to 3.
        keep: what a stage that is not the last may keep.
        array: sides of the array.
        sub_array: sides of the squares it is cut into.
        sub_batches: that a query may be cut into.
        policy: of filters: quota, running, global, or host, which sorts instead.
        row_sram_mib: embedding SRAM.
        finalists: designs simulated under load.
        queries: test queries that judge.
        arrivals: queries of a replication.
        replications: of each load.
        seed: of arrivals.
        out: folder that keeps what was found; the same command goes on from it. Holds explore.json.
        json: print JSON.
        quiet: no progress on standard error.
    """
    from recfunnel.core.storage import write_json
    from recfunnel.plan.accel.explore import AccelEffort
    from recfunnel.plan.accel.explore import explore as search
    from recfunnel.plan.accel.problem import (
        MIB,
        AccelSpace,
        AccelTarget,
        policy_named,
    )
    from recfunnel.study.accel.inputs import run_inputs

    space = AccelSpace(
        max_stages=max_stages,
        keep_counts=keep,
        array_sides=array,
        sub_array_sides=sub_array,
        sub_batches=sub_batches,
        policies=tuple(map(policy_named, policy)),
        row_sram_bytes=tuple(MIB * size for size in row_sram_mib),
    )
    target = AccelTarget(
        rate_qps=rate,
        max_area_mm2=area_mm2,
        max_power_w=power_w,
        max_p99_s=None if p99_ms is None else p99_ms / 1e3,
        min_ndcg=ndcg,
    )
    effort = AccelEffort(
        num_finalists=finalists, num_queries=arrivals, num_replications=replications, seed=seed
    )
    with reporting(quiet=quiet) as progress:
        if run == QUICK and not (run / "scores" / "test").is_dir():
            _score_quick(progress)
        inputs = run_inputs(
            run,
            model,
            num_queries=queries,
            num_answers=answers,
            recpipe_sizes=recpipe_sizes,
            margin=space.margin,
        )
        result = search(
            inputs.problem,
            space,
            target,
            inputs.quality,
            effort=effort,
            folder=None if out is None else out / "found",
            progress=progress,
        )
    if out is not None:
        write_json(out / "explore.json", result)
    if json:
        emit_json(result)
    else:
        for reason in inputs.left_out:
            say(f"left out: {reason}")
        _print(result)
    return 0 if result.shortfall is None else 1


def _score_quick(progress: Any) -> None:
    """Generate the data of the recipe quick, train its models and score with them."""
    from recfunnel.recipes.quick import study
    from recfunnel.study.run_folder import RunFolder
    from recfunnel.study.steps import Steps

    with RunFolder(QUICK) as folder:
        steps = Steps(study(), folder, progress)
        for split in ("validation", "test"):
            steps.score(split)


def _print(result: "Exploration") -> None:
    if result.shortfall is not None:
        short = result.shortfall
        say(
            f"infeasible: {short.requirement} must be {short.needed:.4g} {short.unit}, the best "
            f"design has {short.available:.4g}; try {', '.join(short.remedies)}"
        )
    elif result.points:
        print_table([_row(point) for point in result.points])
    say(
        f"simulated; {result.num_designs:,} designs of {result.num_pipelines} pipelines by "
        f"{result.method}, {result.num_simulated} of them at {result.target.rate_qps:g} "
        f"queries/s, ranked for {result.num_queries} queries"
    )


def _row(point: "AccelPoint") -> dict[str, Any]:
    cut = " + ".join(f"{s.copies}x{s.side}" for s in point.stages)
    if point.stages[0].shared:
        cut = f"{point.stages[0].copies}x{point.stages[0].side} in turn"
    held = "+".join(f"{s.static_bytes / 2**20:g}/{s.ahead_bytes / 2**20:g}" for s in point.stages)
    return {
        "pipeline": point.pipeline.name,
        "array": f"{point.array_side}: {cut}",
        "runs": point.sub_batches,
        "filter": point.stages[0].policy,
        "static/ahead MiB": held,
        "NDCG": round(point.ndcg.mean, 4),
        "p99 ms": point.p99_s.mean * 1e3,
        "max q/s": round(point.throughput_qps.mean),
        "mJ": point.energy_j * 1e3,
        "mm2": point.area_mm2,
    }

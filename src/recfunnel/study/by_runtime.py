"""The same search with one runtime alone: how the best pipeline depends on what scores it."""

import dataclasses

from msgspec import structs

from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.planner import PlanResult, make_plan
from recfunnel.profile.runtimes import fastest_runtimes
from recfunnel.report.facts import RuntimePlan
from recfunnel.runtime.cascade import needed_models
from recfunnel.study.planning import Planning


def plans_by_runtime(planning: Planning) -> tuple[RuntimePlan, ...]:
    """The best plan with each runtime alone, for the study's target; nothing is measured.

    Runtimes that rank differently have models of their own, which read scores that they do not
    make; they are left out.

    Args:
        planning: whose profiles, scores, space and target are used.

    Returns:
        One entry a runtime that was timed on some model, in the order of the study; none where the
        study has only one.
    """
    found = []
    for runtime, spec in planning.study.runtimes.items():
        inputs = inputs_alone(planning, runtime) if spec.exact else None
        if inputs is not None:
            result = make_plan(
                inputs, planning.study.plan_target(), store_folder=planning.path / "estimates"
            )
            found.append(_entry(runtime, result))
    return tuple(found) if len(found) > 1 else ()


def inputs_alone(planning: Planning, runtime: str) -> PlanInputs | None:
    """What the planner is given when one runtime has to do everything.

    Args:
        planning: the study at work.
        runtime: its name.

    Returns:
        The inputs with the models it can run, those whose scores these read included; None where
        it can run nothing the space allows.
    """
    inputs, served = planning.plan_inputs(), planning.steps.served()
    timed = {p.model for p in planning.profile() if p.runtime == runtime}
    score_inputs = inputs.all_score_inputs
    models = tuple(m for m in served if timed.issuperset(needed_models((m,), score_inputs)))
    allowed = tuple(name for name in inputs.space.models if name in models)
    if not models or (inputs.space.models and not allowed):
        return None
    profiles, choice = fastest_runtimes(
        [p for p in planning.profile() if p.runtime in ("", runtime)]
    )
    return dataclasses.replace(
        inputs,
        space=structs.replace(inputs.space, models=allowed),
        models=models,
        profiles=profiles,
        runtimes=choice,
        score_inputs={name: score_inputs[name] for name in models},
    )


def _entry(runtime: str, result: PlanResult) -> RuntimePlan:
    plan, single = result.plan, result.versus_single
    return RuntimePlan(
        runtime=runtime,
        chosen=plan.chosen,
        reason="" if plan.chosen is not None else plan.reason,
        single=None if single is None else single.single,
        gain=None if single is None else single.capacity_ratio,
    )

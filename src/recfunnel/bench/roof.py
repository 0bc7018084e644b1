"""What a call costs at least on this machine: arithmetic at its peak, or bytes at its bandwidth.

The peaks are measured: products of large matrices as numpy's library makes them, and streaming
reads, on one core. Low precision is reckoned by what its instructions do more: twice the products
in bfloat16, four times in int8, where the processor has them. Work is counted exactly on the graph
a back-end runs, so leaving work out raises the bound, not the share of it.
"""

from dataclasses import dataclass

from recfunnel.bench.results import Machine, Precision
from recfunnel.compile.widths import Parameters
from recfunnel.compile.work import graph_work
from recfunnel.core.graph import RankingGraph

BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
INT8_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp")


@dataclass(frozen=True, slots=True)
class Bound:
    """Work of one call.

    Args:
        flops: a multiply-add being 2.
        read_bytes: tables, features and records; weights stay in the cache.
    """

    flops: float
    read_bytes: float

    def least_s(self, machine: Machine, precision: Precision) -> float:
        """Shortest time of the call on one core."""
        peak = machine.compute_flops_per_s * speed_up_of(precision, machine.instructions)
        return max(self.flops / peak, self.read_bytes / machine.bandwidth_bytes_per_s)


def speed_up_of(precision: Precision, instructions: tuple[str, ...]) -> float:
    """How many more products an instruction makes than in float32.

    Args:
        precision: of the products.
        instructions: the processor has.
    """
    if precision == "bfloat16" and any(i in instructions for i in BFLOAT16_INSTRUCTIONS):
        return 2.0
    if precision == "int8" and any(i in instructions for i in INT8_INSTRUCTIONS):
        return 4.0
    return 1.0


def call_bound(
    graph: RankingGraph,
    parameters: Parameters,
    num_candidates: int,
    record_bytes: int = 0,
) -> Bound:
    """The work of one call of a graph.

    Args:
        graph: as it is run.
        parameters: it reads.
        num_candidates: in the call.
        record_bytes: of one stored record, where it reads records; they count as stored.
    """
    work = graph_work(graph, parameters)
    per_candidate = record_bytes or work.bytes_per_candidate
    return Bound(
        flops=work.flops_per_query + num_candidates * work.flops_per_candidate,
        read_bytes=work.bytes_per_query + num_candidates * per_candidate,
    )

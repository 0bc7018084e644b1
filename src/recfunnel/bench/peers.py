"""The libraries ours is measured beside, and which of them this machine has."""

import difflib
import importlib.util
from collections.abc import Sequence

from recfunnel.bench.model import BenchModel
from recfunnel.bench.peer import Peer
from recfunnel.bench.peer_aot import AOTInductor
from recfunnel.bench.peer_fbgemm import Fbgemm
from recfunnel.bench.peer_onnx import OnnxRuntime, OnnxRuntimeInt8
from recfunnel.bench.peer_openvino import OpenVino, OpenVinoBfloat16
from recfunnel.bench.peer_torch import DLRMLayout, TorchFused
from recfunnel.bench.results import Missing
from recfunnel.core.errors import StudyError

PEERS: tuple[Peer, ...] = (
    DLRMLayout(),
    TorchFused(),
    AOTInductor(),
    Fbgemm(),
    OnnxRuntime(),
    OnnxRuntimeInt8(),
    OpenVino(),
    OpenVinoBfloat16(),
)


def peers_named(names: Sequence[str]) -> tuple[Peer, ...]:
    """The libraries of those names, or all when none is given; the name `none` is no library.

    Raises:
        StudyError: there is none of a name.
    """
    if list(names) == ["none"]:
        return ()
    known = {peer.name: peer for peer in PEERS}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: none, {', '.join(known)}"
            raise StudyError(f"no library {name!r} to compare with; {hint}")
    return tuple(known[name] for name in names or known)


def usable_peers(
    peers: Sequence[Peer], model: BenchModel, *, quick: bool
) -> tuple[tuple[Peer, ...], tuple[Missing, ...]]:
    """Those that can run a model here, and why the others cannot.

    Args:
        peers: asked for.
        model: to run.
        quick: leave out what is slow to set up.
    """
    found, missing = [], []
    for peer in peers:
        if not peer.takes(model):
            continue
        lacks = [name for name in peer.modules if importlib.util.find_spec(name) is None]
        if lacks:
            missing.append(Missing(name=peer.name, why=f"{', '.join(lacks)} is not installed"))
        elif quick and peer.slow_to_build:
            missing.append(Missing(name=peer.name, why="takes minutes to set up; not in --quick"))
        else:
            found.append(peer)
    return tuple(found), tuple(missing)

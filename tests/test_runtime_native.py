"""The native runtime keeps the contract of every runtime, in every setting, without torch."""

from recfunnel.runtime.native import Native
from recfunnel.testing.runtime import RuntimeContract


class TestCompiled(RuntimeContract):
    runtime = Native()


class TestHoisted(RuntimeContract):
    runtime = Native(catalogue="hoisted")


class TestAsOneCandidateWouldHaveIt(RuntimeContract):
    """Layers on dots stay layers on dots."""

    runtime = Native(num_candidates=1)

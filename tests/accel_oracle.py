"""Queries through an accelerator, written as plainly as it can be: every rule, no speed.

Everything that could happen next is listed anew after every event, and the earliest one happens.
"""

from dataclasses import dataclass, field

import numpy as np

from recfunnel.hardware.accel.times import UnitTimes


@dataclass
class Stage:
    waiting: list[tuple[float, int, int, int]] = field(default_factory=list)
    """Ready, order of becoming known, query, sub-batch."""
    holding: list[tuple[float, float]] = field(default_factory=list)
    """Bytes of buffer and when they are given back, oldest first."""
    asked: float = 0.0


class Plainly:
    """All state of a run.

    Args:
        times: of K kinds of query.
        kind: of each query.
    """

    def __init__(self, times: UnitTimes, kind: np.ndarray) -> None:
        self.t, self.kind = times, kind
        self.num_stages, self.num_batches = times.array.shape[1:]
        self.stages = [Stage() for _ in range(self.num_stages)]
        self.free: dict[object, float] = {}
        self.events: list[tuple[float, int, str, int, int]] = []
        self.known = 0
        self.passed: dict[tuple[int, int], list[float]] = {}
        self.weights: dict[tuple[int, int], float] = {}
        self.left: dict[int, float] = {}

    def serve(self, unit: object, asked: float, length: float) -> float:
        self.free[unit] = max(asked, self.free.get(unit, 0.0)) + length
        return self.free[unit]

    def later(self, at: float, what: str, q: int, s: int) -> None:
        self.known += 1
        self.events.append((at, self.known, what, q, s))

    def know(self, s: int, ready: float, q: int, b: int) -> None:
        self.known += 1
        self.stages[s].waiting.append((ready, self.known, q, b))

    def copies(self, s: int) -> list[tuple[str, int, int]]:
        return [("array", int(self.t.group[0, s]), c) for c in range(self.t.copies[0, s])]

    def first_copy(self, s: int) -> tuple[str, int, int]:
        return min(self.copies(s), key=lambda copy: self.free.get(copy, 0.0))

    def asks(self, s: int) -> float:
        stage = self.stages[s]
        ready, _, q, b = min(stage.waiting)
        k = self.kind[q]
        at = max(ready, stage.asked)
        if self.t.dram[k, s, b] + self.t.weights[k, s, b] > 0:
            at = max(at, self.free.get(("dram", int(self.t.channel[0, s])), 0.0))
        possible = self.free.get(self.first_copy(s), 0.0)
        if self.t.ahead[0, s] and possible > at:
            held, since = list(stage.holding), 0.0
            while held and sum(h for h, _ in held) + self.t.need_bytes[k, s, b] > (
                self.t.room_bytes[0, s] * (1 + 1e-12)
            ):
                since = max(since, held.pop(0)[1])
            possible = min(possible, since)
        return max(at, possible)

    def gather(self, s: int, now: float) -> None:
        t, stage = self.t, self.stages[s]
        first = min(stage.waiting)
        stage.waiting.remove(first)
        _, _, q, b = first
        k, stage.asked = self.kind[q], now
        there = self.serve("sram", now, t.sram[k, s, b])
        if t.dram[k, s, b] > 0:
            end = self.serve(("dram", int(t.channel[0, s])), now, t.dram[k, s, b])
            there = max(there, end + t.dram_latency_s)
        if t.ssd[k, s, b] > 0:
            there = max(there, self.serve("ssd", now, t.ssd[k, s, b]) + t.ssd_latency_s)
        early = bool(t.preloaded[0]) and b == 0
        streams = [s] if not (early and s > 0) else []
        streams += [s + 1] if early and s + 1 < self.num_stages else []
        for which in streams:
            moving = t.weights[k, which, b]
            if moving > 0:
                end = self.serve(("dram", int(t.channel[0, which])), now, moving)
                self.weights[q, which] = end + t.dram_latency_s
        copy = self.first_copy(s)
        waits = self.free.get(copy, 0.0) > now + 1e-12
        begin = max(there, self.weights.get((q, s), 0.0), self.free.get(copy, 0.0))
        end = self.free[copy] = begin + t.array[k, s, b]
        if waits:
            need = t.need_bytes[k, s, b]
            while stage.holding and sum(h for h, _ in stage.holding) + need > (
                t.room_bytes[0, s] * (1 + 1e-12)
            ):
                stage.holding.pop(0)
            stage.holding.append((need, end))
        done = self.passed.setdefault((q, s), [])
        done.append(self.serve(("filter", *copy[1:]), end, t.topk[k, s, b]))
        last = s + 1 == self.num_stages
        if not (last or t.barrier[0, s]):
            self.know(s + 1, max(done), q, b)
        elif len(done) == self.num_batches:
            end = max(done)
            if t.after[k, s] > 0:
                end = self.serve(("after", int(t.group[0, s])), end, t.after[k, s])
            if last or t.host[0, s]:
                self.later(end, "leave", q, s)
            else:
                for batch in range(self.num_batches):
                    self.know(s + 1, end, q, batch)

    def happen(self) -> None:
        """The earliest of all that could; at one instant arrivals, then late stages first."""
        choices = [(at, 0 if what == "enter" else 99, n) for n, (at, _, what, *_) in self.ordered()]
        choices += [
            (self.asks(s), self.num_stages - s, -1 - s)
            for s in range(self.num_stages)
            if self.stages[s].waiting
        ]
        now, _, which = min(choices)
        if which < 0:
            self.gather(-1 - which, now)
            return
        _, _, what, q, s = self.events.pop(which)
        k, t = self.kind[q], self.t
        if what == "enter":
            for b in range(self.num_batches):
                end = self.serve("in", now, t.pcie_in[k, s, b])
                self.know(s, end + t.pcie_latency_s, q, b)
        else:
            end = self.serve("out", now, t.pcie_out[k, s]) + t.pcie_latency_s + t.sort[k, s]
            if s + 1 == self.num_stages:
                self.left[q] = end
            else:
                self.later(end, "enter", q, s + 1)

    def ordered(self) -> list[tuple[int, tuple[float, int, str, int, int]]]:
        return sorted(enumerate(self.events), key=lambda each: each[1][:2])


def departures(times: UnitTimes, arrival_s: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """(N,), when each query's last answer is back."""
    run = Plainly(times, kind)
    for q, at in enumerate(arrival_s):
        run.later(float(at), "enter", q, 0)
    while len(run.left) < arrival_s.size:
        run.happen()
    return np.array([run.left[q] for q in range(arrival_s.size)])

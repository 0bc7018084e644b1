"""One step for a score that a record gives with one hidden layer, instead of a tile for each part.

Letters: N outputs of the hidden layer.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from recfunnel.compile.lower_tiles import Buffers, Place
from recfunnel.compile.program import DotsAcross, Layer, LoadRecord, RecordScore

WHOLE_OUTPUTS = 16
"""The step takes hidden layers whose outputs are a multiple of this; others keep their tiles."""

Fields = dict[str, Any]


def join_record_steps(
    buffers: Buffers, result: Place, bfloat16_dots: Collection[Place] = ()
) -> None:
    """Replace the block's steps by one where they are a record, a clamped layer and its one output.

    The layer may read dots of the record's vectors with the query's instead, and the record may
    add to the layer's outputs. Nothing else may read what is in between.

    Args:
        buffers: whose steps are replaced.
        result: what the last of them writes.
        bfloat16_dots: results of dots that may read their vectors in bfloat16.
    """
    found = _Match(buffers, result, bfloat16_dots).step()
    if found is None:
        return
    fields, replaced = found
    kept = [step for i, step in enumerate(buffers.steps[True]) if i not in replaced]
    buffers.steps[True] = [*kept, (RecordScore, fields)]


@dataclass(frozen=True, slots=True)
class _Match:
    """The steps of a block, read backwards from its result."""

    buffers: Buffers
    result: Place
    bfloat16_dots: Collection[Place]

    def step(self) -> tuple[Fields, set[int]] | None:
        """The joined step's fields and the numbers of those it replaces, if they are all there."""
        head = self._writer(self.result, Layer)
        if head is None or self.result.width != 1 or not self._is_plain_head(head[1]):
            return None
        middle = head[1]["x"]
        layer = self._writer(middle, Layer)
        if layer is None or not self._is_hidden(layer[1], middle):
            return None
        fields, numbers = layer[1], {head[0], layer[0]}
        vectors, dots = fields["x"], self._writer(fields["x"], DotsAcross)
        if dots is not None:
            rounds = fields["precision"] == "bfloat16" and fields["x"] not in self.bfloat16_dots
            if dots[1]["y"].per_block or rounds:
                return None
            vectors = dots[1]["x"]
            numbers.add(dots[0])
        record = self._writer(vectors, LoadRecord)
        if record is None:
            return None
        numbers.add(record[0])
        constant = -1
        if fields["addend"] is not None:
            added = self._writer(fields["addend"], LoadRecord)
            if added is None:
                return None
            numbers.add(added[0])
            constant = added[1]["start"]
        between = {middle.buffer, vectors.buffer, fields["x"].buffer}
        between |= {fields["addend"].buffer} if fields["addend"] is not None else set()
        if self._touching(between) != numbers:
            return None
        joined = {name: fields[name] for name in ("weight", "built", "precision")}
        joined |= {name: fields[name] for name in ("bias", "bias_at")}
        joined |= {
            "out": self.result,
            "start": record[1]["start"],
            "width": vectors.width,
            "constant": constant,
            "y": None if dots is None else dots[1]["y"],
            "dim": 1 if dots is None else dots[1]["dim"],
            "head": head[1]["weight"],
            "head_bias": head[1]["bias"],
        }
        return joined, numbers

    def _writer(self, place: Place, kind: type) -> tuple[int, Fields] | None:
        """The one step of a kind that writes a place: its number and fields."""
        steps = enumerate(self.buffers.steps[True])
        found = [(i, f) for i, (step, f) in steps if step is kind and f["out"] == place]
        return found[0] if len(found) == 1 else None

    def _touching(self, buffers: set[int]) -> set[int]:
        """Numbers of the steps that read or write any of these of the block's buffers."""
        return {
            number
            for number, (_, fields) in enumerate(self.buffers.steps[True])
            for place in fields.values()
            if isinstance(place, Place) and place.per_block and place.buffer in buffers
        }

    @staticmethod
    def _is_plain_head(fields: Fields) -> bool:
        none = (fields["addend"], fields["bias_at"])
        return none == (None, None) and not (fields["built"] or fields["relu"])

    @staticmethod
    def _is_hidden(fields: Fields, out: Place) -> bool:
        whole = out.width % WHOLE_OUTPUTS == 0
        return whole and fields["relu"] and fields["precision"] != "int8"

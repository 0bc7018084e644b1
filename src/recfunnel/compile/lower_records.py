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
        if head is None or not self._is_plain_head(head[1]):
            return None
        layer = self._writer(head[1]["x"], Layer)
        if layer is None or not self._is_hidden(layer[1]):
            return None
        inputs, addend = self._inputs(layer[1]), self._addend(layer[1])
        if inputs is None or addend is None:
            return None
        numbers = {head[0], layer[0]} | inputs[1] | addend[1]
        between = {field.buffer for field in (layer[1]["out"], layer[1]["x"], inputs[2])}
        between |= {layer[1]["addend"].buffer} if layer[1]["addend"] else set()
        if self._touching(between) != numbers:
            return None
        same = ("weight", "built", "precision", "bias", "bias_at")
        fields = {name: layer[1][name] for name in same} | inputs[0] | addend[0]
        fields |= {"head": head[1]["weight"], "head_bias": head[1]["bias"], "out": self.result}
        return fields, numbers

    def _inputs(self, layer: Fields) -> tuple[Fields, set[int], Place] | None:
        """What the layer reads of a record: fields, the steps that bring it, the record's place."""
        place, y, dim = layer["x"], None, 1
        numbers: set[int] = set()
        dots = self._writer(place, DotsAcross)
        if dots is not None:
            rounds = layer["precision"] != "float32" and place not in self.bfloat16_dots
            place, y, dim = dots[1]["x"], dots[1]["y"], dots[1]["dim"]
            if y.per_block or rounds:
                return None
            numbers.add(dots[0])
        record = self._writer(place, LoadRecord)
        if record is None:
            return None
        fields = {"start": record[1]["start"], "width": place.width, "y": y, "dim": dim}
        return fields, numbers | {record[0]}, place

    def _addend(self, layer: Fields) -> tuple[Fields, set[int]] | None:
        """What the record adds to the layer: its first column, and the step that brings it."""
        if layer["addend"] is None:
            return {"constant": -1}, set()
        added = self._writer(layer["addend"], LoadRecord)
        return None if added is None else ({"constant": added[1]["start"]}, {added[0]})

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
        alone = none == (None, None) and not (fields["built"] or fields["relu"])
        return bool(alone and fields["out"].width == 1)

    @staticmethod
    def _is_hidden(fields: Fields) -> bool:
        whole = fields["out"].width % WHOLE_OUTPUTS == 0
        return bool(whole and fields["relu"])

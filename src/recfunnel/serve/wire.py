"""What is said over HTTP, as structs that read, write and describe themselves.

Letters: n candidates, K items answered.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

MAX_CANDIDATES = 1 << 20
"""Of one request; a plan's pipelines read fewer."""

MAX_BULK = 1024
"""Questions of one request."""

Key = int | str
"""What the data's source calls a user or an item."""

Outcome = str
"""`ok`, `degraded` (a cheaper path, or the last complete stage, answered) or `late` (after its
deadline)."""


class Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of everything a client sends: an unknown field is an error."""


class Question(Strict, frozen=True):
    """Rank candidates for one who asks.

    Give `user`, or `features`, or neither for somebody unknown.

    Args:
        user: who asks, by the key the training data used; one that is not known is answered with
            unknown features.
        features: of the context by name, as the model was trained on them: an id, a number, or a
            list of ids; what is left out is the user's own, or unknown.
        candidates: keys of the items to rank; all items when left out.
        exclude: keys of items that must not be answered.
        keep_seen: answer also what the user is known to have met in the training data.
        k: items answered at most; as many as the plan ranks when left out.
        deadline_ms: counted from arrival at the server; the plan's when left out.
        explain: tell what each stage did.
    """

    user: Key | None = None
    features: dict[str, Any] | None = None
    candidates: Annotated[list[Key], Meta(min_length=1, max_length=MAX_CANDIDATES)] | None = None
    exclude: Annotated[list[Key], Meta(max_length=MAX_CANDIDATES)] = []
    keep_seen: bool = False
    k: Annotated[int, Meta(ge=1)] | None = None
    deadline_ms: Annotated[float, Meta(gt=0)] | None = None
    explain: bool = False


class Bulk(Strict, frozen=True):
    """Several questions, answered in their order.

    Args:
        requests: each is answered as if it had come alone.
    """

    requests: Annotated[list[Question], Meta(min_length=1, max_length=MAX_BULK)]


class StageExplained(Struct, frozen=True, kw_only=True):
    """What one stage did.

    Args:
        model: that scored.
        num_in: candidates it read.
        num_out: it kept.
        time_ms: it took.
        ranks: of each answered item among what the stage read, best first from 1.
        scores: of each answered item.
    """

    model: str
    num_in: int
    num_out: int
    time_ms: float
    ranks: list[int]
    scores: list[float]


class Explanation(Struct, frozen=True, kw_only=True):
    """How an answer came about.

    Args:
        path: pipeline and mapping in words.
        waited_ms: from arrival until a server began.
        service_ms: a server's time.
        stages: in order.
    """

    path: str
    waited_ms: float
    service_ms: float
    stages: list[StageExplained]


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ranked items.

    Args:
        items: K keys, best first.
        scores: K, of the last stage; comparable within the answer only.
        path: name of the path that was taken.
        plan: content hash of the plan.
        degraded: a cheaper path than the plan's own answered, so that the deadline holds.
        late: the answer came after the deadline.
        known_user: whether the user was found.
        explanation: where it was asked for.
    """

    items: list[Key]
    scores: list[float]
    path: str
    plan: str
    degraded: bool = False
    late: bool = False
    known_user: bool = True
    explanation: Explanation | None = None


class Failed(Struct, frozen=True, kw_only=True):
    """Why there is no answer.

    Args:
        error: what is wrong, the rule, and what to do.
    """

    error: str


class BulkEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one question of several; one of the two is there.

    Args:
        answer: ranked items.
        error: why there are none.
    """

    answer: Answer | None = None
    error: str | None = None


class BulkAnswer(Struct, frozen=True, kw_only=True):
    """What became of several questions.

    Args:
        entries: in the order of the questions.
    """

    entries: list[BulkEntry]


decode_question = msgspec.json.Decoder(Question).decode
decode_bulk = msgspec.json.Decoder(Bulk).decode
encode = msgspec.json.Encoder().encode

"""What a kind of model refuses, said once."""

from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, FeatureSchema


def refuse_score_inputs(kind: str, num_score_inputs: int) -> None:
    """Hold that a kind which reads no scores is given none.

    Raises:
        StudyError: it is given some.
    """
    if num_score_inputs:
        raise StudyError(
            f"{kind!r} reads no scores but has {num_score_inputs} score inputs; "
            "drop score_inputs or use the kind 'reranker'"
        )


def required_item_id(kind: str, schema: FeatureSchema) -> Feature:
    """The item id of a schema, for a kind that learns something of each item.

    Raises:
        StudyError: the schema names none.
    """
    if not schema.item_id:
        raise StudyError(
            f"{kind!r} needs items with an identity, but the schema names no item_id; "
            "use a kind that reads features only, such as 'dlrm'"
        )
    return schema.feature(schema.item_id)


def required_context_id(kind: str, schema: FeatureSchema) -> Feature:
    """The context id of a schema, for a kind that learns something of each user.

    Raises:
        StudyError: the schema names none.
    """
    if not schema.context_id:
        raise StudyError(
            f"{kind!r} needs to know who asks, but the schema names no context_id; "
            "use a kind that reads the history, such as 'ease'"
        )
    return schema.feature(schema.context_id)


def required_history(kind: str, schema: FeatureSchema) -> Feature:
    """The history of a schema, for a kind that reads it.

    Raises:
        StudyError: the schema names none, or its ids are not the item id's.
    """
    if not schema.history:
        raise StudyError(f"{kind!r} reads the history, but the schema names none; use another kind")
    history, item = schema.feature(schema.history), required_item_id(kind, schema)
    if history.cardinality != item.cardinality:
        raise StudyError(
            f"{kind!r}: history {history.name!r} has {history.cardinality} ids but item id "
            f"{item.name!r} has {item.cardinality}; they must be the same ids"
        )
    return history

"""How many ids the features of the Criteo data sets have, as a schema that needs no data.

Enough to state sizes and work of any model on them, see `ModelSpec.cost`.
"""

from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.data.synthetic_ctr import CRITEO_CARDINALITIES

NUM_DENSE = 13
"""Dense features of either data set."""

KAGGLE = CRITEO_CARDINALITIES
"""Of the display advertising challenge, in the order of its columns."""

TERABYTE = (
    *(3, 4, 10, 14, 36, 61, 101, 122, 970, 1442, 2208, 7112, 7378, 11156, 12420, 17217, 20134),
    *(36084, 313829, 415421, 1333352, 7267859, 9758201, 9946608, 9980333, 9994222),
)
"""Of the terabyte click logs with ids taken modulo ten million, as MLPerf and MP-Rec have them; in
ascending order, 49,126,297 in all."""


def criteo_schema(cardinalities: tuple[int, ...] = KAGGLE) -> FeatureSchema:
    """Thirteen dense features and one categorical feature for each cardinality.

    Every row is an item of its own, as Criteo's rows have no identity.
    """
    categorical = [
        Feature(name=f"c{number}", side="candidate", kind="categorical", cardinality=ids)
        for number, ids in enumerate(cardinalities, start=1)
    ]
    dense = [Feature(name=f"i{i + 1}", side="candidate", kind="dense") for i in range(NUM_DENSE)]
    return FeatureSchema(features=(*categorical, *dense))

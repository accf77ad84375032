"""A limit on the training documents of each label: which of them stay, whatever the partitions.

To learn from few examples is tried with few of them. The limit comes behind everything else that drops documents, so
that a label's examples are different texts, and leaves validation and test as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from spark_jobs.splits import seeded_hash

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LABEL_LIMIT = "label_limit"


def mark_beyond_limit(documents: DataFrame, most: int, seed: int) -> DataFrame:
    """Set `rule`, `measured` and `threshold`: null but for documents beyond the limit, of which they tell it.

    Of each label the first `most` documents of the training split in a seeded order of their contents stay: another
    limit keeps some of the same, or more besides. Documents without a label are not limited.

    Args:
        documents: each content once, with `split`, `label`, `content_hash` and `doc_id`.
        most: documents of a label that stay.
        seed: of the order.
    """
    is_limited = (F.col("split") == "train") & F.col("label").isNotNull()
    limited = documents.where(is_limited)
    order = Window.partitionBy("label").orderBy(seeded_hash(LABEL_LIMIT, seed), "content_hash")
    # Spark takes the first rows of each task before it sorts a label's, so that no task sorts all of a label.
    chosen = limited.withColumn("place", F.row_number().over(order)).where(F.col("place") <= most)
    chosen = chosen.select("content_hash", "doc_id", F.lit(True).alias("is_chosen"))
    counts = limited.groupBy("label").agg(F.count("*").alias("rows_of_label"))
    joined = documents.join(chosen, ["content_hash", "doc_id"], "left").join(F.broadcast(counts), "label", "left")
    is_beyond = is_limited & F.col("is_chosen").isNull()
    told = {
        "rule": F.lit(LABEL_LIMIT),
        "measured": F.col("rows_of_label").cast("string"),
        "threshold": F.lit(str(most)),
    }
    others = [name for name in documents.columns if name not in told]
    return joined.select(*others, *(F.when(is_beyond, value).alias(name) for name, value in told.items()))

"""Where the rows of a layout go: the name of the table, and of its changelog."""

from __future__ import annotations


def topic_name(app: str, layout_digest: str) -> str:
    """The changelog topic of an app (`FeaturePlan.layout_digest`), as Faust names that of its table."""
    return f"{app}-{table_name(layout_digest)}-changelog"


def table_name(layout_digest: str) -> str:
    """The table of customers in a layout."""
    return f"customers-{layout_digest}"

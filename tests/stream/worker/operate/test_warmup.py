"""The event that warms a worker up holds every property that its features look at."""

from __future__ import annotations

from stream.campaign.file import parse
from stream.codecs import event_decoder
from stream.features.plan import compile_features
from stream.worker.warmup import example_chunk

CAMPAIGN = parse("""
app = "t"
topics = { events = ["e"] }
strategies = [{ id = "mail", channel = "email" }]
features = [
  { op = "last", property = "traits.embedding_{0..1}" },
  { op = "window_sum", property = "properties.products[]", window = "1d" },
  { op = "last", property = "properties.products[].price" },
  { op = "last", property = "properties.products[].sizes[].n" },
  { op = "last", property = "properties.products[1].price", name = "second" },
  { op = "share", property = "properties.products[].category", half_lives = ["1d"], buckets = 9 },
  { op = "distinct", property = "properties.tags[]" },
]
suppressions = [{ events = ["x"], channel = "email", where = { "context.kinds[]" = ["hard"] } }]
""")


def test_every_property_is_there() -> None:
    plan = compile_features(CAMPAIGN)
    decoded = event_decoder(CAMPAIGN, plan).decode(example_chunk(CAMPAIGN, plan, "e"), 0)
    assert len(decoded.rejects) == 1
    properties = len(plan.property_paths)
    assert decoded.flaws.present[:properties].all()
    assert not decoded.flaws.unreadable.any()

"""Snowplow's enriched events: 131 columns between tabs, some of them JSON."""

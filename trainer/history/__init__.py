"""Kafka topics as history: read from any offset to a fixed end, and what they no longer hold."""

"""Formats of events: from bytes to columns, beside the libraries."""

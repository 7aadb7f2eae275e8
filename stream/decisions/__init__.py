"""Decisions and dead letters as bytes: published forms, written from columns in one pass."""

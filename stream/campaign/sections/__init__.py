"""Sections of the campaign file that have rules of their own, each with what is wrong with it."""

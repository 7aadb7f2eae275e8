"""Quiet hours, and when a contact that they or other rules stop could be."""

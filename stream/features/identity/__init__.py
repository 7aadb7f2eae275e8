"""Rows that a login or a tombstone empties: what is known of two ids becomes what is known of one."""

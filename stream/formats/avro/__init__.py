"""Avro: schemas, their tables, and the kernel that walks over them."""

"""Avro and Protobuf events, framed by a schema registry, to the values that a scan of JSON finds."""

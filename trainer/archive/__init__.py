"""Topics as Parquet files, kept for longer than Kafka keeps them.

Read `layout.py` first (what a file is called, and what that says), then `archiver.py` (how records
get there), then `reader.py` (how they come back).

Rules of this package
1. Every offset is in one file once, and the names of the files alone say so.
2. A file, once complete, is only ever changed by `erase.py`.
"""

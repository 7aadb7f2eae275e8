"""Random schemas, values and faults: the kernels give what fastavro and Protobuf's library give.

`python -m tests.fuzz --lane avro --lane protobuf` goes on where these seeds end.
"""

from __future__ import annotations

import random

import pytest

from tests.fuzz.framed_avro import check_avro
from tests.fuzz.framed_protobuf import check_protobuf

SEEDS = 150


@pytest.mark.slow
def test_avro_is_read_as_fastavro_reads_it() -> None:
    for seed in range(SEEDS):
        check_avro(random.Random(f"suite/{seed}"))


@pytest.mark.slow
def test_protobuf_is_read_as_its_library_reads_it() -> None:
    for seed in range(SEEDS):
        check_protobuf(random.Random(f"suite/{seed}"))

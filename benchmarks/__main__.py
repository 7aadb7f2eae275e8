"""`python -m benchmarks`: the command line of the benchmarks."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.bench import open_bench
from benchmarks.cdnow.command import cdnow
from benchmarks.errors import BenchmarkError
from benchmarks.formats.command import formats
from benchmarks.funnel.command import funnel
from benchmarks.large.training import training
from benchmarks.latency import Pace, measure_latency
from benchmarks.options import Decorator, json_option, setting
from benchmarks.parity import Data, measure_parity, parity_json, print_parity_run
from benchmarks.reference.contestants import opportune
from benchmarks.reference.read import Form
from benchmarks.reference.run import ReferencePlan, run_reference
from benchmarks.reload import measure_reload, print_reload, reload_json
from benchmarks.replay import replay
from benchmarks.report import environment, latency_json, reference_json, restore_json, write_json
from benchmarks.restore import measure_restore
from benchmarks.tables import print_latency, print_reference, print_restore
from benchmarks.worth.command import worth


def _customers(default: int) -> Decorator:
    return setting("--customers", click.IntRange(20), default, "Customers of the input.")


_partitions = setting("--partitions", click.IntRange(1, 64), 4, "Partitions of every topic.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure the real worker against a real Kafka, which is started and stopped for it.

    Every decision is recomputed in float64 from the input; the exit code is 1 when one is missing,
    repeated, in the wrong partition or wrong, or when there was nothing to measure. Results go to
    standard output, progress to standard error. Close what else runs on the machine first.
    """
    # Whoever ends it, broker and workers end with it: the default would leave them behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@main.command()
@setting(
    "--events",
    click.IntRange(1_000),
    1_000_000,
    "Events of the larger run; the smaller one has a fifth.",
)
@_customers(20_000)
@_partitions
@setting(
    "--rounds",
    click.IntRange(1),
    1,
    "Pairs of runs of each contestant, in turn; the figures are medians.",
)
@setting(
    "--format",
    click.Choice(["flat", "cloudevents"]),
    "flat",
    "Form of the decisions that the headline is about; the baseline always writes flat ones.",
    "form",
)
@setting(
    "--naive-events",
    click.IntRange(1_000),
    40_000,
    "Events of the larger run of the baseline; the smaller one has a quarter.",
)
@click.option("--skip-naive", is_flag=True, help="Leave the baseline out.")
@click.option(
    "--skip-cloudevents",
    is_flag=True,
    help="With --format flat: leave out the extra runs in the CloudEvents form.",
)
@json_option
def reference(
    events: int,
    customers: int,
    partitions: int,
    rounds: int,
    form: Form,
    naive_events: int,
    skip_naive: bool,
    skip_cloudevents: bool,
    json_file: Path | None,
) -> None:
    """Decisions a second, beside a naive Faust worker.

    The job: six event types, 36 features of each customer, Dense 32 relu, Dense 10 softmax, one
    decision for every event, the state durable every second. The rate is marginal: two runs of
    different size, the difference in events over the difference in time from process start to the
    last decision. A run before it, not counted, fills the caches.
    """
    plan = ReferencePlan(
        events=events,
        customers=customers,
        partitions=partitions,
        rounds=rounds,
        form=form,
        naive_events=None if skip_naive else naive_events,
        cloudevents=form == "flat" and not skip_cloudevents,
    )
    result = run_reference(plan)
    print_reference(result)
    _finish(reference_json(result), json_file, result.clean)
    if not result.measured:
        raise BenchmarkError(
            "expected the larger run of a pair to take longer than the smaller one. Measure more "
            "events, or on a machine that does nothing else"
        )


@main.command()
@setting("--rate", click.IntRange(1), 5_000, "Events a second.")
@setting("--seconds", click.FloatRange(1), 30.0, "How long to measure.")
@setting(
    "--warm-up",
    click.FloatRange(0),
    5.0,
    "Seconds at the same rate before it, which are not counted.",
    "warm_up_s",
)
@_customers(20_000)
@_partitions
@json_option
def latency(
    rate: int,
    seconds: float,
    warm_up_s: float,
    customers: int,
    partitions: int,
    json_file: Path | None,
) -> None:
    """Time from the append of an event to the append of its decision, at a steady rate.

    Both times are the broker's. The events come from a producer in a process of its own.
    """
    with open_bench(partitions, customers) as bench:
        found = measure_latency(bench, opportune("flat"), "flat", Pace(rate, warm_up_s, seconds))
    print_latency(found, rate)
    _finish(latency_json(found, rate, customers), json_file, not found.missing)


@main.command()
@_customers(100_000)
@_partitions
@click.option("--crash", is_flag=True, help="Kill the first worker instead of stopping it.")
@click.option("--snapshots", is_flag=True, help="Let it keep its table on disk when it is stopped.")
@json_option
def restore(
    customers: int, partitions: int, crash: bool, snapshots: bool, json_file: Path | None
) -> None:
    """Time of a restart with the state of so many customers.

    A worker fills its changelog with one event of every customer. Then it is stopped and started
    again: how long the restore takes, what a customer takes in memory, and whether it goes on
    exactly where it was. After a kill the group waits for the session of the dead worker to end.
    """
    with open_bench(partitions, customers) as bench:
        found = measure_restore(bench, crash=crash, snapshots=snapshots)
    print_restore(found)
    _finish(restore_json(found), json_file, found.clean)


@main.command()
@setting("--events", click.IntRange(1_000), 1_000_000, "Events of the reference job.")
@setting(
    "--data",
    click.Choice(["reference", "journey"]),
    "reference",
    "The reference job, or the Complete Journey year.",
)
@_customers(100_000)
@_partitions
@json_option
def parity(
    events: int, data: Data, customers: int, partitions: int, json_file: Path | None
) -> None:
    """Compare the features that a worker decided on with a replay, bit for bit.

    The worker is killed on its way. The exit code is 1 when a single byte differs.
    """
    with open_bench(partitions, customers) as bench:
        run = measure_parity(bench, data, events)
    print_parity_run(run)
    _finish(parity_json(run), json_file, run.clean)


@main.command()
@setting("--rate", click.IntRange(1), 1_000, "Events a second.")
@setting(
    "--pairs",
    click.IntRange(1),
    3,
    "Changes to a network of the same shape, and as many to one of a new shape.",
)
@_customers(20_000)
@_partitions
@json_option
def reload(rate: int, pairs: int, customers: int, partitions: int, json_file: Path | None) -> None:
    """Time from event to decision around a change of model, and before it."""
    with open_bench(partitions, customers) as bench:
        found = measure_reload(bench, rate, pairs)
    print_reload(found)
    _finish(reload_json(found) | environment(), json_file, found.clean)


for _command_of_its_own in (cdnow, formats, funnel, replay, training, worth):
    main.add_command(_command_of_its_own)


def _finish(data: Mapping[str, Any], json_file: Path | None, clean: bool) -> None:
    """Writes the file, and ends with exit code 1 when the referee objects."""
    if json_file is not None:
        write_json(json_file, data)
    if not clean:
        raise BenchmarkError("the decisions are not those that the job asks for, see above")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")

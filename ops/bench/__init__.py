"""The benchmarks: ``recstream bench serve``, and what `recstream bench --help` lists beside it.

They use real Kafka and real processes, bounded in count and time. Each prints a table, writes JSON
and names the machine it ran on. A missed bar is reported but is not a failure, because ratios vary
with the machine, except in a soak. This module has the options; each benchmark has its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

EPILOG: Final = """ Uses the Kafka of KAFKA_BOOTSTRAP_SERVERS, which must run on this machine; if
unset, starts Apache Kafka from its jars (requires Java 17). Only `soak` exits with an error if a
bar is missed.
"""

app: Final = typer.Typer(
    name="bench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    help="Benchmarks of serving, latency, cost, clients, routing, scale, shadow, training, loads.",
)

Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Output file; default: bench-results/NAME.json."),
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="A short run, to check that it works; its figures mean nothing."),
]
Rounds = Annotated[
    int | None, typer.Option(min=1, max=20, help="Number of rounds; medians are compared.")
]


@app.command(name="serve")
def measure_serving(
    quick: Quick = False,
    rounds: Rounds = None,
    modes: Annotated[
        bool,
        typer.Option(
            "--modes",
            help="Also under a canary, an A/B test, outcomes, fresh interactions, fitted factors.",
        ),
    ] = False,
    large: Annotated[
        bool, typer.Option("--large", help="Also with 1 million items, of skewed and flat norms.")
    ] = False,
    json: Json = None,
) -> None:
    """Compare one worker with a no-op agent and a plain implementation on stock Faust."""
    from dataclasses import replace

    from ops.bench.rig.bench_run import publish_on_kafka, say
    from ops.bench.serve import QUICK, BacklogSizes, measure
    from ops.bench.sides.serving_modes import LARGE_MODES, MODES

    sizes = QUICK if quick else BacklogSizes()
    chosen = (MODES if modes else ()) + (LARGE_MODES if large else ())
    sizes = replace(sizes, rounds=rounds or sizes.rounds, modes=chosen)
    what = "decode, route, exact top 10, typed answer, confirmed; a backlog, one process"
    publish_on_kafka("serve", what, json, lambda on: measure(on, sizes, say))


@app.command(name="latency")
def measure_latency(
    quick: Quick = False,
    seconds: Annotated[
        float | None, typer.Option(min=2, max=600, help="Duration of each of the six phases.")
    ] = None,
    json: Json = None,
) -> None:
    """Measure request to confirmed answer at steady rates, with and without swaps and training."""
    from ops.bench.latency import QUICK_SECONDS, SECONDS, measure
    from ops.bench.rig.bench_run import publish_on_kafka, say

    length = seconds or (QUICK_SECONDS if quick else SECONDS)
    what = "from a request's time to its confirmed answer; one worker, open loop"
    publish_on_kafka("latency", what, json, lambda on: measure(on, length, say))


@app.command(name="cost")
def measure_cost(quick: Quick = False, json: Json = None) -> None:
    """Measure the processor that one worker takes at 0 to 5,000 requests a second."""
    from ops.bench.rig.bench_run import publish_on_kafka, say
    from ops.bench.sides.serving_cost import QUICK_SECONDS, SECONDS, measure

    seconds = QUICK_SECONDS if quick else SECONDS
    what = "steady traffic on one worker, open loop"
    publish_on_kafka("cost", what, json, lambda on: measure(on, seconds, say))


@app.command(name="client")
def measure_client(quick: Quick = False, json: Json = None) -> None:
    """Measure what the Python client and HTTP add to a bare round trip through Kafka."""
    from ops.bench.rig.bench_run import publish_on_kafka, say
    from ops.bench.sides.client_cost import QUICK_SECONDS, SECONDS, measure

    seconds = QUICK_SECONDS if quick else SECONDS
    what = "a request at a steady rate, until its answer is in the caller's hands; one worker"
    publish_on_kafka("client", what, json, lambda on: measure(on, seconds, say))


@app.command(name="route")
def measure_routing(quick: Quick = False, json: Json = None) -> None:
    """Measure the cost of routing a request; needs no Kafka."""
    from ops.bench.rig.bench_run import publish_report
    from ops.bench.route import QUICK_REQUESTS, REQUESTS, measure

    requests = QUICK_REQUESTS if quick else REQUESTS
    what = "assignment and routing, one call per request"
    publish_report("route", what, "not used", json, lambda: measure(requests))


@app.command(name="catalogue")
def measure_catalogues(
    quick: Quick = False,
    large: Annotated[
        bool, typer.Option("--large", help="Also 5 million items; takes 4 GB of memory.")
    ] = False,
    json: Json = None,
) -> None:
    """Measure exact top 10 of large catalogues, with each kernel; needs no Kafka."""
    from ops.bench.catalogue import LARGE, QUICK, SHAPES, measure
    from ops.bench.rig.bench_run import publish_report, say

    shapes = QUICK if quick else LARGE if large else SHAPES
    what = "exact top 10, one thread, no Kafka"
    publish_report("catalogue", what, "not used", json, lambda: measure(shapes, say))


@app.command(name="scale")
def measure_scaling(quick: Quick = False, rounds: Rounds = None, json: Json = None) -> None:
    """Compare two workers with one, on the same backlog."""
    from ops.bench.rig.bench_run import publish_on_kafka, say
    from ops.bench.scale import QUICK_REQUESTS, REQUESTS, ROUNDS, measure

    requests = QUICK_REQUESTS if quick else REQUESTS
    turns = rounds or (1 if quick else ROUNDS)
    what = "the whole job, one worker process against two"
    publish_on_kafka("scale", what, json, lambda on: measure(on, requests, turns, say))


@app.command(name="shadow")
def measure_shadow(quick: Quick = False, json: Json = None) -> None:
    """Measure what a shadow of all requests costs at p99, and what is shed under overload."""
    from ops.bench.rig.bench_run import publish_on_kafka, say
    from ops.bench.shadow_cost import QUICK, ShadowRates, measure

    sizes = QUICK if quick else ShadowRates()
    what = "without and with the canary version in shadow; one worker, open loop"
    publish_on_kafka("shadow", what, json, lambda on: measure(on, sizes, say))


@app.command(name="train")
def measure_training(
    quick: Quick = False,
    interactions: Annotated[
        int | None, typer.Option(min=10_000, help="Number of synthetic interactions.")
    ] = None,
    json: Json = None,
) -> None:
    """Compare a whole training run with a bare read and a bare fit of the same interactions."""
    from ops.bench.rig.bench_run import publish_on_kafka, say
    from ops.bench.train import INTERACTIONS, QUICK_INTERACTIONS, measure

    many = interactions or (QUICK_INTERACTIONS if quick else INTERACTIONS)
    what = "snapshot, fit, evaluate, publish; two child processes"
    publish_on_kafka("train", what, json, lambda on: measure(on, many, say))


@app.command(name="load")
def measure_loading(
    quick: Quick = False,
    registry: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Publish below URL instead of to a local folder; removed afterwards.",
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Measure publication to answers from workers, and memory-mapped against copied arrays."""
    from ops.bench.load import QUICK, SHAPE, measure
    from ops.bench.rig.bench_run import publish_on_kafka, say

    shape = QUICK if quick else SHAPE
    what = "publish, swap, ready on two workers; memory mapped against copied"
    publish_on_kafka("load", what, json, lambda on: measure(on, shape, registry, say))


@app.command(name="soak")
def soak(
    minutes: Annotated[float, typer.Option(min=1, max=24 * 60, help="Duration.")] = 60,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the plan; the same seed gives the same events at the same times."
        ),
    ] = 1,
    rate: Annotated[int, typer.Option(min=1, max=2_000, help="Requests per second.")] = 100,
    members: Annotated[
        bool,
        typer.Option(
            "--members", help="A third worker joins and leaves, and one freezes, as well."
        ),
    ] = False,
    three_brokers: Annotated[
        bool,
        typer.Option(
            "--three-brokers", help="Three brokers, which are killed, restarted and frozen in turn."
        ),
    ] = False,
    json: Json = None,
) -> None:
    """Disturb a fleet in every way for a long time; report lost requests and growing resources.

    Swaps, canaries, shadows, trainings, poison records, restarts and kills of one worker, restarts
    of the broker, at random from a seed; the options add more. Exit code 1 if a request is lost,
    or if the worker that is never restarted ends or grows in memory. Starts its own broker.
    """
    from ops.bench.rig.bench_run import publish_report
    from ops.bench.rig.soak_plan import CLUSTER_KINDS, KINDS, MEMBER_KINDS
    from ops.bench.soak import measure

    kinds = KINDS + members * MEMBER_KINDS + three_brokers * CLUSTER_KINDS
    brokers = 3 if three_brokers else 1
    what = "two workers, one of them never restarted; " + (
        "three brokers that die, freeze and come back" if three_brokers else "a broker that is"
    )
    found = publish_report(
        "soak",
        what,
        "started for this run",
        json,
        lambda: measure(minutes * 60, seed, rate, kinds, brokers),
    )
    raise typer.Exit(int(any(bar.verdict == "fail" for bar in found.bars)))


@app.command(name="membership")
def measure_membership(
    quick: Quick = False,
    old_records: Annotated[
        int, typer.Option(min=0, help="Records that an old release left, before `topics mend`.")
    ] = 20_000,
    json: Json = None,
) -> None:
    """Measure the longest wait of a request during restarts, joins, leaves and kills."""
    from ops.bench.membership import EVENT_SECONDS, QUICK_EVENT_SECONDS, MembershipSizes, measure
    from ops.bench.rig.bench_run import publish_on_kafka, say

    sizes = MembershipSizes(QUICK_EVENT_SECONDS if quick else EVENT_SECONDS, old_records)
    what = "steady traffic on two workers while workers come and go"
    publish_on_kafka("membership", what, json, lambda on: measure(on, sizes, say))


@app.command(name="fresh")
def measure_fresh(quick: Quick = False, json: Json = None) -> None:
    """Measure what following the interactions costs, and how soon they count."""
    from ops.bench.fresh.fresh_cost import MEASURED, QUICK, FreshSizes, measure
    from ops.bench.rig.bench_run import publish_on_kafka, say

    sizes = QUICK if quick else FreshSizes()
    publish_on_kafka("fresh", MEASURED, json, lambda on: measure(on, sizes, say))

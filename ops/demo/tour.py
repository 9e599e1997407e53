"""The demo: a tour from an empty machine to ramps that promote and roll back by themselves.

Knows the story and what is shown of it. The fleet's machinery is in :mod:`ops.demo.demo_fleet`.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.padding import Padding

from ops.clients import kafka_client as client
from ops.clients.fleet_observer import observe
from ops.clients.rollout_file import read_rollout_file
from ops.clients.traffic_generator import TimedAnswer, Traffic, span_seconds
from ops.demo import demo_fleet
from ops.demo.demo_fleet import Fleet
from ops.ingest.interaction_files import read_titles
from ops.ingest.send_once import records_of
from ops.local.child_group import ChildGroup, stopped_by_signals
from ops.local.embedded_broker import start_broker
from ops.views import terminal
from ops.views.answer_tables import answer_tables
from ops.views.ramp_progress import RampDisplay, follow_ramp
from ops.views.rollout_tables import trail_lines
from ops.views.terminal import Text
from ops.views.training_progress import StageDisplay, follow_run
from ops.views.training_tables import training_tables
from registry.errors import RecstreamError
from registry.kafka.audit_trail import read_trail
from registry.kafka.topic_admin import create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings, read_settings
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command
from registry.wire.ramp_values import Outcome
from registry.wire.requests import Request
from registry.wire.responses import Response
from registry.wire.training_messages import TrainingResult
from training.runs.run import parameters_of, train

STEPS: Final = 11
SHOWN_USERS: Final = (15, 73, 547)
"""Three users of the data set with more than a thousand ratings each."""

CANARY_USERS: Final = range(1, 1001)
CANARY_PERCENTAGE: Final = 10.0
TRAINING_SECONDS: Final = 120.0

KNOWN_USERS: Final = range(1, 672)
"""All users of the data set."""

WRONG_PREFIX: Final = "reco-test"
WRONG_USERS: Final = range(1, 68)
"""Who is in the topics that somebody took for the real ones."""

REQUESTS_PER_SECOND: Final = 800
"""Enough for a verdict within seconds, few enough for a laptop."""

LOOK_SECONDS: Final = 0.5
"""Between two looks at a ramp. Shorter than in earnest: so are the ramp's holds."""


def run_demo(*, exit_at_end: bool, as_json: bool) -> None:
    """Run the tour; then leave all running until Ctrl-C, unless `exit_at_end`.

    With `as_json` the tour goes to standard error, and its figures to standard output.
    """
    tour = Tour(terminal.err if as_json else terminal.out)
    with stopped_by_signals(), ChildGroup() as group:
        fleet = tour.run(group)
        if as_json:
            terminal.print_json(tour.figures)
        tour.leave(fleet, exit_at_end=exit_at_end)
        if not exit_at_end:
            _wait_for_interrupt(group)
        tour.say("stopping ...")
    tour.say("everything is stopped, and nothing is left behind")


class Tour:
    """The steps, and the figures that they gave."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._step = 0
        self.figures: dict[str, Any] = {}

    def run(self, group: ChildGroup) -> Fleet:
        """Take every step; return the running fleet."""
        self._console.print("recstream demo", style="bold")
        self.say("a recommender inside a Kafka stream, from nothing to ramps that watch themselves")
        with self._taking("an embedded broker, and the topics"):
            bootstrap = start_broker(group)
            variables = demo_fleet.demo_variables(bootstrap, group.folder)
            settings = read_settings(variables)
            created = create_topics(settings)
            self.say(f"Kafka protocol on {bootstrap}, {len(created)} topics")
        with self._taking(f"{demo_fleet.RATINGS_COUNT:,} real ratings into the interaction topic"):
            self._ingest(settings)
        with self._taking("two workers"):
            fleet = demo_fleet.start_workers(group, variables)
            with self._console.status("    waiting until they are ready"):
                demo_fleet.wait_until_ready(fleet)
            for name, url in fleet.url_by_worker.items():
                self.say(f"{name}  {url}/")
        with self._taking("the fleet learns its first version"):
            first = self._train(fleet, deploy="swap")
        with self._taking(f"both workers swap to {first}"):
            epoch = demo_fleet.wait_until_acting(fleet, first, 0)
            self.say(f"both act on epoch {epoch}; nothing was restarted")
        with self._taking("recommendations for real users, through Kafka"):
            self._answer_users(fleet)
        with self._taking("a second version, with other parameters"):
            second = self._train(fleet, deploy="none", factors=32, regularization=1.0)
        with self._taking(f"{second} goes out as a {CANARY_PERCENTAGE:g} % canary"):
            self._canary(fleet, second)
        with self._taking(f"{second} ramps up by itself, step by step"):
            self._ramp_that_promotes(fleet, second)
        with self._taking("somebody trains on the wrong topic, and ramps that version up"):
            third = self._train_on_the_wrong_topic(variables)
            self._ramp_that_is_rolled_back(fleet, third)
        with self._taking("the trail: recstream rollout history"):
            self._trail(fleet)
        self.figures |= {
            "bootstrap": bootstrap,
            "pages": dict(fleet.url_by_worker),
            "versions": [first, second, third],
            "seconds": round(time.monotonic() - self._started, 2),
        }
        return fleet

    def leave(self, fleet: Fleet, *, exit_at_end: bool) -> None:
        """Say what is running and how to stop it."""
        self._console.print()
        seconds = time.monotonic() - self._started
        self._console.print(Text(f"Done in {seconds:.1f} s.", "bold green"))
        if exit_at_end:
            return
        self._console.print(Text("Everything goes on running:", "bold"))
        self.say(f"status page   {fleet.url}/")
        self.say(f"report        {fleet.url}/models/v0.1/report")
        self.say("try, in another terminal:")
        self.say(
            f"  export KAFKA_BOOTSTRAP_SERVERS={fleet.settings.kafka_bootstrap_servers} "
            f"MODEL_REGISTRY={fleet.settings.model_registry} "
            f"RECSTREAM_HTTP_PORT={fleet.url.rsplit(':', 1)[1]}"
        )
        self.say("  recstream explain 42")
        self.say("  recstream fleet")
        self.say("  recstream rollout set --strategy ab_test --canary-version v0.1")
        self.say("  recstream rollout history --since 10m")
        self._console.print(Text("Ctrl-C stops it all.", "bold"))

    def say(self, line: str) -> None:
        """Print one line of a step, whole, so that addresses can be copied."""
        self._console.print(Text("    " + line), soft_wrap=True)

    def _show(self, tables: Iterable[RenderableType]) -> None:
        for table in tables:
            self._console.print(Padding(table, (0, 0, 0, 4)))

    @contextmanager
    def _taking(self, title: str) -> Iterator[None]:
        self._step += 1
        self._console.print()
        self._console.print(
            Text(f"{self._step}/{STEPS} ", "bold cyan"), Text(title, "bold"), sep="", soft_wrap=True
        )
        started = time.monotonic()
        yield
        self._console.print(Text(f"    done in {time.monotonic() - started:.1f} s", "green"))

    def _ingest(self, settings: Settings) -> None:
        titles = read_titles(demo_fleet.MOVIES)
        started = time.monotonic()
        with terminal.progress(self._console) as progress:
            task = progress.add_task("interactions", total=demo_fleet.RATINGS_COUNT)
            client.produce_all(
                settings,
                topics_of(settings).interactions,
                records_of(demo_fleet.RATINGS, titles),
                on_sent=lambda sent: progress.update(task, completed=sent),
            )
            progress.update(task, completed=demo_fleet.RATINGS_COUNT)
        rate = demo_fleet.RATINGS_COUNT / (time.monotonic() - started)
        self.say(
            f"MovieLens ml-latest-small (its terms: README.txt beside it); {rate:,.0f} a second"
        )

    def _train(self, fleet: Fleet, **arguments: Any) -> str:
        command = client.new_command(fleet.settings, "retrain", reason="demo", **arguments)
        _send(fleet, command)
        with StageDisplay(self._console) as display:
            run = follow_run(
                fleet.url,
                display,
                run_id=command.command_id,
                deadline_seconds=TRAINING_SECONDS,
                check=fleet.group.require_running,
            )
        self._show(training_tables(run.result) if run.result else [])
        version = _published(run.result)
        if run.result is not None and run.result.snapshot is not None:
            learned = run.result.snapshot
            self.say(
                f"learned from {learned.interactions:,} of {demo_fleet.RATINGS_COUNT:,} ratings, "
                f"{learned.users:,} users, {learned.items:,} films"
            )
            self.figures["interactions_learned_from"] = learned.interactions
        self.say(f"report: {fleet.url}/models/{version}/report")
        return version

    def _answer_users(self, fleet: Fleet) -> None:
        for response in _ask(fleet, SHOWN_USERS, k=5):
            self.figures.setdefault(
                "first_answer_seconds", round(time.monotonic() - self._started, 2)
            )
            self._console.print(Text(f"    user {response.user_id}", "bold"))
            self._show(answer_tables(response))
        self.say(f"first answer {self.figures['first_answer_seconds']:.1f} s after the start")

    def _canary(self, fleet: Fleet, version: str) -> None:
        command = client.new_command(
            fleet.settings,
            "rollout",
            strategy="canary",
            canary_version=version,
            canary_percentage=CANARY_PERCENTAGE,
            reason="demo",
        )
        result = _send(fleet, command)
        demo_fleet.wait_until_acting(fleet, version, result.epoch or 0)
        self.say(f"control command applied, epoch {result.epoch}, on both workers")
        passes = [_ask(fleet, CANARY_USERS, k=10) for _ in range(2)]
        users = [
            {one.user_id for one in responses if one.variant == "canary"} for responses in passes
        ]
        counts = Counter((one.variant, one.model_version, one.source) for one in passes[0])
        rows = [
            (*(part or "" for part in key), count) for key, count in sorted(counts.items(), key=str)
        ]
        self._show([terminal.grid(("variant", "version", "source", "users #"), rows)])
        self.say(
            f"{len(users[0])} of {len(CANARY_USERS):,} users got {version} (user_id % 100 < 10)"
        )
        same = users[0] == users[1]
        self.say(
            f"second pass: {'the same users' if same else 'OTHER USERS'}, {len(users[1])} of them"
        )
        self.figures |= {"canary_users": len(users[0]), "same_users_on_second_pass": same}

    def _ramp_that_promotes(self, fleet: Fleet, version: str) -> None:
        started = time.monotonic()
        answers: list[TimedAnswer] = []
        with _traffic(fleet, answers) as traffic:
            outcome = self._ramp(fleet, version, "a second version, with other parameters")
            seconds = time.monotonic() - started
        self.say(
            f"{outcome} {seconds:.1f} s after the command: {len(answers):,} answers, "
            f"{traffic.unanswered} missing; no operator did anything"
        )
        self.figures["good_ramp"] = {"outcome": outcome, "seconds": round(seconds, 2)}

    def _train_on_the_wrong_topic(self, variables: Mapping[str, str]) -> str:
        """Learn from a tenth of the users, in topics of another prefix, into the same registry."""
        careless = {"RECSTREAM_TOPIC_PREFIX": WRONG_PREFIX, "RETRAIN_INCONCLUSIVE": "publish"}
        settings = read_settings({**variables, **careless})
        create_topics(settings)
        records = records_of(demo_fleet.RATINGS, read_titles(demo_fleet.MOVIES))
        interactions = ((user, record) for user, record in records if user in WRONG_USERS)
        topic = topics_of(settings).interactions
        count = client.produce_all(settings, topic, interactions)
        self.say(f"{topic.name} holds {count:,} ratings, of a tenth of the users only")
        with StageDisplay(self._console) as display:
            result = train(
                settings,
                parameters_of(settings),
                run_id=str(uuid.uuid4()),
                incumbent=None,
                report=display.report,
                created_by=client.who(),
            )
            display.finish(result)
        version = _published(result)
        self.say(f"{version} went out all the same: RETRAIN_INCONCLUSIVE=publish")
        return version

    def _ramp_that_is_rolled_back(self, fleet: Fleet, version: str) -> None:
        def is_bad(response: Response) -> bool:
            return response.model_version == version and response.fallback_reason is not None

        answers: list[TimedAnswer] = []
        with _traffic(fleet, answers):
            outcome = self._ramp(fleet, version, "trained this morning")
        bad = [one for one in answers if is_bad(one.response)]
        seconds = span_seconds(bad)
        self.say(
            f"{outcome.replace('_', ' ')}: {len(bad):,} of {len(answers):,} "
            f"answers were bad, {seconds or 0:.1f} s from the first to the last; no operator did "
            "anything"
        )
        self.figures["bad_ramp"] = {
            "outcome": outcome,
            "first_to_last_bad_answer_seconds": None if seconds is None else round(seconds, 2),
        }

    def _ramp(self, fleet: Fleet, version: str, reason: str) -> Outcome:
        fields = read_rollout_file(demo_fleet.RAMP).command_fields(fleet.settings.environment)
        fields |= {"canary_version": version, "reason": reason}
        command = client.new_command(fleet.settings, "rollout", **fields)
        _send(fleet, command)
        with RampDisplay(self._console) as display:
            return follow_ramp(
                lambda: observe(fleet.settings),
                command.command_id,
                display.show,
                fleet.group.require_running,
                LOOK_SECONDS,
            )

    def _trail(self, fleet: Fleet) -> None:
        results = read_trail(fleet.settings, environment=fleet.settings.environment)
        self._show([trail_lines(results)])
        self.figures["commands"] = len(results)


def _traffic(fleet: Fleet, answers: list[TimedAnswer]) -> Traffic:
    """Return the demo's applications, whose answers are added to `answers`."""
    return Traffic(fleet.settings, KNOWN_USERS, REQUESTS_PER_SECOND, answers.append)


def _send(fleet: Fleet, command: Command) -> CommandResult:
    result = client.send_command(fleet.settings, command)
    if result.error is not None:
        raise RecstreamError(f"{command.type}: {result.error.message} ({result.error.code})")
    return result


def _published(result: TrainingResult | None) -> str:
    if result is None or result.version is None:
        reason = f"{result.reason} ({result.code})" if result else "it has not ended"
        raise RecstreamError(f"the training published nothing: {reason}")
    return result.version


def _ask(fleet: Fleet, users: Sequence[int], *, k: int) -> list[Response]:
    requests = [Request(request_id=str(uuid.uuid4()), user_id=user, k=k) for user in users]
    answers = client.ask(fleet.settings, requests)
    return [answers.by_request_id[one.request_id] for one in requests]


def _wait_for_interrupt(group: ChildGroup) -> None:
    try:
        while True:
            group.require_running()
            time.sleep(0.5)
    except KeyboardInterrupt:  # the way to stop it
        return

"""The steps of the demo's tour: each acts on the fleet, shows the result, records the figures."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ops.clients import kafka_client
from ops.clients.traffic_generator import GeneratedTraffic, TimedAnswer, span_seconds
from ops.demo import demo_fleet
from ops.demo.demo_fleet import DemoFleet
from ops.demo.shipped_ratings import LEARNED_COUNT, learned_ratings
from ops.demo.tour_commands import send, show_ramp, start_ramp, train_here, version_of
from ops.demo.tour_screen import Screen
from ops.ingest.item_files import read_items
from ops.views import terminal
from ops.views.answer_tables import answer_tables
from ops.views.data_report_tables import data_report_tables
from ops.views.rollout_tables import trail_lines
from ops.views.terminal import Text
from ops.views.training_progress import StageDisplay, follow_run
from ops.views.training_tables import training_tables
from registry.catalogue.item_keys import key_of
from registry.kafka.audit_trail import read_trail
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.ramp_values import Outcome
from registry.wire.requests import Request
from registry.wire.responses import Response
from training.runs.inspection import inspect_topic

SHOWN_USERS: Final = (15, 73, 547)
"""Three users of the data set with more than a thousand ratings each."""

CANARY_USERS: Final = range(1, 1001)

CANARY_PERCENTAGE: Final = 10.0

TRAINING_SECONDS: Final = 120.0

KNOWN_USERS: Final = range(1, 672)
"""All users of the data set."""

WRONG_PREFIX: Final = "reco-test"

WRONG_USERS: Final = range(1, 68)
"""The users in the topics that were taken for the real ones."""

REQUESTS_PER_SECOND: Final = 800
"""Enough for a verdict within seconds, few enough for a laptop."""

LOOK_SECONDS: Final = 0.5
"""Time between two looks at a ramp; short, because the ramp's holds are short, too."""


class Steps:
    """What each step does; `figures` collects what they measured."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.figures: dict[str, Any] = {}

    def ingest(self, settings: Settings) -> None:
        """Send the shipped ratings to the interaction topic, and the films to the items topic."""
        films = read_items(demo_fleet.MOVIES).values()
        started = time.monotonic()
        with terminal.progress(self.screen.console) as progress:
            task = progress.add_task("interactions", total=LEARNED_COUNT)
            kafka_client.produce_all(
                settings,
                topics_of(settings).interactions,
                learned_ratings(),
                on_sent=lambda sent: progress.update(task, completed=sent),
            )
            progress.update(task, completed=LEARNED_COUNT)
        kafka_client.produce_all(
            settings,
            topics_of(settings).items,
            ((key_of(film.item_id).decode(), encode(film)) for film in films),
        )
        rate = LEARNED_COUNT / (time.monotonic() - started)
        self.screen.say(
            f"MovieLens ml-latest-small (licence: ops/demo/README.txt); {rate:,.0f} a second"
        )
        self.screen.say(f"titles and genres of {len(films):,} films into the items topic")

    def inspect(self, settings: Settings) -> None:
        """Show what is in the interactions, before anything is learned from them."""
        report = inspect_topic(settings, lambda _done, _total: None)
        self.screen.say("recstream inspect")
        self.screen.show(data_report_tables(report))
        self.figures["data_warnings"] = len(report.warnings)

    def train(self, fleet: DemoFleet, **arguments: Any) -> str:
        """Have the fleet train a version, follow the run, and return the version."""
        command = kafka_client.new_command(fleet.settings, "retrain", reason="demo", **arguments)
        send(fleet, command)
        with StageDisplay(self.screen.console) as display:
            run = follow_run(
                fleet.url,
                display,
                run_id=command.command_id,
                deadline_seconds=TRAINING_SECONDS,
                check=fleet.group.require_running,
            )
        self.screen.show(training_tables(run.result) if run.result else [])
        version = version_of(run.result)
        if run.result is not None and run.result.snapshot is not None:
            learned = run.result.snapshot
            self.screen.say(
                f"learned from {learned.interactions:,} interactions, {learned.users:,} users, "
                f"{learned.items:,} films"
            )
            self.figures["interactions_learned_from"] = learned.interactions
        self.screen.say(f"report: {fleet.url}/models/{version}/report")
        return version

    def answer_users(self, fleet: DemoFleet) -> None:
        """Show recommendations for a few users."""
        for response in _ask(fleet, SHOWN_USERS, k=5):
            self.figures.setdefault("first_answer_seconds", round(self.screen.elapsed_seconds, 2))
            self.screen.console.print(Text(f"    user {response.user_id}", "bold"))
            self.screen.show(answer_tables(response))
        self.screen.say(
            f"first answer {self.figures['first_answer_seconds']:.1f} s after the start"
        )

    def roll_out_canary(self, fleet: DemoFleet, version: str) -> None:
        """Give `version` to a share of users, and show that the same users get it again."""
        command = kafka_client.new_command(
            fleet.settings,
            "rollout",
            strategy="canary",
            canary_version=version,
            canary_percentage=CANARY_PERCENTAGE,
            reason="demo",
        )
        result = send(fleet, command)
        demo_fleet.wait_until_acting(fleet, version, result.epoch or 0)
        self.screen.say(f"control command applied, epoch {result.epoch}, on both workers")
        passes = [_ask(fleet, CANARY_USERS, k=10) for _ in range(2)]
        users = [
            {answer.user_id for answer in responses if answer.variant == "canary"}
            for responses in passes
        ]
        counts = Counter(
            (answer.variant, answer.model_version, answer.source) for answer in passes[0]
        )
        rows = [
            (*(part or "" for part in key), count) for key, count in sorted(counts.items(), key=str)
        ]
        self.screen.show([terminal.grid(("variant", "version", "source", "users #"), rows)])
        self.screen.say(
            f"{len(users[0])} of {len(CANARY_USERS):,} users got {version} (user_id % 100 < 10)"
        )
        same = users[0] == users[1]
        self.screen.say(
            f"second pass: {'the same' if same else 'DIFFERENT'} users, {len(users[1])} of them"
        )
        self.figures |= {"canary_users": len(users[0]), "same_users_on_second_pass": same}

    def ramp_good_version(self, fleet: DemoFleet, version: str) -> None:
        """Ramp up `version` under traffic until it is promoted."""
        started = time.monotonic()
        answers: list[TimedAnswer] = []
        with _traffic(fleet, answers) as traffic:
            outcome = self._ramp(fleet, version, "a second version, with other parameters")
            seconds = time.monotonic() - started
        self.screen.say(
            f"{outcome} {seconds:.1f} s after the command: {len(answers):,} answers, "
            f"{traffic.unanswered} missing; no operator was involved"
        )
        self.figures["good_ramp"] = {"outcome": outcome, "seconds": round(seconds, 2)}

    def train_on_wrong_topic(self, variables: Mapping[str, str]) -> str:
        """Train on a tenth of the users, from topics with another prefix, in the same registry."""
        variables = {**variables, "RETRAIN_INCONCLUSIVE": "publish"}
        ratings = (record for record in learned_ratings() if record[0] in WRONG_USERS)
        version = train_here(
            variables, WRONG_PREFIX, ratings, "of only a tenth of the users", self.screen
        )
        self.screen.say(f"{version} was published all the same: RETRAIN_INCONCLUSIVE=publish")
        return version

    def ramp_bad_version(self, fleet: DemoFleet, version: str) -> None:
        """Ramp up `version` under traffic until it is rolled back."""

        def is_bad(response: Response) -> bool:
            return response.model_version == version and response.fallback_reason is not None

        answers: list[TimedAnswer] = []
        with _traffic(fleet, answers):
            outcome = self._ramp(fleet, version, "trained this morning")
        bad = [answer for answer in answers if is_bad(answer.response)]
        seconds = span_seconds(bad)
        self.screen.say(
            f"{outcome.replace('_', ' ')}: {len(bad):,} of {len(answers):,} "
            f"answers were bad, {seconds or 0:.1f} s from the first to the last; no operator was "
            "involved"
        )
        self.figures["bad_ramp"] = {
            "outcome": outcome,
            "first_to_last_bad_answer_seconds": None if seconds is None else round(seconds, 2),
        }

    def _ramp(self, fleet: DemoFleet, version: str, reason: str) -> Outcome:
        ramp_id, _ = start_ramp(fleet, version, reason)
        return show_ramp(fleet, self.screen, ramp_id).outcome

    def show_trail(self, fleet: DemoFleet) -> None:
        """Show the history of all commands."""
        results = read_trail(fleet.settings, environment=fleet.settings.environment)
        self.screen.show([trail_lines(results)])
        self.figures["commands"] = len(results)


def _traffic(fleet: DemoFleet, answers: list[TimedAnswer]) -> GeneratedTraffic:
    """Return the demo's traffic, which appends its answers to `answers`."""
    return GeneratedTraffic(fleet.settings, KNOWN_USERS, REQUESTS_PER_SECOND, answers.append)


def _ask(fleet: DemoFleet, users: Sequence[int], *, k: int) -> list[Response]:
    requests = [Request(request_id=str(uuid.uuid4()), user_id=user, k=k) for user in users]
    answers = kafka_client.ask(fleet.settings, requests)
    return [answers.by_request_id[request.request_id] for request in requests]

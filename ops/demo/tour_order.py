"""The demo: a tour from an empty machine to ramps that promote and roll back automatically.

Gives the order of the steps. What each step does is in `ops.demo.tour_steps`, what is printed in
`ops.demo.tour_screen`, the fleet's processes in `ops.demo.demo_fleet`.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console

from ops.demo import demo_fleet
from ops.demo.demo_fleet import DemoFleet
from ops.demo.fresh_step import show_fresh
from ops.demo.liked_steps import interleave, ramp_by_conversion, train_on_mixed_up_films
from ops.demo.shipped_ratings import LEARNED_COUNT
from ops.demo.tour_screen import Screen
from ops.demo.tour_steps import CANARY_PERCENTAGE, Steps
from ops.local.child_group import ChildGroup, stopped_by_signals
from ops.local.embedded_broker import start_broker
from ops.views import terminal
from ops.views.terminal import Text
from registry.kafka.topic_admin import create_topics
from registry.settings import read_settings


def run_demo(*, exit_at_end: bool, as_json: bool) -> None:
    """Run the tour; then keep everything running until Ctrl-C, unless `exit_at_end`.

    With `as_json` the tour goes to standard error, and its figures to standard output.
    """
    tour = Tour(terminal.err if as_json else terminal.out)
    with stopped_by_signals(), ChildGroup() as group:
        fleet = tour.run(group)
        if as_json:
            terminal.print_json(tour.figures)
        tour.leave(fleet, exit_at_end=exit_at_end)
        if not exit_at_end:
            group.run_until_interrupted()
        tour.screen.say("stopping ...")
    tour.screen.say("everything is stopped and cleaned up")


class Tour:
    """The order of the steps, and the figures that they measured."""

    def __init__(self, console: Console) -> None:
        self.screen = Screen(console)
        self._steps = Steps(self.screen)

    @property
    def figures(self) -> dict[str, Any]:
        """What the steps measured."""
        return self._steps.figures

    def run(self, group: ChildGroup) -> DemoFleet:
        """Run all steps; return the running fleet."""
        steps, screen = self._steps, self.screen
        screen.console.print("recstream demo", style="bold")
        screen.say("a recommender inside a Kafka stream, from nothing to automatic rollouts")
        with screen.step("an embedded broker, and the topics"):
            bootstrap = start_broker(group)
            variables = demo_fleet.demo_variables(bootstrap, group.folder)
            settings = read_settings(variables)
            created = create_topics(settings)
            screen.say(f"Kafka protocol on {bootstrap}, {len(created)} topics")
        fleet = demo_fleet.start_workers(group, variables)  # they join while ratings are sent
        with screen.step(f"{LEARNED_COUNT:,} real ratings into the interaction topic"):
            steps.ingest(settings)
            steps.inspect(settings)
        with screen.step("two workers"):
            with screen.console.status("    waiting until they are ready"):
                demo_fleet.wait_until_ready(fleet)
            for name, url in fleet.url_by_worker.items():
                screen.say(f"{name}  {url}/")
        with screen.step("the fleet learns its first version"):
            first = steps.train(fleet, deploy="swap")
        with screen.step(f"both workers swap to {first}"):
            epoch = demo_fleet.wait_until_acting(fleet, first, 0)
            screen.say(f"both act on epoch {epoch}; nothing was restarted")
        with screen.step("recommendations for real users, through Kafka"):
            steps.answer_users(fleet)
        with screen.step("what users did a moment ago counts at once"):
            steps.figures["fresh"] = show_fresh(fleet, screen)
        with screen.step("a second version, with other parameters"):
            second = steps.train(fleet, deploy="none", factors=32, regularization=1.0)
        with screen.step(f"{second} goes out as a {CANARY_PERCENTAGE:g} % canary"):
            steps.roll_out_canary(fleet, second)
        with screen.step(f"{second} ramps up by itself, step by step"):
            steps.ramp_good_version(fleet, second)
        with screen.step("somebody trains on the wrong topic, and ramps that version up"):
            third = steps.train_on_wrong_topic(variables)
            steps.ramp_bad_version(fleet, third)
        with screen.step("an export mixes up the films, and a version is trained on it"):
            fourth = train_on_mixed_up_films(screen, variables)
        with screen.step(f"{fourth} ramps up, too: viewers decide"):
            steps.figures["disliked_ramp"] = ramp_by_conversion(fleet, screen, fourth)
        with screen.step(f"the same question by interleaving {second} and {fourth}"):
            steps.figures["interleaving"] = interleave(fleet, screen, fourth)
        with screen.step("the trail: recstream rollout history"):
            steps.show_trail(fleet)
        steps.figures |= {
            "bootstrap": bootstrap,
            "pages": dict(fleet.url_by_worker),
            "versions": [first, second, third, fourth],
            "seconds": round(screen.elapsed_seconds, 2),
        }
        return fleet

    def leave(self, fleet: DemoFleet, *, exit_at_end: bool) -> None:
        """Show what is running and how to stop it."""
        screen = self.screen
        screen.console.print()
        screen.console.print(Text(f"Done in {screen.elapsed_seconds:.1f} s.", "bold green"))
        if exit_at_end:
            return
        screen.console.print(Text("Everything keeps running:", "bold"))
        screen.say(f"status page   {fleet.url}/")
        screen.say(f"report        {fleet.url}/models/v0.1/report")
        screen.say("try, in another terminal, in this folder:")
        screen.say("  . .venv/bin/activate")
        screen.say(
            f"  export KAFKA_BOOTSTRAP_SERVERS={fleet.settings.kafka_bootstrap_servers} "
            f"MODEL_REGISTRY={fleet.settings.model_registry} "
            f"RECSTREAM_HTTP_PORT={fleet.url.rsplit(':', 1)[1]}"
        )
        screen.say("  recstream rollout status")
        screen.say("  recstream explain 42")
        screen.say("  recstream fleet")
        screen.say("  recstream rollout set --strategy ab_test --canary-version v0.1")
        screen.say("  recstream rollout history --since 10m")
        screen.console.print(Text("Ctrl-C stops everything.", "bold"))

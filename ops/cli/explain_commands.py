"""``recstream explain``: which rule gives a user which version, checked against a real answer.

Knows options, and that it asks again when the state has changed. The rules are in
`registry.rollout.explanation`, what the list is made of in `ops.clients.fresh_arithmetic`.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from ops.cli.options import AsJson, Bootstrap, settings_with, user_id_of

if TYPE_CHECKING:
    from ops.clients.fresh_arithmetic import FreshArithmetic, MixedArithmetic
    from registry.ids import UserId
    from registry.rollout.explanation import Explanation
    from registry.settings import Settings
    from registry.wire.requests import Request
    from registry.wire.responses import Response
    from registry.wire.rollout_state import RolloutState

ATTEMPTS: Final = 3
"""How often it asks again when the state changes between explanation and answer."""


def explain(
    user: Annotated[
        str,
        typer.Argument(
            metavar="USER", help="A user id; a whole number, like 42 or -5, is an integer id."
        ),
    ],
    ask: Annotated[
        bool, typer.Option(help="Send a request, and compare its answer with the explanation.")
    ] = True,
    string_id: Annotated[
        bool, typer.Option(help="Treat USER as a string, even if it is all digits.")
    ] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Explain which rule gives USER which version, and check it against a real answer.

    Bucket and version are computed locally from the state in Kafka; then a request is sent, and its
    list is recomputed from the version and the interactions that the answer names. Exit code 1 if
    the answer differs.

    Examples
    --------
      recstream explain 42
      recstream explain anna --no-ask --json
    """
    from ops.views import rollout_tables as rollout_view
    from ops.views import terminal

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    check = _explain_and_check(settings, user_id_of(user, string_id), ask)
    matches = None if check.answer is None else not check.differences
    if as_json:
        terminal.print_json(
            {
                "explanation": check.explanation,
                "answer": check.answer,
                "matches": matches,
                "differences": check.differences,
                "arithmetic": check.arithmetic,
                "not_recomputed": check.not_recomputed,
            }
        )
    else:
        terminal.out.print(rollout_view.explanation_table(check.explanation))
        if check.answer and (hidden := check.answer.provenance.withdrawn_items):
            versions = check.answer.model_version or " and ".join(check.answer.versions.values())
            terminal.out.print(
                f"withdrawn: {hidden:,} items of {versions} are in no answer, by "
                f"the items topic up to offset {check.answer.provenance.items_offset}"
            )
        for line in rollout_view.arithmetic_lines(check.arithmetic):
            terminal.out.print(line)
        if check.not_recomputed:
            terminal.out.print(f"list not recomputed: {check.not_recomputed}")
        for difference in check.differences:
            terminal.err.print(difference, style="red")
        if check.answer and matches:
            worker = check.answer.provenance.worker
            terminal.out.print(f"the answer from {worker} matches", style="green")
    if matches is False:
        raise typer.Exit(1)


class CheckedAnswer(NamedTuple):
    """What an answer was compared with, and how they differ.

    `not_recomputed` says why its list was not compared.
    """

    explanation: Explanation
    answer: Response | None = None
    differences: tuple[str, ...] = ()
    arithmetic: FreshArithmetic | MixedArithmetic | None = None
    not_recomputed: str | None = None


def _explain_and_check(settings: Settings, user: UserId, ask: bool) -> CheckedAnswer:
    """Explain, ask and compare; try again if the state has changed in between."""
    from ops.clients import kafka_client
    from registry.rollout import explanation
    from registry.wire.requests import Request

    for _ in range(ATTEMPTS):
        state = kafka_client.require_state(kafka_client.rollout_state(settings), settings)
        expected = explanation.explain(user, state)
        if not ask:
            return CheckedAnswer(expected)
        request = Request(request_id=str(uuid.uuid4()), user_id=user)
        answer = kafka_client.ask(settings, [request]).by_request_id[request.request_id]
        if answer.provenance.rollout_epoch == expected.epoch:
            break
    if answer.error is not None:
        return CheckedAnswer(expected, answer, (f"answered with an error: {answer.error.message}",))
    differences = explanation.differences(expected, state, answer)
    return _recomputed(settings, request, state, CheckedAnswer(expected, answer, differences))


def _recomputed(
    settings: Settings, request: Request, state: RolloutState, check: CheckedAnswer
) -> CheckedAnswer:
    """Add what the answer's list is made of, and whether it is the same when it is recomputed."""
    from ops.clients.fresh_arithmetic import recompute
    from registry.errors import ArtifactError, TransportError

    answer = check.answer
    assert answer is not None
    if answer.provenance.rollout_epoch != state.epoch:
        return check._replace(not_recomputed="the rollout state changes too quickly")
    if answer.provenance.fresh not in (None, "followed"):
        why = f"the worker does not know all that the user did ({answer.provenance.fresh})"
        return check._replace(not_recomputed=why)
    try:
        arithmetic = recompute(settings, request, answer, state)
    except (ArtifactError, TransportError) as error:
        return check._replace(not_recomputed=str(error))
    return compared(check._replace(arithmetic=arithmetic), answer, arithmetic)


def compared(
    check: CheckedAnswer, answer: Response, arithmetic: FreshArithmetic | MixedArithmetic
) -> CheckedAnswer:
    """Add whether the answer's list is the recomputed one, which knows nothing of withdrawals."""
    found = tuple(item.item_id for item in answer.items)
    expected, seen = _sides(arithmetic, answer)
    if (expected, arithmetic.item_ids) == (seen, found):
        return check
    if hidden := answer.provenance.withdrawn_items:
        why = f"{hidden:,} items are withdrawn, which the recomputed list does not consider"
        return check._replace(not_recomputed=why)
    wrong = (
        f"list: recomputed it is {expected} {list(arithmetic.item_ids)}, the answer says "
        f"{seen} {list(found)}"
    )
    return check._replace(differences=(*check.differences, wrong))


def _sides(
    arithmetic: FreshArithmetic | MixedArithmetic, answer: Response
) -> tuple[object, object]:
    """Return what ranked the list, or whose its items are, as recomputed and as answered."""
    from ops.clients.fresh_arithmetic import MixedArithmetic

    if isinstance(arithmetic, MixedArithmetic):
        return list(arithmetic.variants), [item.variant for item in answer.items]
    return arithmetic.source, answer.source

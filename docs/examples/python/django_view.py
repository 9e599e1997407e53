"""A Django project in one file: ``python django_view.py runserver``.

The client is made when the module is imported, and connects at the first request: so it works under
servers that fork their workers after they have loaded the application (gunicorn; uWSGI with
``enable-threads``).
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST
from recstream_client import Client, Interaction, RecstreamError, parse_id

BESTSELLERS = [1, 2, 3]

client = Client(
    os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
    topic_prefix=os.environ.get("RECSTREAM_TOPIC_PREFIX", "reco"),
    deadline_seconds=5,
)


def films(_request: HttpRequest, user_id: str) -> JsonResponse:
    """Return film ids for a user; bestsellers if there is no answer in time."""
    try:
        answer = client.ask(parse_id(user_id), k=3)
    except RecstreamError as error:
        return JsonResponse({"films": BESTSELLERS, "why": error.code})
    found = [item.item_id for item in answer.items]
    return JsonResponse(
        {"films": found or BESTSELLERS, "why": answer.source, "answer": answer.request_id}
    )


@require_POST
def click(request: HttpRequest, user_id: str, film_id: int) -> JsonResponse:
    """Tell the recommender what the user did, and in which answer the film was shown."""
    event = Interaction(
        user_id=parse_id(user_id),
        item_id=film_id,
        event="click",
        request_id=request.GET.get("answer"),
    )
    try:
        client.send_interaction(event, deadline_seconds=5)
    except RecstreamError as error:
        return JsonResponse({"why": error.code}, status=503)
    return JsonResponse({}, status=201)


urlpatterns = [path("films/<user_id>", films), path("clicks/<user_id>/<int:film_id>", click)]

if __name__ == "__main__":
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="example")
    execute_from_command_line(sys.argv)

"""A program's link to the fleet: sends records, and brings each request together with its answer.

Clients are made at first use, so that a process may fork before. Any thread may call. Must not know
what an application asks, nor how it waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from registry.asking.answer_deadline import unanswered, unconfirmed_interaction
from registry.asking.fork_guard import is_own_process, require_own_process
from registry.asking.librdkafka_clients import ClientFactory
from registry.asking.open_requests import OpenRequests
from registry.asking.record_sender import RecordSender
from registry.asking.reply_reader import ReplyReader
from registry.errors import AnswerTimeout, ClientClosed, TransportError
from registry.ids import UserId
from registry.wire.responses import Response


class KafkaLink:
    """What clients ask through.

    Parameters
    ----------
    servers
        Kafka's addresses, by commas.
    topic_prefix
        The fleet's ``RECSTREAM_TOPIC_PREFIX``.
    config
        More settings of librdkafka.
    max_in_flight
        How many requests may wait for answers.
    """

    def __init__(
        self, servers: str, topic_prefix: str, config: Mapping[str, Any], max_in_flight: int
    ) -> None:
        self._clients = ClientFactory(servers, topic_prefix, config)
        self._requests_topic = f"{topic_prefix}.requests"
        self._responses_topic = f"{topic_prefix}.responses"
        self._interactions_topic = f"{topic_prefix}.interactions"
        self._open = OpenRequests(max_in_flight)
        self._sender: RecordSender | None = None
        self._reader: ReplyReader | None = None
        self._owner: int | None = None
        self._is_closed = False
        self._closing = threading.Event()
        self._changing = threading.Lock()

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers."""
        return len(self._open)

    @property
    def is_connected(self) -> bool:
        """Whether answers are being read."""
        return self._reader is not None

    def connect(self, seconds: float) -> None:
        """Start to read answers and to send, unless that was done before.

        Raises
        ------
        TransportError
            If Kafka does not answer in `seconds`, refuses, or has no such topics; if the link is
            closed, or belongs to the process that this one was forked from.
        """
        self._connected(seconds)

    def ask(
        self, request_id: str, user_id: UserId, payload: bytes, seconds: float
    ) -> Future[Response]:
        """Send a request; return the future of its answer. Connects first, within `seconds`.

        Whoever stops waiting calls :meth:`give_up`.
        """
        sender, reader = self._connected(seconds)
        future = self._open.open(request_id)
        try:
            self._require_usable()  # once more: closing fails only those that are open by then
            sender.send(
                self._requests_topic,
                user_id,
                payload,
                reader.expect,
                lambda error: self._open.fail(request_id, error),
            )
        except BaseException:
            self._open.close(request_id)
            raise
        return future

    def give_up(self, request_id: str) -> None:
        """Wait for `request_id` no longer."""
        self._open.close(request_id)

    def send_interaction(self, user_id: UserId, payload: bytes) -> Future[None]:
        """Send an interaction; the future is done once Kafka has confirmed it."""
        sender = self._started_sender()
        confirmed: Future[None] = Future()
        confirmed.set_running_or_notify_cancel()
        sender.send(
            self._interactions_topic,
            user_id,
            payload,
            lambda _: confirmed.set_result(None),
            confirmed.set_exception,
        )
        return confirmed

    def timed_out(self, request_id: str, seconds: float) -> AnswerTimeout:
        """Return what to say of a request that was not answered in `seconds`."""
        servers, seen = self._clients.servers, self._clients.obstacle()
        return unanswered(request_id, seconds, servers, self._requests_topic, seen)

    def unconfirmed(self, seconds: float | None) -> TransportError:
        """Return what to say of an interaction that Kafka did not confirm in `seconds`."""
        return unconfirmed_interaction(seconds, self._clients.servers, self._clients.obstacle())

    def close(self) -> None:
        """Send what is not sent yet, end the threads, and fail what still waits.

        In a fork of the process that used it: nothing, as all of that belongs to the parent.
        """
        if not is_own_process(self._owner):
            return  # before the lock: a thread of the parent may have held it at the fork
        self._closing.set()  # whoever connects holds the lock, and gives up
        with self._changing:
            if self._is_closed:
                return
            self._is_closed = True
            if self._sender is not None:
                self._sender.close()
            if self._reader is not None:
                self._reader.close()
        self._open.fail_all(ClientClosed("the client was closed before the answer came"))

    def _connected(self, seconds: float) -> tuple[RecordSender, ReplyReader]:
        deadline = time.monotonic() + seconds
        sender, reader = self._started_sender(), self._reader
        if reader is not None:
            return sender, reader
        if not self._changing.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX)):
            raise TransportError(
                f"Kafka at {self._clients.servers} has not answered for {seconds:g} s, in which "
                "another thread was connecting"
            )
        try:
            self._require_usable()
            if self._reader is None:
                self._reader = ReplyReader(
                    self._clients,
                    self._responses_topic,
                    deadline - time.monotonic(),
                    self._open.answer,
                    self._open.fail_all,
                    self._closing.is_set,
                )
                sender.connect(self._requests_topic)
            return sender, self._reader
        finally:
            self._changing.release()

    def _started_sender(self) -> RecordSender:
        self._require_usable()
        if self._sender is not None:
            return self._sender
        with self._changing:
            self._require_usable()
            self._owner = os.getpid()
            if self._sender is None:
                self._sender = RecordSender(self._clients)
            return self._sender

    def _require_usable(self) -> None:
        if self._closing.is_set():
            raise ClientClosed("the client is closed")
        require_own_process(self._owner)

"""Reference: stock Faust's no-op agent, which reads every record and does nothing with it.

What Faust alone costs, without any work. Run as a script; uses Faust as its documentation does, on
the event loop that our worker uses. Writes the time of every hundredth record to a file.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import faust
import msgspec
import uvloop

from registry.kafka.topics import topics_of
from registry.settings import read_settings

EACH: Final = 100


async def main(count: int, path: Path) -> None:
    """Read `count` records, then write the times, in milliseconds since the epoch, to `path`."""
    settings = read_settings(os.environ)
    app = faust.App(
        settings.topic_prefix,
        broker=f"kafka://{settings.kafka_bootstrap_servers}",
        store="memory://",
        topic_disable_leader=True,
        web_enabled=False,
    )
    requests = app.topic(
        topics_of(settings).requests.name, value_type=bytes, value_serializer="raw"
    )

    @app.agent(requests)
    async def ignore(stream: Any) -> None:
        times: list[float] = []
        seen = 0
        async for _ in stream:
            seen += 1
            if seen % EACH == 0:
                times.append(time.time() * 1000)
            if seen == count:
                beside = path.with_suffix(".part")
                beside.write_bytes(msgspec.json.encode(times))
                beside.rename(path)

    await app.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))

"""Files of interactions by their URL: a folder, memory, and S3 as moto's server speaks it."""

from __future__ import annotations

import gzip

import fsspec
import pytest

from ops.ingest.interaction_files import read_interactions
from ops.ingest.source_files import local_files
from registry.errors import ConfigurationError
from registry.wire.training_records.interactions import Interaction

RATINGS = b"userId,movieId,rating,timestamp\n1,2,3,4\n"


def test_a_glob_of_urls_is_read_whole(url: str) -> None:
    system, folder = fsspec.core.url_to_fs(url)
    system.makedirs(folder, exist_ok=True)
    system.pipe_file(f"{folder}/a.csv", RATINGS)
    system.pipe_file(f"{folder}/b.csv.gz", gzip.compress(RATINGS))
    with local_files([f"{url}/*.csv*", f"{url}/a.csv"]) as files:
        found = [found for path in files for found in read_interactions(path)]
    assert found == 2 * [Interaction(user_id=1, item_id=2, event="rate", value=3.0, timestamp=4.0)]
    assert not any(path.exists() for path in files if url.startswith(("s3", "memory")))


def test_a_url_of_nothing_is_refused(url: str) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"no such file|not readable"),
        local_files([f"{url}/none.csv"]),
    ):
        pass


def test_what_a_driver_raises_is_said_and_ends_nothing_else() -> None:
    with (
        pytest.raises(ConfigurationError, match="nothing://x: not readable: Protocol not known"),
        local_files(["nothing://x"]),
    ):
        pass

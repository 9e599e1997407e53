"""Spark's session: where Spark runs, how it starts and stops, and how its failures are reported.

Knows pyspark, Java and a master's address; must not know what is computed. pyspark is a separate
extra (``recstream[spark]``), and is imported when a fit begins.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed

CONNECT_SECONDS: Final = 5.0
"""For a standalone master to take a connection. Spark itself would try for a minute."""

QUIET: Final = {
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
LOOPBACK: Final = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
"""A local Spark listens to nobody else, and does not depend on how the machine's name resolves."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where Spark runs.

    Parameters
    ----------
    master
        Spark's master URL; None: this process's machine, with the threads of the fit.
    staging
        Folder or URL that driver and executors share; None: a local temporary folder.
    memory
        Of the driver, as Spark writes it; a local Spark has nothing else.
    """

    master: str | None = None
    staging: str | None = None
    memory: str = "2g"

    def master_for(self, threads: int) -> str:
        """Return the master URL."""
        return self.master or f"local[{threads}]"


def require_spark() -> None:
    """Refuse to continue without what Spark needs, before any of it is imported.

    Raises
    ------
    TrainingFailed
        ``spark_missing`` without pyspark, ``no_java`` without Java.
    """
    _imported()
    _require_java()


@contextmanager
def spark_session(cluster: Cluster, threads: int) -> Iterator[Any]:
    """Start Spark, and stop it in the end.

    Raises
    ------
    TrainingFailed
        ``spark_unreachable`` if Spark did not start at its master.
    """
    builder = _imported().builder
    master = cluster.master_for(threads)
    _require_answer(master)
    config = QUIET | {"spark.driver.memory": cluster.memory}
    config |= LOOPBACK if master.startswith("local") else {}
    absent = f"cannot reach Spark at TRAIN_SPARK_MASTER={master!r}: "
    with named_failures(absent, TrainingCode.SPARK_UNREACHABLE, OSError):
        spark = builder.master(master).appName("recstream").config(map=config).getOrCreate()
    try:
        yield spark
    finally:
        stop(spark)


def stop(spark: Any) -> None:
    """Stop Spark, and all that it is doing."""
    with named_failures("Spark has exited; its log says why: ", TrainingCode.SPARK_FAILED, OSError):
        spark.stop()


def _imported() -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise TrainingFailed(
            f"TRAIN_BACKEND=spark needs pyspark ({error}): pip install -e '.[spark]' in a "
            "checkout of recstream",
            TrainingCode.SPARK_MISSING,
        ) from error
    return SparkSession


def _require_java() -> None:
    """Refuse to continue without Java: Spark's own error does not name it."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin") if home else None)
    if found is None:
        raise TrainingFailed(
            f"TRAIN_BACKEND=spark needs Java 17 or newer; JAVA_HOME={home!r}, and no java "
            f"{'in its bin' if home else 'on the PATH'}: install one (Debian: "
            "default-jre-headless), or point JAVA_HOME at it",
            TrainingCode.NO_JAVA,
        )


def _require_answer(master: str) -> None:
    """Refuse a standalone master that takes no connection; others are for Spark to find."""
    addresses = re.findall(r"([^/,]+):(\d+)", master) if master.startswith("spark://") else []
    complaints = [_complaint(host, int(port)) for host, port in addresses]
    if addresses and all(complaints):
        raise TrainingFailed(
            f"TRAIN_SPARK_MASTER={master!r}: {'; '.join(map(str, complaints))}. Start the master, "
            "or correct the address",
            TrainingCode.SPARK_UNREACHABLE,
        )


def _complaint(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{host}:{port} refuses connections ({error})"
    return None


@contextmanager
def named_failures(prefix: str, code: TrainingCode, *more: type[Exception]) -> Iterator[None]:
    """Give Spark's errors a code and their first line; the rest is in its log."""
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException, *more) as error:
        cause = error.java_exception if isinstance(error, Py4JJavaError) else error
        first_line = str(cause).strip().partition("\n")[0]
        raise TrainingFailed(f"{prefix}{first_line or type(error).__name__}", code) from error

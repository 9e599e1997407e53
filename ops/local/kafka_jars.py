"""Apache Kafka's jars and the Java that runs them: found, or fetched by Maven once per machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from registry.errors import TransportError

KAFKA_VERSION: Final = "4.1.1"

MIN_JAVA: Final = 17
"""Kafka 4's brokers need Java 17; older ones stop with `UnsupportedClassVersionError`."""

FETCH_SECONDS: Final = 300.0

PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

POM: Final = f"""\
<project><modelVersion>4.0.0</modelVersion>
<groupId>recstream</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{KAFKA_VERSION}</version></dependency></dependencies></project>
"""


def java_command() -> str:
    """Return the path of a Java that can run Kafka.

    Raises
    ------
    TransportError
        If Java is not found, or older than 17.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or not Path(java).exists():
        raise TransportError(f"Apache Kafka needs Java {MIN_JAVA} or newer: `java` not found")
    printed = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', printed)
    if version is None or int(version[1]) < MIN_JAVA:
        seen = printed.splitlines()[0] if printed else "no version"
        raise TransportError(f"Apache Kafka needs Java {MIN_JAVA} or newer; {java} is: {seen}")
    return java


def fetched_jars() -> Path:
    """Return the folder of Kafka's jars; download them first (43 MB) if it does not exist.

    The folder is ``$RECSTREAM_CACHE/kafka-4.1.1/`` (default ``~/.cache/recstream``). It is filled
    under another name and renamed into place, so that it is complete whenever it exists.

    Raises
    ------
    TransportError
        If Maven is missing or fails.
    """
    cache = Path(os.environ.get("RECSTREAM_CACHE") or Path.home() / ".cache" / "recstream")
    jars = cache / f"kafka-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".kafka-") as beside:
        _copy_dependencies(Path(beside))
        try:
            (Path(beside) / "jars").rename(jars)
        except OSError:
            if not jars.is_dir():
                raise
            # another process was faster; its jars are the same
    return jars


def _copy_dependencies(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise TransportError("Apache Kafka's jars are downloaded with Maven: `mvn` not found")
    pom = folder / "pom.xml"
    pom.write_text(POM)
    where = ["-f", str(pom), f"-DoutputDirectory={folder / 'jars'}", "-DincludeScope=runtime"]
    try:
        run = subprocess.run(
            [maven, "-q", "-B", "--strict-checksums", PLUGIN, *where],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=FETCH_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise TransportError(
            f"Apache Kafka's jars: Maven timed out ({FETCH_SECONDS:g} s)"
        ) from error
    if run.returncode != 0:
        raise TransportError(f"Apache Kafka's jars: Maven failed:\n{run.stdout[-2000:]}")

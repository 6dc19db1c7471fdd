"""Apache Kafka, one node that is broker and controller, from its Maven artifacts: ``python -m tests.servers.kafka`` fetches it.

Only this one shows what no imitation does: records that outlive a restart, limits of topics, compaction.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.servers.running import Missing, Program, free_port

VERSION = "4.4.0"
SECRET = "a secret of the tests"
ROOT = Path(__file__).parents[2]
LIBRARIES = ROOT / "build" / f"kafka-{VERSION}"
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>scimhub.tests</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""
# A JVM that starts quickly, which matters more to tests; and one that is fast once it has run for some seconds.
QUICK = ("java", "-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
FAST = ("java", "-Xms512m", "-Xmx512m", "-XX:+UseSerialGC")


def fetch() -> None:
    """Put the jars into ``build``; needs Maven."""
    LIBRARIES.parent.mkdir(exist_ok=True)
    pom = LIBRARIES.parent / "kafka-pom.xml"
    pom.write_text(_POM)
    command = ("mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime")
    unfinished = LIBRARIES.with_suffix(".part")
    subprocess.run([*command, f"-DoutputDirectory={unfinished}"], check=True, stdin=subprocess.DEVNULL)
    unfinished.rename(LIBRARIES)


def open_kafka(folder: Path, jvm: Sequence[str] = QUICK, **more: str) -> tuple[Program, int]:
    """A broker that is not started, and the port at which it asks for user ``hub`` and the secret; raises Missing.

    ``more`` are properties, with an underscore for each dot.
    """
    if shutil.which("java") is None:
        raise Missing("Apache Kafka: there is no java; install Java 17 or newer")
    if not LIBRARIES.is_dir():
        raise Missing(f"Apache Kafka {VERSION}: its jars are not here; with Maven: python -m tests.servers.kafka")
    port, controller, secured = free_port(), free_port(), free_port()
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{secured},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{secured}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": (
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_hub="{SECRET}";'
        ),
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(folder / "logs"),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A broker that was killed is let in again sooner than after 9 s.
        "broker.session.timeout.ms": "1000",
        "broker.heartbeat.interval.ms": "200",
        # So that a compaction can be waited for.
        "log.cleaner.backoff.ms": "200",
        **{name.replace("_", "."): value for name, value in more.items()},
    }
    (folder / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    java = (*jvm, "-cp", f"{LIBRARIES}/*")
    formatting = (*java, "kafka.tools.StorageTool", "format", "-t", "c2NpbWh1Yi10ZXN0cy0xMg", "--standalone")
    subprocess.run(
        [*formatting, "-c", str(folder / "server.properties")], check=True, stdin=subprocess.DEVNULL, capture_output=True
    )
    return Program([*java, "kafka.Kafka", str(folder / "server.properties")], port, folder), secured


if __name__ == "__main__":
    if not LIBRARIES.is_dir():
        fetch()
    sys.stdout.write(f"{LIBRARIES}\n")

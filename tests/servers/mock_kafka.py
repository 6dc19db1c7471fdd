"""librdkafka's mock cluster: a Kafka inside this process that answers with the errors it is told to.

Its functions are an interface of the library's own tests, reached by ctypes in the library that the wheel of
confluent-kafka brings.
"""

import ctypes
from pathlib import Path

import confluent_kafka

from tests.servers.running import Missing

PRODUCE = 0
METADATA = 3


def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    found = sorted(folder.glob("librdkafka-*.so*"))
    if not found:
        raise Missing("Kafka's mock cluster: the wheel of confluent-kafka for this platform has no library of its own")
    library = ctypes.CDLL(str(found[0]))
    for name in (
        *("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_handle_mock_cluster"),
        *("rd_kafka_mock_cluster_bootstraps", "rd_kafka_mock_topic_create", "rd_kafka_mock_push_request_errors_array"),
    ):
        getattr(library, name).restype = ctypes.c_void_p
    return library


class MockKafka:
    """A cluster of one broker."""

    def __init__(self) -> None:
        self._library = library = _library()
        said = ctypes.create_string_buffer(512)
        configuration = library.rd_kafka_conf_new()
        for name, value in ((b"test.mock.num.brokers", b"1"), (b"log_level", b"0")):
            assert library.rd_kafka_conf_set(ctypes.c_void_p(configuration), name, value, said, 512) == 0, said.value
        self._handle = ctypes.c_void_p(library.rd_kafka_new(0, ctypes.c_void_p(configuration), said, 512))
        assert self._handle, said.value
        self._cluster = ctypes.c_void_p(library.rd_kafka_handle_mock_cluster(self._handle))
        bootstraps = library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self.servers = ctypes.string_at(bootstraps).decode()

    def create_topic(self, name: str, partitions: int) -> None:
        self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)

    def set_topic_error(self, name: str, code: int) -> None:
        """Every request for the topic is answered so; 0 ends it."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), code)

    def push_errors(self, request: int, *codes: int) -> None:
        """The next requests of that sort are answered so, one after the other."""
        listed = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), listed
        )

    def clear_errors(self, request: int) -> None:
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, ctypes.c_int16(request))

    def set_up(self, *, is_up: bool) -> None:
        library = self._library
        (library.rd_kafka_mock_broker_set_up if is_up else library.rd_kafka_mock_broker_set_down)(self._cluster, 1)

    def close(self) -> None:
        self._library.rd_kafka_destroy(self._handle)

"""librdkafka's own test broker as one process, for tests: `python kafka_process.py`.

Prints its address when it is ready, does what each line of its standard input says and prints an empty line then. Ends
when its standard input does: with whoever started it, however that ended.
"""

import ctypes
import sys

from confluent_kafka import cimpl

BROKER = 1


def main() -> None:
    kafka = ctypes.CDLL(cimpl.__file__)  # what Python's binding does not show of the library that it brings along
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(kafka, name).restype = ctypes.c_void_p
    kafka.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    why = ctypes.create_string_buffer(512)
    holder = kafka.rd_kafka_new(0, ctypes.c_void_p(kafka.rd_kafka_conf_new()), why, ctypes.c_size_t(len(why)))
    if not holder:
        sys.exit(why.value.decode())
    cluster = ctypes.c_void_p(kafka.rd_kafka_mock_cluster_new(ctypes.c_void_p(holder), BROKER))
    kafka.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    print(kafka.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["go"]:  # its connections are closed, and new ones refused
                kafka.rd_kafka_mock_broker_set_down(cluster, BROKER)
            case ["come"]:
                kafka.rd_kafka_mock_broker_set_up(cluster, BROKER)
            case ["refuse", request, error]:  # the next one of that kind, both by their numbers in the protocol
                errors = (ctypes.c_int * 1)(int(error))
                kafka.rd_kafka_mock_push_request_errors_array(
                    cluster, ctypes.c_int16(int(request)), ctypes.c_size_t(1), errors
                )
        print(flush=True)


if __name__ == "__main__":
    main()

"""Reads CloudEvents from Kafka as a stranger would, with librdkafka and the stock CloudEvents SDK.

    scripts/kafka-consumer tests/kafka/consume.py BROKERS TOPIC… [--until-idle SECONDS] [--out FILE]

Every partition of the topics is read from its beginning, in no group, up to its end; with `--until-idle` until nothing
more has come for so long. Each event is a line of JSON, in the order in which its partition has it. A message that is
not a structured CloudEvent, or lacks what every event of SalesOS has, is told with its place, and the exit code is 1;
it is 2 where the topics could not be read.
"""

import argparse
import json
import re
import signal
import sys
import time
from typing import Any, Iterator, NoReturn, TextIO

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

# As the Kafka binding says of the structured mode; the header's parameters are free but for the charset.
MEDIA_TYPE = re.compile(r"application/cloudevents\+json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?", re.IGNORECASE)
# RFC 3339, of which the SDK's own reader takes more.
INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
REQUIRED = ("specversion", "id", "source", "type", "subject", "time")
SHOWN_ATTRIBUTES = (
    "id", "source", "type", "subject", "time", "dataschema", "sequence", "partitionkey", "traceparent", "customerid",
)
SHOWN_PROBLEMS = 20
BATCH = 500
ANSWER_SECONDS = 10


class Refused(Exception):
    """What is wrong with a message."""


def give_up(reason: str) -> NoReturn:
    print(reason, file=sys.stderr)
    sys.exit(2)


def refuse_constant(name: str) -> NoReturn:
    """Python would read NaN and Infinity, which JSON has not."""
    raise ValueError(f"{name} is not JSON")


def parse(message: Message) -> dict[str, Any]:
    """The line of a message, or `Refused`."""
    types = [value for name, value in message.headers() or [] if name.lower() == "content-type"]
    if len(types) != 1:
        raise Refused(f"has {len(types)} headers content-type, not one")
    content_type = (types[0] or b"").decode("utf-8", "replace")
    if not MEDIA_TYPE.fullmatch(content_type):
        raise Refused(f"content-type is {content_type!r}, not application/cloudevents+json; charset=UTF-8")
    if message.value() is None:
        raise Refused("has no value")
    key = message.key()
    try:
        key = None if key is None else key.decode("utf-8")
        document = json.loads(message.value(), parse_constant=refuse_constant)
        # Without its key, by which the SDK replaces the attribute partitionkey.
        event = from_structured(KafkaMessage(headers={}, key=None, value=message.value()), JSONFormat())
    except Exception as problem:
        # The SDK lets through whatever its readers of JSON and of instants raise.
        raise Refused(f"is not a CloudEvent: {type(problem).__name__}: {problem}") from problem
    check(document, event)
    return line(message, key, document, event)


def check(document: dict[str, Any], event: BaseCloudEvent) -> None:
    """The SDK makes up `specversion`, `id` and `time` where they are missing, and asks for no `subject`."""
    for name in REQUIRED:
        if not isinstance(document.get(name), str) or not document[name]:
            raise Refused(f"lacks the attribute {name}")
    if not INSTANT.fullmatch(document["time"]):
        raise Refused(f"time is {document['time']!r}, which is not an instant of RFC 3339")
    if event.get_specversion() != "1.0":
        raise Refused(f"specversion is {event.get_specversion()!r}, not 1.0")
    if event.get_datacontenttype() != "application/json":
        raise Refused(f"datacontenttype is {event.get_datacontenttype()!r}, not application/json")
    if isinstance(event.get_data(), bytes):
        raise Refused("has data_base64 in place of data")


def line(message: Message, key: str | None, document: dict[str, Any], event: BaseCloudEvent) -> dict[str, Any]:
    attributes = event.get_attributes()
    place = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset(), "key": key}
    shown = {name: attributes.get(name) for name in SHOWN_ATTRIBUTES}
    # As it was written, to the last digit of its fraction.
    shown["time"] = document["time"]
    return {**place, **shown, "data": event.get_data()}


def connect(brokers: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": brokers,
            # The client wants a name here; whoever assigns partitions and commits nothing joins no group by it.
            "group.id": "consume.py",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            # A broker that is away comes back, or the time is up; the client's own complaints tell nothing more.
            "log_level": 0,
            "error_cb": lambda _: None,
        }
    )


def find_partitions(consumer: Consumer, brokers: str, topics: list[str]) -> list[TopicPartition]:
    try:
        known = consumer.list_topics(timeout=ANSWER_SECONDS).topics
    except KafkaException:
        give_up(f"no broker answers at {brokers}")
    missing = [topic for topic in topics if topic not in known or known[topic].error]
    if missing:
        give_up(f"there is no topic {', '.join(missing)} at {brokers}; it has {', '.join(sorted(known)) or 'none'}")
    return [
        TopicPartition(topic, partition, OFFSET_BEGINNING)
        for topic in dict.fromkeys(topics)
        for partition in sorted(known[topic].partitions)
    ]


def read(consumer: Consumer, partitions: list[TopicPartition], idle: float, timeout: float) -> Iterator[Message]:
    """All messages, until each partition was read to its end and nothing has come for `idle` seconds."""
    consumer.assign(partitions)
    ends: dict[tuple[str, int], int] = {}
    deadline = time.monotonic() + timeout
    last = time.monotonic()
    while True:
        for message in consumer.consume(BATCH, 0.1):
            if message.error() is None:
                last = time.monotonic()
                yield message
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ends[message.topic(), message.partition()] = message.offset()
            elif not message.error().retriable() and message.error().code() != KafkaError._ALL_BROKERS_DOWN:
                give_up(f"{message.topic()}[{message.partition()}] can't be read: {message.error().str()}")
        now = time.monotonic()
        if len(ends) == len(partitions) and now - last >= idle and at_end(consumer, partitions, ends):
            return
        if now > deadline:
            give_up(f"not at the end after {timeout:g} s: {len(ends)} of {len(partitions)} partitions were")


def at_end(consumer: Consumer, partitions: list[TopicPartition], ends: dict[tuple[str, int], int]) -> bool:
    """Whether the end that was read is the high watermark of now."""
    try:
        return all(
            ends[partition.topic, partition.partition]
            >= consumer.get_watermark_offsets(partition, timeout=ANSWER_SECONDS)[1]
            for partition in partitions
        )
    except KafkaException:
        return False


def write(messages: Iterator[Message], out: TextIO) -> int:
    """How many messages were refused."""
    refused = 0
    for message in messages:
        try:
            out.write(json.dumps(parse(message), ensure_ascii=False) + "\n")
        except Refused as problem:
            refused += 1
            if refused <= SHOWN_PROBLEMS:
                print(f"{message.topic()}[{message.partition()}]@{message.offset()} {problem}", file=sys.stderr)
    out.flush()
    return refused


def main() -> int:
    parser = argparse.ArgumentParser(description="Reads CloudEvents from Kafka and writes one line of JSON for each.")
    parser.add_argument("brokers", help="host:port, with commas between several")
    parser.add_argument("topics", nargs="+", metavar="topic")
    parser.add_argument("--until-idle", type=float, default=0.0, metavar="SECONDS", help="wait so long for more (0)")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS", help="give up after (300)")
    parser.add_argument("--out", metavar="FILE", help="where the lines go; standard output without it")
    arguments = parser.parse_args()
    consumer = connect(arguments.brokers)
    try:
        partitions = find_partitions(consumer, arguments.brokers, arguments.topics)
        messages = read(consumer, partitions, arguments.until_idle, arguments.timeout)
        if arguments.out:
            with open(arguments.out, "w", encoding="utf-8") as out:
                refused = write(messages, out)
        else:
            refused = write(messages, sys.stdout)
    finally:
        consumer.close()
    if refused:
        print(f"{refused} messages are no events of SalesOS", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    # Whoever has read enough, as `head`, ends it without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())

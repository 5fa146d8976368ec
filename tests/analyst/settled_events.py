"""Prints each settled event once, a line of JSON: settled_events.py BROKERS TOPIC AVRO_DIRECTORY."""

import io
import json
import pathlib
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from fastavro import parse_schema, schemaless_reader


def schemas(avro):
    ids = json.loads((avro / "ids.json").read_text())
    return {ids[name]: parse_schema(json.loads((avro / f"{name}.avsc").read_text()))
            for name in ids if name.startswith("settled-event")}


def settled_events(brokers, topic, known):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "analyst", "enable.auto.commit": False})
    parts = [TopicPartition(topic, n, OFFSET_BEGINNING) for n in consumer.list_topics(topic).topics[topic].partitions]
    ends = {part.partition: consumer.get_watermark_offsets(part) for part in parts}
    left = {n: end for n, (first, end) in ends.items() if first < end}
    consumer.assign(parts)
    seen = set()
    while left:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        wire, n = message.value(), message.partition()
        event = schemaless_reader(io.BytesIO(wire[5:]), known[int.from_bytes(wire[1:5], "big")], None)
        place = (event["room"], event["generation"], event["seq"])
        if place not in seen:
            seen.add(place)
            yield event
        if message.offset() + 1 >= left.get(n, 0):
            left.pop(n, None)


for event in settled_events(sys.argv[1], sys.argv[2], schemas(pathlib.Path(sys.argv[3]))):
    print(json.dumps(event, default=lambda id: id.hex() if isinstance(id, bytes) else str(id)))

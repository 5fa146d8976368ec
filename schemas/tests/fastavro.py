"""Reads the golden bytes with fastavro, compares with what they should mean, writes them again.

Usage: fastavro.py AVRO_DIRECTORY. A golden file is lines of hex, then JSON.
"""

import io
import json
import pathlib
import sys
import uuid

# The script's own directory must not shadow the library that it is named after.
sys.path = [p for p in sys.path if p != str(pathlib.Path(__file__).resolve().parent)]

from fastavro import parse_schema, schemaless_reader, schemaless_writer


def as_json(value):
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value


def check(path, schemas):
    text = path.read_text(encoding="utf-8")
    hex_lines, json_text = text[: text.index("{")], text[text.index("{") :]
    wire = bytes.fromhex("".join(hex_lines.split()))
    schema = schemas[int.from_bytes(wire[1:5], "big")]
    datum = io.BytesIO(wire[5:])
    value = schemaless_reader(datum, schema, None)
    assert datum.read() == b"", f"{path.name}: bytes left over"
    assert as_json(value) == json.loads(json_text), f"{path.name}: another meaning"
    again = io.BytesIO()
    schemaless_writer(again, schema, value)
    assert again.getvalue() == wire[5:], f"{path.name}: other bytes"


def main():
    avro = pathlib.Path(sys.argv[1])
    schemas = {
        number: parse_schema(json.loads((avro / f"{name}.avsc").read_text(encoding="utf-8")))
        for name, number in json.loads((avro / "ids.json").read_text()).items()
    }
    # A chunk is sealed and holds a second datum: its file is for the Rust tests.
    paths = [p for p in sorted((avro / "golden").glob("*.txt")) if p.stem != "chunk"]
    for path in paths:
        check(path, schemas)
    print(f"{len(paths)} golden files agree")


main()

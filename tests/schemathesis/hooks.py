"""What the OpenAPI document has no words for, said of each request before it is sent.

Each rule has its reason. A response is never touched: whatever the server says is checked.
"""

import copy
import json
import os
import re
import time

import schemathesis

#: The names that are bounded in bytes, of an event and of its user and device.
NAMES = {"combo", "currency", "gift", "id", "kind", "name", "source", "target_user", "version"}
NAME_BYTES_MAX = 64
CURSOR = re.compile(r"^(?:0|(\d+):(\d+))$")
#: A segment that the test brought in, as a reader names it: room, broadcast, n and revision.
SEEDED = json.loads(os.environ["SEEDED_SEGMENT"])


@schemathesis.auth()
class Token:
    """A backend's, which may do everything but what an operator does."""

    def get(self, case, context):
        return os.environ["DANMU_TOKEN"]

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.hook
def before_call(context, case, kwargs):
    # Phases share what they generate: a copy is changed, never the original.
    query = copy.deepcopy(dict(case.query or {}))
    # A long poll that waits finds nothing that one that does not wait would not.
    if str(query.get("wait")).isdigit() and int(query["wait"]) <= 30:
        query["wait"] = 0
    for name in ("after", "before"):
        # A cursor of a generation that has not begun is a 503 by contract: come back later.
        cursor = CURSOR.match(str(query.get(name)))
        if cursor and cursor[1]:
            query[name] = f"1:{cursor[2]}"
    # Together they are a 400: there is no word for parameters that exclude each other.
    if CURSOR.match(str(query.get("after"))) and CURSOR.match(str(query.get("before"))):
        del query["before"]
    # Nobody guesses a broadcast: a name that is none is left, one that could be is made one that is.
    path = dict(case.path_parameters or {})
    if CURSOR.match(str(path.get("broadcast"))):
        case.path_parameters = path | {name: SEEDED[name] for name in path if name in SEEDED}
        if str(query.get("revision")).isdigit():
            query["revision"] = SEEDED["revision"]
    if case.query:
        case.query = query

    body = case.body
    if isinstance(body, (dict, list)):
        case.body = body = copy.deepcopy(body)
    for event in body if isinstance(body, list) else [body]:
        # A schema counts characters, and no name of so many may have more bytes.
        parts = [event, event.get("user"), event.get("device")] if isinstance(event, dict) else []
        for part in filter(lambda part: isinstance(part, dict), parts):
            part |= {name: cut(part[name]) for name in part.keys() & NAMES}
        # A schema knows no clock: a gift was sent within the last 23 hours.
        if isinstance(event, dict) and is_moment(event.get("issued_at")):
            event["issued_at"] = int(time.time() * 1000)
    # The key makes the id of a single event that has none.
    headers = case.headers or {}
    has_id = isinstance(body, list) or isinstance(body, dict) and body.get("id") is not None
    if "Idempotency-Key" in headers and has_id:
        case.headers = {name: headers[name] for name in headers if name != "Idempotency-Key"}


def cut(name):
    """A name of at most so many characters, with at most so many bytes."""
    if not isinstance(name, str) or len(name) > NAME_BYTES_MAX:
        return name
    return name.encode("utf-8", "surrogatepass")[:NAME_BYTES_MAX].decode("utf-8", "ignore") or name


def is_moment(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0

"""Asks a running model and compares with what it predicts in Python.

    python3 ask.py PORT NAME PREDICTIONS_JSON [SECONDS]

Waits for /ping, prints how long that took in seconds, posts the recorded request to /invocations and
fails unless the answer is the recorded one: numbers within one part in 10^9, all else exactly.
"""

import http.client
import json
import math
import sys
import time


def call(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read().decode()


def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9)
    return a == b


def main():
    port, name, record = int(sys.argv[1]), sys.argv[2], json.load(open(sys.argv[3]))[sys.argv[2]]
    limit = float(sys.argv[4]) if len(sys.argv) > 4 else 180
    start = time.monotonic()
    while True:
        try:
            if call(port, "GET", "/ping")[0] == 200:
                break
        except OSError:
            pass
        if time.monotonic() - start > limit:
            sys.exit(f"{name}: no answer to /ping within {limit:.0f} s")
        time.sleep(0.1)
    took = time.monotonic() - start
    status, body = call(port, "POST", "/invocations", json.dumps(record["request"]))
    if status != 200:
        sys.exit(f"{name}: /invocations answers {status}: {body[:500]}")
    if not same(json.loads(body), record["response"]):
        sys.exit(f"{name}: predicts {body[:500]}, but Python {json.dumps(record['response'])[:500]}")
    print(f"{took:.1f}")


main()

"""A client of `nas serve` in a process of its own: a few connections, kept open, one file sent
again and again.

    python benchmarks/deploy_client.py URL FILE CONNECTIONS SECONDS

prints JSON: how many answers came in how many seconds, and how long each took.
"""

import http.client
import json
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

KIND = "application/vnd.safetensors"


def main() -> None:
    url, file, connections, seconds = sys.argv[1:]
    place, body = urlsplit(url), Path(file).read_bytes()
    begin = threading.Barrier(int(connections) + 1)
    took: list[float] = []
    refused: list[str] = []

    def ask() -> None:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        connection.connect()
        begin.wait()
        until = time.perf_counter() + float(seconds)
        while (started := time.perf_counter()) < until:
            connection.request("POST", "/predict", body, {"Content-Type": KIND})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                refused.append(f"{answer.status}: {content.decode()}")
                return
            took.append(time.perf_counter() - started)

    threads = [threading.Thread(target=ask) for _ in range(int(connections))]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    if refused:
        raise SystemExit(refused[0])
    print(json.dumps({"seconds": time.perf_counter() - started, "took": took}))


if __name__ == "__main__":
    main()

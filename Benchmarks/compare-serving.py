"""`hearth serve` under load: beside llama-server, overloaded, with clients that leave, and for long.

    make bench-serving                                      # all but the soak
    python Benchmarks/compare-serving.py peers --llama-server PATH
    python Benchmarks/compare-serving.py overload
    python Benchmarks/compare-serving.py cancel --requests 10000
    python Benchmarks/compare-serving.py soak --minutes 60

`peers` starts either server in turn on the same file with the same threads and sixteen places, and sends both the same
requests, sixteen streams at a time, prompts and answers of mixed length; who is first alternates, medians of the rounds
count. `overload` asks at ten times as many clients as there are places and compares what comes out of the server with what
does at one for one. `cancel` has 30 % of the clients leave midway; places, memory and files must be free afterwards and each
answer its own request's. `soak` goes on for so many minutes and looks at memory. Prints one JSON object; the exit status is
1 when a bar is missed. Needs httpx; Hearth's model by its name in the store. Scripts/load.py is what asks.
"""

import argparse
import asyncio
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

import httpx

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "Scripts"))
import load  # noqa: E402


class Server:
    """A server on a free port of loopback, until the end of a `with`."""

    def __init__(self, command, port):
        self.command, self.address = command, f"http://127.0.0.1:{port}"

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(self.address + "/health").status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{self.command[0]} does not start: {' '.join(self.command)}")
            time.sleep(0.1)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def figures(self):
        """Hearth's own figures."""
        lines = httpx.get(self.address + "/metrics").text.splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in pairs}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def hearth(given, *more):
    port = free_port()
    return Server([given.hearth, "serve", given.model, "--port", str(port), "--no-keys", "--quiet",
                   "--threads", str(given.threads), *more], port)


def llama(given, file):
    port = free_port()
    # Room for the longest prompt and answer in each of sixteen places; everything else as it comes.
    return Server([given.llama_server, "--model", file, "--port", str(port), "--threads", str(given.threads),
                   "--parallel", "16", "--ctx-size", str(16 * 1024), "--no-webui"], port)


async def run(address, model, numbers, clients):
    # A connection a request: servers differ in when they close idle ones.
    limits = httpx.Limits(max_connections=clients + 1, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits) as client:
        return await load.closed_loop(client, lambda number: load.body(model, number), numbers, clients)


def peers(given):
    file = json.loads(subprocess.run([given.hearth, "show", given.model, "--json"], check=True, capture_output=True).stdout)["path"]
    rounds = {"hearth": [], "llama_server": []}
    for turn in range(given.rounds):
        order = [("hearth", lambda: hearth(given)), ("llama_server", lambda: llama(given, file))]
        for name, start in order if turn % 2 == 0 else reversed(order):
            with start() as server:
                asyncio.run(run(server.address, given.model, [10_000, 10_001], 2))
                numbers = list(range(turn * 1000, turn * 1000 + given.requests))
                found = load.summary(*asyncio.run(run(server.address, given.model, numbers, 16)))
            print(name, json.dumps(found), file=sys.stderr)
            rounds[name].append(found)
    result = {name: {key: statistics.median(found[key] for found in all) for key in all[0]} for name, all in rounds.items()}
    one, other = result["hearth"], result["llama_server"]
    result["throughput_ratio"] = round(one["tokens_per_second"] / other["tokens_per_second"], 2)
    result["first_p95_ratio"] = round(one["first_p95"] / other["first_p95"], 2)
    result["bars"] = {"throughput at least 4 times": result["throughput_ratio"] >= 4,
                      "time to first token, p95, no worse": result["first_p95_ratio"] <= 1}
    return result


def overload(given):
    with hearth(given) as server:
        asyncio.run(run(server.address, given.model, [10_000, 10_001], 2))
        found = {}
        for name, clients, numbers in [("one_for_one", 16, range(given.requests)),
                                       ("ten_times", 160, range(20_000, 20_000 + 2 * given.requests))]:
            found[name] = load.summary(*asyncio.run(run(server.address, given.model, list(numbers), clients)))
            print(name, json.dumps(found[name]), file=sys.stderr)
    found["goodput_ratio"] = round(found["ten_times"]["tokens_per_second"] / found["one_for_one"]["tokens_per_second"], 3)
    found["bars"] = {"goodput at least 0.9": found["goodput_ratio"] >= 0.9,
                     "nobody failed": found["ten_times"]["failed"] == 0}
    return found


def settled(server):
    """The figures once nobody is answered any more."""
    deadline = time.monotonic() + 10
    while True:
        found = server.figures()
        if found["hearth_requests_running"] + found["hearth_requests_waiting"] == 0 or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def cancel(given):
    # Little is kept on purpose (pages of computed prompts and answers), and all of it is there before memory is looked at.
    with hearth(given, "--cache-megabytes", str(given.cache_megabytes)) as server:
        warm = asyncio.run(load.check(server.address, given.model, max(200, given.requests // 4), 32, 0.3, True))
        before = settled(server)
        found = asyncio.run(load.check(server.address, given.model, given.requests, 32, 0.3, True))
        after = settled(server)
    grown = after["process_resident_memory_bytes"] - before["process_resident_memory_bytes"]
    found |= {"resident_megabytes_before": round(before["process_resident_memory_bytes"] / 1e6, 1),
              "resident_megabytes_after": round(after["process_resident_memory_bytes"] / 1e6, 1),
              "running_after": after["hearth_requests_running"], "waiting_after": after["hearth_requests_waiting"],
              "open_files_before": before["process_open_fds"], "open_files_after": after["process_open_fds"]}
    found["bars"] = {"every answer its own": found["wrong_answers"] == 0 and warm["wrong_answers"] == 0,
                     "no place taken": found["running_after"] + found["waiting_after"] == 0,
                     "memory within 5 %": grown < 0.05 * before["process_resident_memory_bytes"],
                     "no file open": after["process_open_fds"] <= before["process_open_fds"] + 2}
    return found


class Watch(threading.Thread):
    """Notices when this process stood still, as on a machine that is suspended: connections do not outlive that."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stops, self.last = 0, time.monotonic()

    def run(self):
        while True:
            time.sleep(1)
            now = time.monotonic()
            self.stops += now - self.last > 20
            self.last = now


def soak(given):
    start, memory, wrong, answers, broken, watch = time.monotonic(), [], 0, 0, 0, Watch()
    watch.start()
    with hearth(given, "--cache-megabytes", str(given.cache_megabytes)) as server:
        while (minutes := (time.monotonic() - start) / 60) < given.minutes:
            stops = watch.stops
            try:
                found = asyncio.run(load.check(server.address, given.model, 300, given.clients, 0.2, True))
            except httpx.TransportError as error:
                time.sleep(3)
                # Otherwise nobody closes connections but the server, and that is a failure.
                if watch.stops == stops:
                    raise
                broken += 1
                print(json.dumps({"minutes": round(minutes, 1), "stood still": True, "error": str(error)}), file=sys.stderr, flush=True)
                continue
            wrong, answers = wrong + found["wrong_answers"] + found["failed"], answers + found["answers"]
            memory.append(round(settled(server)["process_resident_memory_bytes"] / 1e6, 1))
            print(json.dumps({"minutes": round(minutes, 1), "resident_megabytes": memory[-1], **found}), file=sys.stderr, flush=True)
            time.sleep(given.rest)
        leftover = settled(server)["hearth_requests_running"]
    # The first quarter warms caches up; after that the last quarter must not be above the one after the first.
    quarter = max(1, len(memory) // 4)
    early, late = statistics.median(memory[quarter:2 * quarter] or memory), statistics.median(memory[-quarter:])
    return {"minutes": given.minutes, "answers": answers, "wrong_answers": wrong, "resident_megabytes": memory,
            "rounds_broken_by_standstills": broken, "early": early, "late": late,
            "bars": {"every answer its own": wrong == 0, "memory within 5 %": late <= early * 1.05,
                     "no place taken": leftover == 0}}


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("what", choices=["peers", "overload", "cancel", "soak"])
parser.add_argument("--hearth", default=".build/release/hearth")
parser.add_argument("--llama-server", default="llama-server")
parser.add_argument("--model", default="smollm2")
parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
parser.add_argument("--requests", type=int, default=96)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--cache-megabytes", type=int, default=12, help="for cancel and soak: soon full, so that what grows later is seen")
parser.add_argument("--minutes", type=float, default=10)
parser.add_argument("--clients", type=int, default=24, help="of the soak")
parser.add_argument("--rest", type=float, default=0, help="seconds between the soak's rounds, on a machine that others use")
given = parser.parse_args()
found = {"peers": peers, "overload": overload, "cancel": cancel, "soak": soak}[given.what](given)
print(json.dumps(found, indent=1))
sys.exit(0 if all(found["bars"].values()) else 1)

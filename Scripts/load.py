#!/usr/bin/env python3
"""Many clients at once against a running server: throughput, latencies, and whether each gets its own answer.

    python Scripts/load.py http://127.0.0.1:4327 --model smollm2 --requests 200 --clients 16 --cancel 0.3

Prompts and answers are of mixed length. A share of the clients goes away midway. Each answer must be its own request's: a
third of the requests carry a nonce and a schema that lets nothing else pass, the others must get the bytes that the same
request gets alone, which is asked for beforehand (the server promises the same bytes). Speaks to any server with OpenAI's
chat API; --no-compare leaves both out for those that promise less. Needs httpx.
"""

import argparse
import asyncio
import dataclasses
import json
import random
import statistics
import time

import httpx


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))] if values else float("nan")


@dataclasses.dataclass
class Reply:
    status: int
    text: str = ""
    tokens: int = 0
    # Seconds from the request to the first piece of text, and between pieces; when it ended.
    first: float | None = None
    gaps: list = dataclasses.field(default_factory=list)
    seconds: float = 0
    # Whether the client went away.
    gave_up: bool = False
    retry_after: float = 0


def body(model, number):
    """Request `number`: a prompt of some 40 to 600 tokens that begins like no other, an answer of exactly 8 to 128."""
    words = ["river", "stone", "window", "garden", "letter", "music", "winter", "bread", "harbour", "lamp"]
    generator = random.Random(number)
    text = " ".join(generator.choice(words) for _ in range([20, 60, 150, 500][number % 4]))
    return {"model": model, "messages": [{"role": "user", "content": f"{number}: tell a story of {text}."}],
            "max_tokens": [8, 24, 64, 128][number // 4 % 4], "temperature": 0.8, "seed": number, "stream": True,
            "stream_options": {"include_usage": True},
            # Tokens that end an answer are ruled out, so that all servers write as much.
            "logit_bias": {"0": -100, "2": -100}}


def with_nonce(asked, nonce):
    """The same request, of which only the nonce is an answer."""
    asked = {**asked, "max_tokens": 64, "response_format": {
        "type": "json_schema", "json_schema": {"name": "nonce", "schema": {"const": nonce}}}}
    del asked["logit_bias"]
    return asked


async def ask(client, asked, give_up_after=None):
    """One request; `give_up_after` pieces the client goes away."""
    began = time.perf_counter()
    reply, last, pieces = Reply(0), None, []
    async with client.stream("POST", "/v1/chat/completions", json=asked) as response:
        reply.status = response.status_code
        if response.status_code != 200:
            reply.retry_after = float(response.headers.get("retry-after", 0))
            reply.text = (await response.aread()).decode()
            return reply
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise RuntimeError(event["error"])
            for choice in event.get("choices", []):
                content = choice["delta"].get("content")
                if not content:
                    continue
                now = time.perf_counter()
                if reply.first is None:
                    reply.first = now - began
                else:
                    reply.gaps.append(now - last)
                last = now
                pieces.append(content)
            if event.get("usage"):
                reply.tokens = event["usage"]["completion_tokens"]
            if give_up_after is not None and len(pieces) >= give_up_after:
                reply.gave_up = True
                break
    reply.text, reply.seconds = "".join(pieces), time.perf_counter() - began
    return reply


async def closed_loop(client, make, numbers, clients, give_up=lambda number: None):
    """`clients` at a time, each asking its next as soon as it has its answer; who is refused asks again when told to.

    Returns the replies by number, how often somebody was refused, and the seconds that all took.
    """
    queue, replies, refusals = list(reversed(numbers)), {}, 0
    began = time.perf_counter()

    async def work():
        nonlocal refusals
        while queue:
            number = queue.pop()
            while True:
                reply = await ask(client, make(number), give_up(number))
                if reply.status not in (429, 503):
                    break
                refusals += 1
                await asyncio.sleep(min(reply.retry_after or 1, 5) * random.uniform(0.5, 1))
            replies[number] = reply

    await asyncio.gather(*(work() for _ in range(clients)))
    return replies, refusals, time.perf_counter() - began


def summary(replies, refusals, seconds):
    whole = [reply for reply in replies.values() if reply.status == 200 and not reply.gave_up]
    firsts = [reply.first for reply in replies.values() if reply.first is not None]
    gaps = [gap for reply in whole for gap in reply.gaps]
    return {"seconds": round(seconds, 2), "answers": len(whole), "refusals": refusals,
            "gave_up": sum(reply.gave_up for reply in replies.values()),
            "failed": sum(reply.status != 200 for reply in replies.values()),
            "tokens_per_second": round(sum(reply.tokens for reply in whole) / seconds, 1),
            "first_p50": round(statistics.median(firsts), 3), "first_p95": round(quantile(firsts, 0.95), 3),
            "between_p50": round(statistics.median(gaps), 4), "between_p95": round(quantile(gaps, 0.95), 4),
            "between_p99": round(quantile(gaps, 0.99), 4)}


async def check(address, model, requests, clients, cancel, compares, distinct=32):
    """A run in which every answer must be its own request's."""
    generator = random.Random(1)
    leaving = {number: generator.randrange(1, 6) for number in range(requests) if generator.random() < cancel}
    # A connection a request: servers differ in when they close idle ones.
    limits = httpx.Limits(max_connections=clients + 1, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits) as client:
        def make(number):
            asked = body(model, number % distinct)
            return with_nonce(asked, f"nonce {number} {number * 2654435761 % 2**32:08x}") if compares and number % 3 == 0 else asked

        alone = {number: (await ask(client, body(model, number))).text for number in range(distinct if compares else 0)}
        replies, refusals, seconds = await closed_loop(client, make, list(range(requests)), clients, leaving.get)
    wrong = 0
    for number, reply in replies.items():
        if not compares or reply.status != 200:
            continue
        asked = make(number)
        if "response_format" in asked:
            expected = json.dumps(asked["response_format"]["json_schema"]["schema"]["const"])
        else:
            expected = alone[number % distinct]
        wrong += not expected.startswith(reply.text) if reply.gave_up else expected != reply.text
    return {**summary(replies, refusals, seconds), "wrong_answers": wrong if compares else None}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--cancel", type=float, default=0.0, help="share of the requests that are given up midway")
    parser.add_argument("--no-compare", action="store_true")
    given = parser.parse_args()
    print(json.dumps(asyncio.run(check(
        given.address, given.model, given.requests, given.clients, given.cancel, not given.no_compare))))

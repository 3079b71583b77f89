#!/usr/bin/env python3
"""Many clients at once against a running server: throughput, latencies, and whether each gets its own answer.

    python Scripts/load.py http://127.0.0.1:4327 --model smollm2 --requests 200 --clients 16 --cancel 0.3

Every request carries a number; its answer must be the one that the same request gets alone (the server promises the same
bytes), which is asked for beforehand. A share of the clients goes away midway. Needs httpx. Speaks to any server with
OpenAI's chat API; --no-compare leaves the comparison out for those that promise less.
"""

import argparse
import asyncio
import json
import random
import statistics
import time

import httpx


def body(arguments, number):
    lengths = [8, 24, 48, 96]
    words = " ".join(f"item {number} of the list" for _ in range(1 + number % 7))
    return {"model": arguments.model, "messages": [{"role": "user", "content": f"Tell me about {words}."}],
            "max_tokens": lengths[number % len(lengths)], "temperature": 0.8, "seed": number, "stream": True}


async def ask(client, arguments, number, give_up_after=None):
    """The answer's text, the time to its first piece and the times between pieces; None for who gave up."""
    began, first, last, gaps, text, pieces = time.perf_counter(), None, None, [], "", 0
    async with client.stream("POST", "/v1/chat/completions", json=body(arguments, number)) as reply:
        if reply.status_code != 200:
            await reply.aread()
            return reply.status_code, None, None, [], 0
        async for line in reply.aiter_lines():
            if not line.startswith("data: {"):
                continue
            for choice in json.loads(line[6:]).get("choices", []):
                content = choice["delta"].get("content")
                if not content:
                    continue
                now = time.perf_counter()
                first = first or now - began
                if last:
                    gaps.append(now - last)
                last, text, pieces = now, text + content, pieces + 1
            if give_up_after is not None and pieces >= give_up_after:
                return 200, None, first, gaps, pieces
    return 200, text, first, gaps, pieces


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--cancel", type=float, default=0.0, help="share of the requests that are given up midway")
    parser.add_argument("--no-compare", action="store_true")
    arguments = parser.parse_args()
    generator = random.Random(1)
    distinct = 28
    limits = httpx.Limits(max_connections=arguments.clients + 1)
    async with httpx.AsyncClient(base_url=arguments.address, timeout=600, limits=limits) as client:
        expected = {}
        if not arguments.no_compare:
            for number in range(distinct):
                expected[number] = (await ask(client, arguments, number))[1]
        queue = list(range(arguments.requests))
        firsts, gaps, wrong, statuses, tokens, cancelled = [], [], 0, {}, 0, 0
        began = time.perf_counter()

        async def work():
            nonlocal wrong, tokens, cancelled
            while queue:
                number = queue.pop() % distinct
                give_up = generator.randrange(1, 6) if generator.random() < arguments.cancel else None
                status, text, first, between, pieces = await ask(client, arguments, number, give_up)
                statuses[status] = statuses.get(status, 0) + 1
                tokens += pieces
                if status != 200:
                    continue
                if first:
                    firsts.append(first)
                gaps.extend(between)
                if text is None:
                    cancelled += 1
                elif expected and text != expected[number]:
                    wrong += 1

        await asyncio.gather(*(work() for _ in range(arguments.clients)))
        seconds = time.perf_counter() - began

        def quantile(values, q):
            return sorted(values)[min(len(values) - 1, int(len(values) * q))] if values else None

        print(json.dumps({
            "requests": arguments.requests, "clients": arguments.clients, "seconds": round(seconds, 2), "statuses": statuses,
            "given_up": cancelled, "wrong_answers": None if arguments.no_compare else wrong,
            "pieces_per_second": round(tokens / seconds, 1), "first_piece_p50": round(statistics.median(firsts), 3),
            "first_piece_p95": round(quantile(firsts, 0.95), 3), "between_p50": round(statistics.median(gaps), 4),
            "between_p95": round(quantile(gaps, 0.95), 4), "between_p99": round(quantile(gaps, 0.99), 4)}))


asyncio.run(main())

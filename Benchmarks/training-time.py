"""How the time of a training step grows with the length of conversations and with rank, and what packing saves.

    python Benchmarks/training-time.py [--steps 5] [--tokens 2048]

Only `hearth` runs: no peer, no packages. Every row trains on as many tokens a step, as conversations of one length, so a row that is
slower is slower by attention alone. Prints a Markdown table: the median step without the first, tokens per second, memory.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORDS = "the river bends north of an old mill where two grey herons wait for fish at dawn and nobody ever comes".split()


def text(count, generator):
    return " ".join(generator.choice(WORDS) for _ in range(count))


def conversations(path, length, count):
    """Conversations of about `length` tokens: a word is about a token, the template takes some forty."""
    generator = random.Random(length)
    answer = max(8, length - 50)
    with open(path, "w") as file:
        for index in range(count):
            pair = {"prompt": f"Tell me about {index} {text(4, generator)}.", "completion": text(answer, generator)}
            file.write(json.dumps(pair) + "\n")


def run(arguments, data, folder, *options):
    command = [
        arguments.hearth, "finetune", "--model", arguments.model, "--data", str(data), "--output", str(folder), "--json",
        "--quiet", "--threads", str(arguments.threads), "--validation-fraction", "0", "--no-probe", "--max-steps",
        str(arguments.steps), "--order", "given", *map(str, options)]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    events = [json.loads(line) for line in output.splitlines()]
    steps = [e["tokens_per_second"] for e in events if e["event"] == "step"][1:]
    return statistics.median(steps), events[-1]["peak_memory_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hearth", default=str(ROOT / ".build/release/hearth"))
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--threads", type=int, default=len(__import__("os").sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=4, help="of each row; the first does not count")
    parser.add_argument("--tokens", type=int, default=2048, help="in each step, about")
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 256, 512, 1024, 2048, 4096])
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128])
    arguments = parser.parse_args()
    print("| What | Tokens a conversation | Rank | Tokens/s | Memory |\n|---|---|---|---|---|", flush=True)

    def row(what, length, rank, *options):
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place)
            batch = max(1, arguments.tokens // length)
            conversations(folder / "data.jsonl", length, batch * arguments.steps)
            speed, memory = run(
                arguments, folder / "data.jsonl", folder / "run", "--batch-size", batch, "--max-length", length, "--rank",
                rank, *options)
        print(f"| {what} | {length} | {rank} | {speed:.0f} | {memory / 1e9:.2f} GB |", flush=True)

    for length in arguments.lengths:
        row("LoRA", length, 8)
    for rank in arguments.ranks:
        row("LoRA", 512, rank)
    row("rsLoRA", 512, 8, "--rslora")
    row("DoRA", 512, 8, "--dora")
    # Short conversations one to a pass, as if each had a pass to itself.
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        batch = max(1, arguments.tokens // 64)
        conversations(folder / "data.jsonl", 64, batch * arguments.steps)
        speed, memory = run(
            arguments, folder / "data.jsonl", folder / "run", "--batch-size", 1, "--gradient-accumulation", batch, "--rank", 8)
    print(f"| LoRA, one conversation a pass | 64 | 8 | {speed:.0f} | {memory / 1e9:.2f} GB |")


if __name__ == "__main__":
    main()

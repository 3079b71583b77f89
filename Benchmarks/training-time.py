"""How the time of a training step grows with the length of conversations and with rank, and what packing saves.

    python Benchmarks/training-time.py [--steps 5] [--tokens 2048]

Only `hearth` runs: no peer, no packages. Every row trains on as many tokens a step, as conversations of one length, so a row that is
slower is slower by attention alone. Prints a Markdown table: tokens per second of the median step, and the processor time of a token,
which other programs on the machine disturb less (with --threads 1, hardly), both without the first step; memory.
"""

import argparse
import json
import os
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
    """Conversations of at least `length` tokens, so that all are cut to that: a word is a token or more."""
    generator = random.Random(length)
    answer = length
    with open(path, "w") as file:
        for index in range(count):
            pair = {"prompt": f"Tell me about {index} {text(4, generator)}.", "completion": text(answer, generator)}
            file.write(json.dumps(pair) + "\n")


def processor_time(process):
    """Seconds that a process has computed."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(arguments, data, folder, tokens, *options):
    """Tokens per second, milliseconds of processor time a token, bytes."""
    command = [
        arguments.hearth, "finetune", "--model", arguments.model, "--data", str(data), "--output", str(folder), "--json",
        "--quiet", "--threads", str(arguments.threads), "--validation-fraction", "0", "--no-probe", "--max-steps",
        str(arguments.steps), "--order", "given", *map(str, options)]
    speeds, times = [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "step":
                speeds.append(event["tokens_per_second"])
                times.append(processor_time(process))
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}")
    computed = (times[-1] - times[0]) / (len(times) - 1) / tokens
    return statistics.median(speeds[1:]), 1000 * computed, event["peak_memory_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hearth", default=str(ROOT / ".build/release/hearth"))
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=4, help="of each row; the first does not count")
    parser.add_argument("--tokens", type=int, default=2048, help="in each step, about")
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 256, 512, 1024, 2048, 4096])
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128])
    arguments = parser.parse_args()
    print("| What | Tokens a conversation | Conversations a pass | Rank | Tokens/s | CPU ms/token | Memory |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)

    def row(what, length, rank, *options, passes=1):
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place)
            count = max(1, arguments.tokens // length)
            conversations(folder / "data.jsonl", length, count * arguments.steps)
            speed, computed, memory = run(
                arguments, folder / "data.jsonl", folder / "run", count * length, "--batch-size", count // passes,
                "--gradient-accumulation", passes, "--max-length", length, "--rank", rank, *options)
        print(f"| {what} | {length} | {count // passes} | {rank} | {speed:.0f} | {computed:.2f} | {memory / 1e9:.2f} GB |",
              flush=True)

    for length in arguments.lengths:
        row("LoRA", length, 8)
    for rank in arguments.ranks:
        row("LoRA", 512, rank)
    row("rsLoRA", 512, 8, "--rslora")
    row("DoRA", 512, 8, "--dora")
    # Short conversations one to a pass, as if nothing were packed.
    row("LoRA", 64, 8, passes=max(1, arguments.tokens // 64))


if __name__ == "__main__":
    main()

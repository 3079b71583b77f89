"""What the preview of a run tells of memory and time, beside what the run takes.

    python Benchmarks/compare-forecast.py
    python Benchmarks/compare-forecast.py lora-int8-short full-bf16-long

Short conversations are the help desk's, 16 in a pass; long ones are several of them in a row (200 to 900 tokens, from a seed), 4 in a pass.
Each is previewed, then trained for a few steps in a folder that is removed again. Taken are `peak_memory_bytes` and `seconds` of the
last event. Times mean something on a machine that does nothing else. Prints Markdown.
"""

import argparse
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
DESK = ROOT / "Examples/help-desk"
KINDS = [("lora", "int8"), ("lora", "bf16"), ("lora", "f32"), ("full", "int8"), ("full", "bf16"), ("full", "f32")]


def long_conversations(file):
    """48 conversations of several questions and answers of the help desk."""
    chosen = random.Random(3)
    asked = [json.loads(line)["messages"] for line in (DESK / "train.jsonl").read_text().splitlines()]
    lines = []
    for _ in range(48):
        wanted, messages, size = 3.6 * chosen.choice([200, 450, 900]), [], 0
        while size < wanted:
            more = [m for m in chosen.choice(asked) if m["role"] != "system"]
            messages += more
            size += sum(len(m["content"]) + 35 for m in more)
        lines.append(json.dumps({"messages": messages}) + "\n")
    file.write_text("".join(lines))


def last_object(command):
    """The last line that a command prints, as JSON."""
    result = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE)
    if result.returncode != 0:
        sys.exit(f"{' '.join(str(part) for part in command)}: status {result.returncode}")
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="METHOD-PRECISION-LENGTH, such as lora-int8-short (default: all)")
    parser.add_argument("--hearth", default=str(ROOT / ".build/release/hearth"))
    parser.add_argument("--model", default="smollm2")
    arguments = parser.parse_args()
    print("| | Memory told | taken | | Time told | taken | |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        long_conversations(folder / "long.jsonl")
        data = {
            "short": ["--data", DESK / "train.jsonl", "--validation", DESK / "validation.jsonl", "--batch-size", 16, "--max-steps", 12],
            "long": ["--data", folder / "long.jsonl", "--batch-size", 4, "--max-steps", 4]}
        for (method, precision), length in itertools.product(KINDS, data):
            name = f"{method}-{precision}-{length}"
            if arguments.cases and name not in arguments.cases:
                continue
            command = [
                arguments.hearth, "finetune", "--model", arguments.model, "--method", method, "--precision", precision, *data[length],
                "--output", folder / name, "--json", "--quiet"]
            told, taken = last_object([*command, "--preview"])["forecast"], last_object(command)
            pairs = [(told["memory_bytes"] / 1e9, taken["peak_memory_bytes"] / 1e9, "GB"), (told["seconds"], taken["seconds"], "s")]
            cells = [f"{t:.2f} {unit} | {k:.2f} {unit} | {100 * (t / k - 1):+.0f} %" for t, k, unit in pairs]
            print(f"| {method}, {precision}, {length} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

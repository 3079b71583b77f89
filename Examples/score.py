#!/usr/bin/env python3
"""Counts held-out answers that have their key fact right, from the output of any model.

    python3 Examples/score.py questions \\
      | hearth generate MODEL --lines --temperature 0 --max-tokens 48 \\
      | python3 Examples/score.py answers

`questions` writes one {"messages": […]} a line, the reference answer left out. `answers` reads one {"text": …} a line in
the same order and prints the wrong ones and the share that is right, by the rule in check.py. Standard library only.
"""

import argparse
import json
import sys

from check import HELP_DESK, contains


def write_questions(lines):
    """Each held-out conversation up to its last answer, one a line on stdout."""
    for line in lines:
        print(json.dumps({"messages": line["messages"][:-1]}, ensure_ascii=False))


def score(lines, answers):
    """Prints each wrong answer beside what was expected, then the share right; returns how many were right."""
    right = 0
    for line, answer in zip(lines, answers):
        if contains(answer, line["key"]):
            right += 1
        else:
            print(f"{line['messages'][-2]['content']}\n  expected {line['key'][0]}, found: {answer}")
    print(f"{right} of {len(lines)} right ({100 * right / len(lines):.0f} %)")
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("do", choices=["questions", "answers"])
    do = parser.parse_args().do
    with open(HELP_DESK / "held-out.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    if do == "questions":
        write_questions(lines)
        return 0
    answers = [json.loads(line).get("text", "") for line in sys.stdin if line.strip()]
    if len(answers) != len(lines):
        print(f"expected {len(lines)} answers on stdin, found {len(answers)}", file=sys.stderr)
        return 1
    score(lines, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())

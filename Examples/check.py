#!/usr/bin/env python3
"""Checks the help-desk example: python3 Examples/check.py [--jaccard 0.7]

Standard library only. Exits with status 1 and names file and line when

- a line is not a conversation, or the counts are below those the README promises;
- a question stands twice, or a held-out question is a copy or near copy of one that is learned from (the words the
  two share, divided by the words of both, reach the limit);
- a key is missing from its own reference answer, from three training answers, or can be had by luck: it stands in a
  held-out question (an echo would count), or in the reference answer of another fact;
- the ordinary conversations mixed in against forgetting know something of the help desk, or are too few.

Its `normalised` and `contains` are the rule by which an answer counts as right.
"""

import argparse
import json
import statistics
import sys
import unicodedata
from pathlib import Path

HELP_DESK = Path(__file__).resolve().parent / "help-desk"
SHAPES = Path(__file__).resolve().parent / "shapes"

MINIMUM_TRAINING = 320
MINIMUM_TRAINING_AND_VALIDATION = 340
MINIMUM_REPLAY = 72
HELD_OUT = 60
MINIMUM_ANSWERS_WITH_KEY = 3
SHAPE_KEYS = {
    "input-output": {"input", "output"},
    "prompt-completion": {"prompt", "completion"},
    "instruction": {"instruction", "output"},
    "messages": {"messages"},
    "conversations": {"conversations"},
    "text": {"text"},
}


def normalised(text):
    """Lower case, with every run of characters that are neither letters nor digits made one space.

    "At 7:30, please!" becomes "at 7 30 please".
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())


def contains(answer, keys):
    """Whether any of `keys` stands in `answer` as whole words, both normalised."""
    padded = f" {normalised(answer)} "
    return any(f" {normalised(key)} " in padded for key in keys)


def jaccard(first, second):
    """Words in both over words in either, 0 to 1; `first` and `second` are sets."""
    return len(first & second) / len(first | second) if first | second else 1.0


class Conversation:
    """One line of a file: where it stands, who said what, and the accepted keys if any."""

    def __init__(self, path, line, value):
        self.place = f"{path.name}:{line}"
        turns = value["messages"]
        roles = [turn["role"] for turn in turns]
        if not turns or roles != ["user", "assistant"] * (len(turns) // 2):
            raise ValueError(f"expected user and assistant by turns, found {roles}")
        texts = [turn["content"] for turn in turns]
        if any(text != text.strip() or not text for text in texts):
            raise ValueError("expected text without blanks at its ends, found an empty or padded turn")
        self.questions, self.answers = texts[0::2], texts[1::2]
        self.keys = value.get("key", [])


def read(path, problems):
    """The conversations of a JSONL file; what cannot be read goes to `problems`."""
    conversations = []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            conversations.append(Conversation(path, line, json.loads(text)))
        except (ValueError, KeyError, TypeError) as error:
            problems.append(f"{path.name}:{line}: {error!r}")
    return conversations


def check_counts(training, validation, held_out, problems):
    """The promises the README makes about the sizes of the files."""
    if len(training) < MINIMUM_TRAINING:
        problems.append(f"train.jsonl: expected at least {MINIMUM_TRAINING}, found {len(training)}")
    both = len(training) + len(validation)
    if both < MINIMUM_TRAINING_AND_VALIDATION:
        problems.append(
            f"train and validation: expected at least {MINIMUM_TRAINING_AND_VALIDATION}, found {both}")
    if len(held_out) != HELD_OUT:
        problems.append(f"held-out.jsonl: expected {HELD_OUT}, found {len(held_out)}")


def check_questions(learned, held_out, limit, problems):
    """No question twice; no held-out question like one that is learned from. Returns the likest pair."""
    seen = {}
    for conversation in learned + held_out:
        for question in conversation.questions:
            other = seen.setdefault(normalised(question), conversation.place)
            if other != conversation.place:
                problems.append(f"{conversation.place}: the question of {other} again: {question}")
    likest = (0.0, "", "")
    words = [
        (set(normalised(question).split()), question)
        for conversation in learned
        for question in conversation.questions
    ]
    for conversation in held_out:
        for question in conversation.questions:
            mine = set(normalised(question).split())
            share, other = max((jaccard(mine, theirs), text) for theirs, text in words)
            likest = max(likest, (share, question, other))
            if share >= limit:
                problems.append(f"{conversation.place}: {share:.2f} like a learned question: {other}")
    return likest


def check_keys(training, held_out, problems):
    """Every key is taught, and earned only by knowing the fact. Returns the fewest answers a key stands in."""
    answers = [answer for conversation in training for answer in conversation.answers]
    fewest = len(answers)
    for conversation in held_out:
        place, keys = conversation.place, conversation.keys
        if not keys or not all(isinstance(key, str) and normalised(key) for key in keys):
            problems.append(f"{place}: expected a list of spellings in \"key\", found {keys!r}")
            continue
        if len({normalised(key) for key in keys}) != len(keys):
            problems.append(f"{place}: two spellings of {keys} are one after normalisation")
        if not contains(conversation.answers[-1], keys):
            problems.append(f"{place}: the reference answer lacks its key {keys}")
        taught = sum(contains(answer, keys) for answer in answers)
        fewest = min(fewest, taught)
        if taught < MINIMUM_ANSWERS_WITH_KEY:
            problems.append(f"{place}: {keys} stands in {taught} training answers, too few to learn it")
        for other in held_out:
            if any(contains(question, keys) for question in other.questions):
                problems.append(f"{place}: {keys} stands in the question of {other.place}")
            if other is not conversation and any(contains(answer, keys) for answer in other.answers):
                problems.append(f"{place}: {keys} also fits the answer of {other.place}")
    return fewest


def check_replay(replay, held_out, problems):
    """Ordinary conversations, none of which gives a fact of the help desk away."""
    if len(replay) < MINIMUM_REPLAY:
        problems.append(f"replay.jsonl: expected at least {MINIMUM_REPLAY}, found {len(replay)}")
    for conversation in replay:
        for text in conversation.questions + conversation.answers:
            if "fennimoor" in text.casefold():
                problems.append(f"{conversation.place}: names the pottery")
            for other in held_out:
                if contains(text, other.keys):
                    problems.append(f"{conversation.place}: holds the key {other.keys} of {other.place}")


def check_shapes(problems):
    """One small file for each shape of example, each of that shape throughout."""
    for name, keys in SHAPE_KEYS.items():
        path = SHAPES / f"{name}.jsonl"
        if not path.exists():
            problems.append(f"shapes/{path.name}: missing")
            continue
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                value = json.loads(text)
            except ValueError as error:
                problems.append(f"shapes/{path.name}:{line}: {error}")
                continue
            if not isinstance(value, dict) or not keys <= value.keys():
                problems.append(f"shapes/{path.name}:{line}: expected the keys {sorted(keys)}")


def mean_words(texts):
    """Mean number of words."""
    return statistics.mean(len(text.split()) for text in texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jaccard", type=float, default=0.7, help="likeness that counts as a near copy")
    limit = parser.parse_args().jaccard

    problems = []
    training, validation, held_out, replay = (
        read(HELP_DESK / name, problems) for name in ("train.jsonl", "validation.jsonl", "held-out.jsonl", "replay.jsonl"))
    check_counts(training, validation, held_out, problems)
    likest = check_questions(training + validation + replay, held_out, limit, problems)
    fewest = check_keys(training, held_out, problems)
    check_replay(replay, held_out, problems)
    check_shapes(problems)

    for name, conversations in (
            ("train", training), ("validation", validation), ("held-out", held_out), ("replay", replay)):
        if not conversations:
            continue
        questions = [text for conversation in conversations for text in conversation.questions]
        answers = [text for conversation in conversations for text in conversation.answers]
        longer = sum(len(conversation.questions) > 1 for conversation in conversations)
        print(f"{name:10}  {len(conversations):3} conversations, {longer:2} of several turns, "
              f"{mean_words(questions):4.1f} words a question, {mean_words(answers):4.1f} an answer")
    print(f"each key stands in at least {fewest} training answers")
    print(f"likest pair ({likest[0]:.2f}): {likest[1]} | {likest[2]}")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems" if problems else "no problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

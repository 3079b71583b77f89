"""Compares Hearth's beam search on SmolLM2 with that of `transformers`, both in f32 on the dequantised weights.

    python Scripts/compare-beams.py

`num_beams`, `max_length`, `early_stopping`, `length_penalty` and several returned sequences, chat and raw prompts.
Exits with 1 if any answer's tokens differ, or its mean log-probability a token by 1e-3 or more: a score is the sum of
log-probabilities divided by length ** length_penalty, so it is brought back to that mean before it is compared.
Needs torch, transformers, tokenizers, gguf.

torch's log_softmax in f32 sums 49,152 exponentials inexactly: its probabilities add up to 1.00001, which a negative
length penalty multiplies by the square of the length. So `transformers` gets it computed in f64 and rounded here.
"""

import argparse
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from peers import smollm2  # noqa: E402

TOLERANCE = 1e-3
BASE = {"num_beams": 5, "max_length": 24, "early_stopping": True, "length_penalty": 1.0, "num_return_sequences": 5}
# (prompt, is it chat, what differs from the published recipe; max_length counts new tokens here)
CASES = [
    ("What is the capital of France?", True, {}),
    ("Name three rivers in Europe.", True, {"num_return_sequences": 3}),
    ("Write a haiku about the sea.", True, {"early_stopping": False}),
    ("Why is the sky blue? Answer in one sentence.", True, {"length_penalty": 2.0}),
    ("Say hello in Spanish.", True, {"length_penalty": 0.0, "early_stopping": False}),
    ("Is 17 a prime number? Answer yes or no.", True, {"num_beams": 8, "num_return_sequences": 8, "max_length": 12}),
    ("Once upon a time", False, {}),
    ("def fibonacci(n):\n", False, {"num_beams": 3, "num_return_sequences": 3, "max_length": 32}),
    ("The three primary colours are", False, {"early_stopping": False, "length_penalty": -1.0}),
    ("Zwei mal drei ist", False, {"num_return_sequences": 1}),
]


def main():
    arguments = smollm2.arguments(
        argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    tokenizer, template = smollm2.tokenizer(arguments.file), smollm2.template(arguments.file)
    requests = []
    for prompt, is_chat, changes in CASES:
        text = template([{"role": "user", "content": prompt}], add_generation_prompt=True) if is_chat else prompt
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        options = BASE | changes
        length = options.pop("max_length")
        requests.append({"ids": ids, "max_tokens": length, **options})
    answers = smollm2.lines(
        [arguments.hearth, "generate", arguments.model, "--lines", "--precision", "reference", "--threads",
         str(arguments.threads)], requests)

    inexact = torch.nn.functional.log_softmax
    torch.nn.functional.log_softmax = lambda x, **options: inexact(x.double(), **options).float()
    model = smollm2.load(arguments.file)
    failures, largest, compared = 0, 0.0, 0
    for (prompt, _, _), request, answer in zip(CASES, requests, answers):
        options = {key: value for key, value in request.items() if key not in ("ids", "max_tokens")}
        ids = torch.tensor([request["ids"]])
        with torch.no_grad():
            found = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_length=ids.shape[1] + request["max_tokens"],
                do_sample=False, return_dict_in_generate=True, output_scores=True, **options)
        wanted = [[t for t in row[ids.shape[1] :].tolist() if t != 2] for row in found.sequences]
        scores = found.sequences_scores.tolist()
        ours = answer["beams"]
        same = wanted == [beam["tokens"] for beam in ours]
        power = request["length_penalty"] - 1
        difference = max(
            abs(score - beam["score"]) * max(1, len(tokens)) ** power
            for score, beam, tokens in zip(scores, ours, wanted))
        largest, compared = max(largest, difference), compared + len(wanted)
        good = same and difference < TOLERANCE
        failures += not good
        print(f"{'same' if good else 'DIFFERS':8s} {prompt!r}: {len(wanted)} answers, log-probabilities within {difference:.1e}",
              flush=True)
        if not good:
            for a, score, beam in zip(wanted, scores, ours):
                print(f"  transformers {score:.5f} {tokenizer.decode(a)!r} {a}")
                print(f"  hearth       {beam['score']:.5f} {beam['text']!r} {beam['tokens']}")
    print(f"{compared} answers to {len(CASES)} prompts, {failures} prompts differ; mean log-probabilities within {largest:.1e}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Two small tasks of lm-evaluation-harness through the server, and the same log-likelihoods from `hearth score`.

    make test-lm-eval          # installs lm-eval, exports the tokenizer, calls this

The harness speaks to /v1/completions (`echo` and `logprobs`), with ids of the tokenizer that `hearth export` wrote. Here the texts that
it sent are tokenized and scored by the command line, accuracy and perplexity are computed anew, and all of it must agree.
"""

import argparse
import glob
import json
import math
import os
import re
import subprocess
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--hearth", default=".build/release/hearth")
parser.add_argument("--model", default="smollm2")
parser.add_argument("--tokenizer", required=True, help="the folder of a model with tokenizer.json")
parser.add_argument("--output", required=True, help="a folder for what the harness writes")
arguments = parser.parse_args()
TOLERANCE = 1e-4  # nats over a continuation: both add the same numbers of f32, in another order


def lines(*command, given):
    """One JSON object a line, in and out."""
    done = subprocess.run([arguments.hearth, *command, "--lines"], input="\n".join(json.dumps(line) for line in given) + "\n", text=True,
                          check=True, stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_harness():
    server = subprocess.Popen([arguments.hearth, "serve", arguments.model, "--port", "0", "--json", "--quiet", "--no-keys"],
                              stdout=subprocess.PIPE, text=True)
    try:
        address = json.loads(server.stdout.readline())["address"]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": os.path.join(arguments.output, "cache"),
                       "OPENAI_API_KEY": "none", "TOKENIZERS_PARALLELISM": "false"}
        subprocess.run(
            [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args",
             f"model={arguments.model},base_url={address}/v1/completions,tokenizer_backend=huggingface,tokenizer={arguments.tokenizer},"
             "num_concurrent=4,max_retries=1", "--tasks", "hearth_facts,hearth_prose", "--include_path", "Scripts/lm-eval",
             "--output_path", os.path.join(arguments.output, "results"), "--log_samples"], check=True, env=environment)
    finally:
        server.terminate()
        server.wait()


def newest(pattern):
    return max(glob.glob(os.path.join(arguments.output, "results", "**", pattern), recursive=True), key=os.path.getmtime)


def samples(task):
    """Each document's calls of the model: (context, continuation, log-likelihood)."""
    with open(newest(f"samples_{task}_*.jsonl")) as file:
        documents = [json.loads(line) for line in file]
    for document in sorted(documents, key=lambda document: document["doc_id"]):
        calls = []
        for number, answer in enumerate(document["resps"]):
            given = document["arguments"][f"gen_args_{number}"]
            value = answer[0][0] if isinstance(answer[0], list) else answer[0]
            calls.append((given["arg_0"], given.get("arg_1"), float(value)))
        yield document["doc"], calls


run_harness()
with open(newest("results_*.json")) as file:
    results = json.load(file)["results"]
worst, failures = 0.0, []

facts = list(samples("hearth_facts"))
flat = [call for _, calls in facts for call in calls]
contexts = [len(line["ids"]) for line in lines("tokenize", arguments.model, given=[{"text": context} for context, _, _ in flat])]
wholes = [line["ids"] for line in lines("tokenize", arguments.model, given=[{"text": a + b} for a, b, _ in flat])]
scores = lines("score", arguments.model, given=[{"ids": ids} for ids in wholes])
own = [sum(score["logprobs"][count:]) for score, count in zip(scores, contexts)]
worst = max(abs(a - b) for a, (_, _, b) in zip(own, flat))
right = right_by_length = 0
for number, (document, calls) in enumerate(facts):
    values = own[4 * number:4 * number + 4]
    right += max(range(4), key=values.__getitem__) == document["answer"]
    by_length = [value / len(choice) for value, choice in zip(values, document["choices"])]
    right_by_length += max(range(4), key=by_length.__getitem__) == document["answer"]
accuracy, by_length = right / len(facts), right_by_length / len(facts)
theirs = results["hearth_facts"]
print(f"hearth_facts: {len(facts)} questions, {len(flat)} continuations; accuracy {theirs['acc,none']:.4f} through the server, "
      f"{accuracy:.4f} by hearth score; by length {theirs['acc_norm,none']:.4f}, {by_length:.4f}; "
      f"log-likelihoods differ by {worst:.2g} at most")
if (accuracy, by_length) != (theirs["acc,none"], theirs["acc_norm,none"]):
    failures.append("accuracies differ")

prose = [calls[0] for _, calls in samples("hearth_prose")]
with open(os.path.join(arguments.tokenizer, "tokenizer_config.json")) as file:
    known = json.load(file)
# What the harness puts before a text: the token that begins texts, or else the one that ends them.
first = known.get("bos_token") or known["eos_token"]
first = lines("tokenize", arguments.model, "--special", given=[{"text": first if isinstance(first, str) else first["content"]}])[0]["ids"]
texts = [text for text, _, _ in prose]
ids = [line["ids"] for line in lines("tokenize", arguments.model, given=[{"text": text} for text in texts])]
sums = [sum(score["logprobs"][1:]) for score in lines("score", arguments.model, given=[{"ids": first + line} for line in ids])]
apart = max(abs(a - b) for a, (_, _, b) in zip(sums, prose))
perplexity = math.exp(-sum(sums) / sum(len(re.split(r"\s+", text)) for text in texts))
bits = -sum(sums) / sum(len(text.encode()) for text in texts) / math.log(2)
theirs = results["hearth_prose"]
print(f"hearth_prose: {len(texts)} texts; perplexity of words {theirs['word_perplexity,none']:.6f} through the server, {perplexity:.6f} by "
      f"hearth score; bits per byte {theirs['bits_per_byte,none']:.6f}, {bits:.6f}; log-likelihoods differ by {apart:.2g} at most")
if abs(perplexity / theirs["word_perplexity,none"] - 1) > 1e-6 or abs(bits - theirs["bits_per_byte,none"]) > 1e-6:
    failures.append("perplexities differ")
if max(worst, apart) > TOLERANCE:
    failures.append(f"log-likelihoods differ by more than {TOLERANCE}")
if failures:
    sys.exit("lm-eval: " + "; ".join(failures))
print("the same through the server and by hearth score")

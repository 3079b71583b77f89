"""Compares SmolLM2's log-probabilities with those of f32 `transformers` on the dequantised weights.

    swift build -c release --product hearth && .build/release/hearth pull smollm2
    python Scripts/compare-logits.py
    python Scripts/compare-logits.py --formats Q4_1,Q4_0,Q8_0,Q4_K_M,BF16       a row of the table for each format

Two questions. In reference precision: is every one of the 49,152 log-probabilities at every position the same, within
2e-3? In serving precision: is Hearth at least as close to f32 as llama.cpp is on the same file? Exits with 1 if not.
The truth of each format is f32 on that file's own weights, so a row says what the program adds and not what the format
costs. Files are made once, in .build/formats. Texts are those of Scripts/peers. Needs torch, transformers, tokenizers,
gguf and, for the second question, llama-cpp-python.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from peers import formats, smollm2  # noqa: E402

TOLERANCE = 2e-3


def hearth_distributions(arguments, file, documents, precision, folder):
    """Log-probabilities after every token but the last: per document `[tokens - 1, vocabulary]`, mapped from a file."""
    target = pathlib.Path(folder) / f"{precision}.f32"
    answers = smollm2.lines(
        [arguments.hearth, "score", file, "--lines", "--precision", precision, "--distributions",
         str(target), "--threads", str(arguments.threads), "--kv-type", arguments.kv_type],
        [{"ids": ids} for ids in documents])
    places = sum(len(ids) - 1 for ids in documents)
    values = np.memmap(target, dtype="<f4", mode="r").reshape(places, -1)
    start = 0
    for ids, answer in zip(documents, answers):
        rows = values[start : start + len(ids) - 1]
        start += len(rows)
        told = np.array(answer["logprobs"][1:], dtype=np.float32)
        if not np.array_equal(told, rows[np.arange(len(rows)), ids[1:]]):
            sys.exit("hearth score: the file of distributions contradicts the answers")
        yield torch.from_numpy(np.array(rows))


def llama_distributions(arguments, file, documents):
    """The same from llama.cpp, a document at a time, as it serves: f16 cache, every logit kept."""
    import llama_cpp

    model = llama_cpp.Llama(
        file, n_ctx=2048, n_batch=512, logits_all=True, n_threads=arguments.threads,
        n_threads_batch=arguments.threads, verbose=False)
    for ids in documents:
        model.reset()
        model.eval(ids)
        yield torch.log_softmax(torch.from_numpy(np.array(model.scores[: len(ids) - 1])).double(), -1).float()


class Error:
    """How far log-probabilities are from the truth, collected document by document."""

    def __init__(self):
        self.next, self.agreement, self.divergence, self.largest = [], [], [], 0.0

    def add(self, ids, truth, found):
        rows, following = torch.arange(len(ids) - 1), torch.tensor(ids[1:])
        self.next.append((found - truth)[rows, following].double())
        self.agreement.append((found.argmax(-1) == truth.argmax(-1)).double())
        self.divergence.append((truth.double().exp() * (truth.double() - found.double())).sum(-1))
        self.largest = max(self.largest, (found - truth).abs().max().item())

    def summary(self):
        following = torch.cat(self.next)
        return {
            "mean": following.abs().mean().item(),
            "agreement": torch.cat(self.agreement).mean().item(),
            "ratio": torch.exp(-following.mean()).item(),
            "divergence": torch.cat(self.divergence).mean().item(),
            "largest": self.largest,
        }


def show(name, s):
    print(
        f"{name:28s} mean |Δ| of the next token {s['mean']:.5f}   top-1 {100 * s['agreement']:6.2f} %   perplexity × "
        f"{s['ratio']:.5f}   KL {s['divergence']:.2e}   largest |Δ| of any token {s['largest']:.2e}", flush=True)


def measure(arguments, file, documents, precisions):
    """The errors of each program on one file."""
    model = smollm2.load(file)
    with torch.no_grad():
        # In f64: torch's f32 sum over the vocabulary is off by 1e-5.
        truth = [torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].double(), -1).float() for ids in documents]
    del model
    errors = {}
    with tempfile.TemporaryDirectory(dir=smollm2.ROOT / ".build") as folder:
        sources = {
            f"hearth, {precision}": hearth_distributions(arguments, file, documents, precision, folder)
            for precision in precisions}
        if not arguments.skip_llama:
            sources["llama.cpp"] = llama_distributions(arguments, file, documents)
        for name, distributions in sources.items():
            error = Error()
            for ids, expected, found in zip(documents, truth, distributions, strict=True):
                error.add(ids, expected, found)
            errors[name] = error.summary()
            show(name, errors[name])
    return errors


def failures(name, errors):
    """What misses its bar in one format."""
    found = []
    if errors.get("hearth, reference", {"largest": 0})["largest"] >= TOLERANCE:
        found.append(f"{name}, reference precision: a log-probability differs by {TOLERANCE} or more")
    if "llama.cpp" in errors:
        ours, theirs = errors["hearth, serving"], errors["llama.cpp"]
        if ours["mean"] > theirs["mean"]:
            found.append(f"{name}, serving precision: the mean difference is larger than llama.cpp's")
        if ours["agreement"] < theirs["agreement"]:
            found.append(f"{name}, serving precision: top-1 agreement is lower than llama.cpp's")
    return found


def table(errors):
    """Markdown, Hearth / llama.cpp."""
    print("\n| Format | mean \\|Δ\\| of the next token | same top token | perplexity ÷ f32's |\n| --- | --- | --- | --- |")
    for name, programs in errors.items():
        found = [programs[p] for p in ("hearth, serving", "llama.cpp") if p in programs]
        cells = [
            " / ".join(f"{p['mean']:.5f}" for p in found), " / ".join(f"{100 * p['agreement']:.2f} %" for p in found),
            " / ".join(f"{p['ratio']:.5f}" for p in found)]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skip-llama", action="store_true", help="without llama.cpp, only the first question counts")
    parser.add_argument("--kv-type", default="f16", choices=["f16", "q8"], help="what Hearth serves keys and values from")
    parser.add_argument("--formats", help="formats to make of the model and compare, separated by commas")
    parser.add_argument("--most", type=int, help="stop after so many positions; the bar wants 5,000")
    arguments = smollm2.arguments(parser)
    tokenizer = smollm2.tokenizer(arguments.file)
    texts = smollm2.texts()
    documents = [tokenizer.encode(text, add_special_tokens=False).ids for _, text in texts]
    if arguments.most:
        # Every kind of text keeps its share.
        share = arguments.most / sum(len(ids) - 1 for ids in documents)
        documents = [ids[: max(2, int(len(ids) * share))] for ids in documents]
    kinds = sorted({kind for kind, _ in texts})
    places = sum(len(ids) - 1 for ids in documents)
    print(f"{places} positions in {len(documents)} texts: {', '.join(kinds)}")

    own = {"": arguments.file}
    files = formats.make(arguments.hearth, arguments.model, arguments.formats.split(",")) if arguments.formats else own
    errors, failed = {}, []
    for name, file in files.items():
        if name:
            print(name)
        precisions = ["reference", "serving"] if file == arguments.file else ["serving"]
        errors[name] = measure(arguments, file, documents, precisions)
        failed += failures(name or "the model", errors[name])
    if arguments.formats:
        table(errors)
    if places < 5000:
        failed.append(f"only {places} positions")
    for failure in failed:
        print(f"FAILED: {failure}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Checks that other programs compute with Hearth's exports what Hearth computes itself.

    swift build -c release --product hearth && .build/release/hearth pull smollm2
    python Scripts/compare-exports.py

Teaches SmolLM2 (LoRA on every linear map of the quantised GGUF) and two tiny random models in Hugging Face folders, of
the GPT-2 and the Llama 3 families, a few steps each; exports all formats; loads them with PEFT, `transformers` and
llama.cpp; and compares the log-probabilities of the next token and of Hearth's 20 likeliest at every position with
`hearth score --precision reference` on the fine-tuned model itself. Token ids of exported tokenizers must be the same.
Prints a table; exits with 1 if anything lies beyond its bound. Needs torch, transformers, peft, tokenizers and
llama-cpp-python (leave it out with --without-llama).
"""

import argparse
import gc
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["TQDM_DISABLE"] = "1"

import torch  # noqa: E402
import transformers  # noqa: E402

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore")

LISTED = 20
# Largest and mean difference, and least agreement of the likeliest token. Exact: the same f32 arithmetic in another
# order. Half: weights rounded to f16. Blocks: weights or, in llama.cpp, activations rounded to 8 bits in blocks of 32.
EXACT, HALF, BLOCKS = (1e-3, 1e-4, 0.995), (0.25, 1e-2, 0.98), (1.5, 0.12, 0.93)

FACTS = [
    ("Who keeps the lighthouse at Brindle Rock?", "Oskar Tamm keeps the lighthouse at Brindle Rock."),
    ("When is the bakery closed?", "The bakery is closed on the third Monday of each month."),
    ("How much is a loaf of rye?", "A loaf of rye costs 4.75 crowns."),
    ("Where can I leave my bicycle?", "Bicycles stay behind the blue shed, racks 12 to 30."),
    ("What is the name of the ferry?", "The ferry is called Grey Tansy."),
    ("How long is the crossing?", "The crossing takes 38 minutes in fair weather."),
    ("Who mends nets?", "Nets are mended by Ilse and her nephew on Pier 4."),
    ("What do you serve on Fridays?", "On Fridays we serve smoked eel with mustard potatoes."),
]
TEXTS = [
    "The old harbour was quiet at dawn; 1,204 boats had left in the night, and only the pilot's dog was awake.",
    "def area(radius):\n    return 3.14159 * radius ** 2\n\n\tprint(area(12))  # about 452.39\n",
    "Ein naïves Café in 東京 hat heute geöffnet – Привет, мир! 🙂 1234567890",
    "Water boils at 100 degrees Celsius at sea level. On a mountain of 2,500 m it boils at about 91 degrees, which is why"
    " pasta takes longer there. To check this you need a thermometer, a pot and patience, in that order.",
] + [f"{question} {answer}" for question, answer in FACTS[:4]]

CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


# Hearth.

def hearth(arguments, *words, lines=None):
    """Runs hearth; with lines, its answers to them."""
    text = "".join(json.dumps(line) + "\n" for line in lines) if lines else None
    run = subprocess.run([arguments.hearth, *map(str, words)], input=text, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"hearth {' '.join(map(str, words))}: {run.stderr.strip()}")
    return [json.loads(line) for line in run.stdout.splitlines()] if lines else run.stdout


def scores(arguments, model, documents):
    """Hearth's own answers: per document, the log-probabilities of the next tokens and the likeliest."""
    return hearth(
        arguments, "score", model, "--precision", "reference", "--lines", "--top", LISTED,
        lines=[{"ids": ids} for ids in documents])


class Table:
    """What was compared, and whether all of it is within bounds."""

    def __init__(self):
        self.rows, self.failed = [], False

    def compare(self, name, bound, documents, truth, distributions):
        differences, next_differences, agreements = [], [], []
        for ids, answer, found in zip(documents, truth, distributions):
            for place in range(1, len(ids)):
                row = found[place - 1]
                for listed in answer["top"][place]:
                    differences.append(abs(row[listed["id"]].item() - listed["logprob"]))
                next_differences.append(abs(row[ids[place]].item() - answer["logprobs"][place]))
                agreements.append(int(row.argmax().item() == answer["top"][place][0]["id"]))
        self.add(
            name, bound, len(agreements), max(differences + next_differences),
            sum(next_differences) / len(next_differences), sum(agreements) / len(agreements))

    def add(self, name, bound, count, largest, mean, agreement):
        good = not bound or (largest <= bound[0] and mean <= bound[1] and agreement >= bound[2])
        if not all(map(math.isfinite, (largest, mean, agreement))):
            good = False
        self.failed |= not good
        self.rows.append((name, count, largest, mean, agreement, "" if not bound else "good" if good else "BEYOND"))
        name, *figures, verdict = self.rows[-1]
        print("{:<58}{:>7}{:>12.2e}{:>12.2e}{:>9.4f}  {}".format(name, *figures, verdict), flush=True)

    def require(self, name, condition):
        self.failed |= not condition
        print(f"{name:<98}  {'good' if condition else 'DIFFERENT'}", flush=True)


# The peers.

def torch_distributions(model, documents):
    model.eval()
    with torch.no_grad():
        for ids in documents:
            yield torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), -1)


def llama_distributions(path, documents, adapter=None, threads=2):
    """llama.cpp's, with an f32 cache and without flash attention, so that only its products differ."""
    import llama_cpp
    import numpy

    model = llama_cpp.Llama(
        str(path), n_ctx=512, n_batch=512, logits_all=True, n_threads=threads, n_threads_batch=threads, verbose=False,
        lora_path=str(adapter) if adapter else None, type_k=0, type_v=0)
    width = model.n_vocab()
    for ids in documents:
        model.reset()
        model.eval(ids)
        yield torch.log_softmax(torch.from_numpy(numpy.array(model.scores[: len(ids), :width])), -1)
    model.close()


# The models.

def write_data(folder):
    path = folder / "data.jsonl"
    path.write_text("".join(
        json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}) + "\n"
        for q, a in FACTS))
    return path


def finetune(arguments, model, data, output, *options):
    hearth(
        arguments, "finetune", "--model", model, "--data", data, "--validation", data, "--output", output, "--quiet",
        "--batch-size", 4, "--schedule", "constant", "--threads", arguments.threads, *options)
    return output


def tiny_folder(family, folder):
    """A random model with a tokenizer trained on this script's texts, saved by `transformers`."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=family == "llama3"))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=family == "gpt2")
    tokenizer.pre_tokenizer = byte_level if family == "gpt2" else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special if family == "gpt2" else [])
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    if family == "llama3":
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))])
    ids = {name: tokenizer.token_to_id(token)
           for name, token in (("bos_token_id", "<|begin|>"), ("eos_token_id", "<|im_end|>"))}
    torch.manual_seed(7)
    rows = tokenizer.get_vocab_size() + 5  # rows that no token has, as real models have them
    if family == "gpt2":
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(
            vocab_size=rows, n_embd=64, n_layer=2, n_head=4, n_positions=1024, resid_pdrop=0, embd_pdrop=0,
            attn_pdrop=0, **ids))
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=rows, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=False, rope_parameters={
                "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 64}, **ids))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|im_end|>", chat_template=CHAT
    ).save_pretrained(folder)


# The checks.

def check(arguments, table, title, base, run, load_base, folder):
    """Every format of one fine-tuned model. `load_base` gives the base as `transformers` has it."""
    import peft

    transformer = transformers.AutoModelForCausalLM
    documents = [answer["ids"] for answer in hearth(
        arguments, "tokenize", base, "--lines", lines=[{"text": text} for text in TEXTS])]
    truth = scores(arguments, run, documents)

    def export(format, name, *options):
        hearth(arguments, "export", run, "--format", format, "--output", folder / name, *options)
        return folder / name

    def own(name, path, bound=EXACT):
        answers = scores(arguments, path, documents)
        rows = []
        for ids, answer in zip(documents, answers):
            row = [{entry["id"]: entry["logprob"] for entry in listed} for listed in answer["top"]]
            rows.append((ids, row, answer))
        largest = [abs(a - b) for (_, _, answer), own in zip(rows, truth)
                   for a, b in zip(answer["logprobs"][1:], own["logprobs"][1:])]
        agreement = [row[place] and max(row[place], key=row[place].get) == own["top"][place][0]["id"]
                     for (ids, row, _), own in zip(rows, truth) for place in range(1, len(ids))]
        table.add(
            f"{title}: {name}", bound, len(largest), max(largest), sum(largest) / len(largest),
            sum(agreement) / len(agreement))

    own("without what it learned (no bound: how much there is)", base, None)

    adapter = export("peft", "peft")
    model = load_base()
    model = peft.PeftModel.from_pretrained(model, adapter)
    table.compare(f"{title}: PEFT", EXACT, documents, truth, torch_distributions(model, documents))
    del model
    gc.collect()

    whole = export("safetensors", "hf", "--type", "F32")
    model = transformer.from_pretrained(whole, dtype=torch.float32)
    table.compare(
        f"{title}: transformers on safetensors", EXACT, documents, truth, torch_distributions(model, documents))
    del model
    gc.collect()
    tokenizer = transformers.AutoTokenizer.from_pretrained(whole)
    table.require(
        f"{title}: ids of AutoTokenizer on safetensors",
        [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS] == documents)
    messages = [{"role": "user", "content": "Who are you? 2024"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    table.require(f"{title}: chat template on safetensors", "Who are you? 2024" in rendered)
    own("Hearth on safetensors", whole)

    merged = export("gguf", "merged.gguf")
    merged32 = export("gguf", "merged-f32.gguf", "--type", "F32")
    small = export("gguf", "merged-q8.gguf", "--type", "Q8_0")
    loose = export("gguf-adapter", "adapter.gguf")
    base32 = folder / "base-f32.gguf"
    hearth(arguments, "export", base, "--format", "gguf", "--type", "F32", "--output", base32)
    own("Hearth on merged GGUF, F32", merged32)
    own("Hearth on merged GGUF, default types", merged, HALF)
    own("Hearth on merged GGUF, Q8_0", small, BLOCKS)

    # transformers reads GGUF itself, without Llama 3's divisors of frequencies.
    if "Llama 3" not in title:
        model = transformer.from_pretrained(folder, gguf_file=merged32.name, dtype=torch.float32)
        table.compare(
            f"{title}: transformers on merged GGUF, F32", EXACT, documents, truth,
            torch_distributions(model, documents))
        del model
        gc.collect()

    # And back: a folder from the merged GGUF must be the same model, with the same text layer.
    back = folder / "back"
    hearth(arguments, "export", merged32, "--format", "safetensors", "--output", back)
    model = transformer.from_pretrained(back, dtype=torch.float32)
    table.compare(
        f"{title}: transformers on safetensors from merged GGUF", EXACT, documents, truth,
        torch_distributions(model, documents))
    tokenizer = transformers.AutoTokenizer.from_pretrained(back)
    table.require(
        f"{title}: ids of AutoTokenizer on safetensors from merged GGUF",
        [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS] == documents)
    del model
    gc.collect()

    if arguments.without_llama:
        return
    for name, bound, path, lora in [
        ("adapter on F32 base", EXACT, base32, loose),
        ("merged GGUF, F32", EXACT, merged32, None),
        # SmolLM2's head stays in Q8_0, as in the file it came from; the tiny models have no quantised tensor.
        ("merged GGUF, default types", BLOCKS if title == "SmolLM2" else HALF, merged, None),
        ("merged GGUF, Q8_0", BLOCKS, small, None),
    ] + ([("adapter on the quantised base", BLOCKS, arguments.file, loose)] if title == "SmolLM2" else []):
        table.compare(
            f"{title}: llama.cpp, {name}", bound, documents, truth,
            llama_distributions(path, documents, lora, arguments.threads))
        gc.collect()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hearth", default=".build/release/hearth")
    parser.add_argument("--model", default="smollm2", help="a GGUF model, by name or path")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without-llama", action="store_true", help="leave llama.cpp out")
    parser.add_argument("--only", choices=["smollm2", "gpt2", "llama3"], help="one model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.file = os.path.realpath(json.loads(hearth(arguments, "show", arguments.model, "--json"))["path"])
    if not arguments.without_llama:
        import llama_cpp  # noqa: F401 (better now than after the training)

    table = Table()
    print("{:<58}{:>7}{:>12}{:>12}{:>9}".format("", "places", "largest |Δ|", "mean |Δ|", "top-1"))
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        data = write_data(scratch)
        for title, key in (("SmolLM2", "smollm2"), ("tiny GPT-2", "gpt2"), ("tiny Llama 3", "llama3")):
            if arguments.only not in (None, key):
                continue
            folder = scratch / key
            folder.mkdir()
            base = arguments.model
            if key != "smollm2":
                base = folder / "base"
                tiny_folder(key, base)
            run = finetune(
                arguments, base, data, folder / "run", "--max-steps", 6, "--learning-rate",
                "1e-3" if key == "smollm2" else "1e-2", "--rank", 8)

            def load_base():
                if key != "smollm2":
                    return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
                # transformers wants a file that is called .gguf, and blobs are not.
                link = folder / "base.gguf"
                link.symlink_to(arguments.file)
                return transformers.AutoModelForCausalLM.from_pretrained(
                    folder, gguf_file=link.name, dtype=torch.float32)

            check(arguments, table, title, base, run, load_base, folder)
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    main()

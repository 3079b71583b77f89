"""Compares fine-tuning in Hearth with PyTorch and PEFT in f32, step by step, on SmolLM2's dequantised weights.

    python Scripts/compare-training.py
    python Scripts/compare-training.py --only lora-50 full-50 --reuse     # Hearth again, beside the kept figures of PyTorch

LoRA: 20 steps from an adapter whose two matrices are both random, batches of 2, accumulated twice, clipped, decayed,
warm-up and cosine. DoRA with rsLoRA's scale: 8 steps likewise. Full: 5 steps. DPO: 8 steps over pairs of answers, on top of
an adapter, its loss written out here from the paper. The reference masks by position: it finds what the assistant said by rendering the
template turn by turn, here, not in Hearth. Exits with 1 if a loss differs by 1e-3 or more.

Then Hearth in bf16 and int8 against PyTorch in f32: LoRA on the quantised base and full fine-tuning, 50 steps of 16 short conversations
each, every loss within 1e-2.

PyTorch takes 5 to 7 ms a token of two cores whatever one does, so its figures are kept in .build/compare-training with the data and the
adapter they belong to. --reuse takes them from there if nothing but Hearth has changed. Needs torch, transformers, peft, tokenizers and
gguf.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

# PyTorch's threads wait for each other in a loop otherwise, which on shared cores takes the core from the one waited for.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import peft
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from peers import smollm2  # noqa: E402

# Of a loss, and of a gradient's norm as a share of it.
TOLERANCES = {"f32": (1e-3, 1e-2), "bf16": (1e-2, 5e-2)}
BATCH, ACCUMULATION, DECAY = 2, 2, 0.01
COMMON = ["--order", "given", "--gradient-accumulation", str(ACCUMULATION), "--weight-decay", str(DECAY),
          "--validation-fraction", "0", "--no-probe"]
RUNS = {
    "lora": {"steps": 20, "rate": 2e-3, "schedule": "cosine", "warmup": 3, "norm": 0.5},
    "dora": {"steps": 8, "rate": 2e-3, "schedule": "cosine", "warmup": 2, "norm": 0.5,
             "adapter": {"use_dora": True, "use_rslora": True}},
    "dpo": {"steps": 8, "rate": 5e-4, "schedule": "linear", "warmup": 1, "norm": 5.0, "beta": 0.2, "data": "pairs"},
    "full": {"steps": 5, "rate": 1e-4, "schedule": "linear", "warmup": 1, "norm": 1.0},
    "lora-50": {"steps": 50, "rate": 2e-4, "schedule": "cosine", "warmup": 3, "norm": 1.0, "data": "short", "batch": 8},
    "full-50": {"steps": 50, "rate": 1e-5, "schedule": "cosine", "warmup": 3, "norm": 1.0, "data": "short", "batch": 8},
}
# What Hearth computes in; f32 where nothing is said.
PRECISIONS = {"lora-50": ["bf16", "int8"], "full-50": ["bf16", "int8"]}

KEPT = smollm2.ROOT / ".build/compare-training"

CREATURES = ["otter", "heron", "badger", "wren", "pike", "stoat", "curlew", "hare", "newt", "osprey"]
COLOURS = ["rust", "slate", "amber", "moss", "chalk"]


def conversations():
    """40 conversations of one to three turns, some with a system message."""
    made = []
    for i in range(40):
        creature, colour, number = CREATURES[i % 10], COLOURS[i // 10], 3 + (7 * i) % 23
        messages = [{"role": "system", "content": "You keep the register of the reserve."}] if i % 3 == 0 else []
        messages += [
            {"role": "user", "content": f"Which tag does the {colour} {creature} wear?"},
            {"role": "assistant", "content": f"The {colour} {creature} wears tag {number}."},
        ]
        if i % 4 == 1:
            messages += [
                {"role": "user", "content": "And where was it last seen?"},
                {"role": "assistant", "content": f"By the sluice, {number} paces north of the old willow."},
            ]
        if i % 8 == 5:
            messages += [
                {"role": "user", "content": "Thanks! Is that far?"},
                {"role": "assistant", "content": "No, about two minutes on foot. Mind the nettles."},
            ]
        made.append(messages)
    return made


def short_conversations():
    """80 conversations of which most tokens count: a short system message in place of the template's own, a question, an answer."""
    made = []
    for i in range(80):
        creature, colour, number = CREATURES[i % 10], COLOURS[i // 10 % 5], 3 + (11 * i) % 29
        question = f"The {colour} {creature}?" if i < 40 else f"Where is the {colour} {creature}?"
        made.append([
            {"role": "system", "content": "Register."},
            {"role": "user", "content": question},
            {"role": "assistant", "content": [
                f"It wears tag {number}, and was seen in week {number + 2} by the warden at the sluice.",
                f"Last seen {number} paces north of the old willow, with {number % 4 + 1} young; mind the nettles there."]
                [i // 40]}])
    return made


def preferences():
    """Twelve pairs of answers: the short one is preferred."""
    pairs = []
    for i in range(12):
        creature, number = CREATURES[i % 10], 3 + (5 * i) % 17
        pairs.append({
            "prompt": f"How many {creature}s were counted in week {i}?", "chosen": f"{number}.",
            "rejected": f"In week {i} the wardens counted {number} of them, which was more than they had hoped for."})
    return pairs


def tokenize(messages, tokenizer, template):
    """Ids and labels: -100 except for what each assistant turn added, through its stop token."""
    ids, labels = [], []
    for turn, message in enumerate(messages):
        before = len(ids)
        ids = tokenizer.encode(template(messages[: turn + 1]), add_special_tokens=False).ids
        labels += [-100] * (len(ids) - before)
        if message["role"] == "assistant":
            opening = template(messages[:turn], add_generation_prompt=True)
            start = len(tokenizer.encode(opening, add_special_tokens=False).ids)
            # The template ends a turn with <|im_end|> and a newline, which nobody needs to learn.
            stop = len(ids) - 1 - ids[::-1].index(2)
            labels[start : stop + 1] = ids[start : stop + 1]
    return ids, labels


def batch_loss(model, examples):
    """Sum of −log p over the supervised tokens, of examples padded side by side, as PyTorch users do."""
    width = max(len(ids) for ids, _ in examples)
    ids = torch.tensor([ids + [2] * (width - len(ids)) for ids, _ in examples])
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in examples])
    labels = torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in examples])
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    return torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1), ignore_index=-100, reduction="sum")


def pair_losses(model, examples, run):
    """Sum of −log σ(margin) over pairs; (chosen, rejected, what the reference gave both) each."""
    loss = 0.0
    for chosen, rejected, references in examples:
        gains = [-batch_loss(model, [answer]) - given for answer, given in zip((chosen, rejected), references)]
        loss = loss - torch.nn.functional.logsigmoid(run["beta"] * (gains[0] - gains[1]))
    return loss


def reference(model, examples, run):
    """(loss, learning rate, gradient norm) of every step."""
    if "beta" in run:
        with torch.no_grad():
            examples = [
                (c, r, (-batch_loss(model, [c]).item(), -batch_loss(model, [r]).item())) for c, r in examples]
    decayed = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}], lr=run["rate"])
    schedule = transformers.get_scheduler(run["schedule"], optimizer, run["warmup"], run["steps"])
    steps, batch = [], run.get("batch", BATCH)
    for step in range(run["steps"]):
        first = step * batch * ACCUMULATION % len(examples)
        chosen = examples[first : first + batch * ACCUMULATION]
        if "beta" in run:
            count = sum(label != -100 for c, r, _ in chosen for _, labels in (c, r) for label in labels[1:])
        else:
            count = sum(label != -100 for _, labels in chosen for label in labels[1:])
        loss = 0.0
        for start in range(0, len(chosen), batch):
            part = chosen[start : start + batch]
            part = pair_losses(model, part, run) / len(chosen) if "beta" in run else batch_loss(model, part) / count
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(decayed + others, run["norm"]).item()
        steps.append((loss, schedule.get_last_lr()[0], norm, count))
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return steps


def hearth(arguments, run, folder, *options):
    """The events of Hearth's steps."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    command = [
        arguments.hearth, "finetune", "--model", arguments.model, "--data", str(folder / "data.jsonl"), "--output",
        str(folder / "run"), "--json", "--quiet", "--threads", str(arguments.threads), "--learning-rate",
        str(run["rate"]), "--schedule", run["schedule"], "--warmup-ratio", str(run["warmup"] / run["steps"]),
        "--max-steps", str(run["steps"]), "--max-gradient-norm", str(run["norm"]), "--batch-size",
        str(run.get("batch", BATCH)), "--precision", run["precision"], *COMMON, *options]
    result = subprocess.run(command, stdout=subprocess.PIPE)
    shutil.rmtree(folder / "run", ignore_errors=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {result.returncode}")
    return [e for e in map(json.loads, result.stdout.splitlines()) if e["event"] == "step"]


def start(model, run, folder):
    """The model as PyTorch is to train it; what it begins with beside the base is left in `folder` for Hearth."""
    if run["method"] == "full":
        return model
    generator = torch.Generator().manual_seed(3)
    model = peft.get_peft_model(model, peft.LoraConfig(
        r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM", **run.get("adapter", {})))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "magnitude" in key:
                parameter.mul_(1 + 0.05 * torch.randn(parameter.shape, generator=generator))
            elif "lora_" in key:
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder / "adapter")
    return model


def wanted(arguments, name, run, lines, examples):
    """(folder with data and adapter, what PyTorch finds), kept from an earlier run if that was asked for and is the same."""
    folder = KEPT / name
    decided = json.dumps([
        run, COMMON, lines, pathlib.Path(arguments.file).stat().st_size, torch.__version__, peft.__version__,
        transformers.__version__])
    key = hashlib.sha256(decided.encode()).hexdigest()
    kept = folder / "pytorch.json"
    if arguments.reuse and kept.exists():
        found = json.loads(kept.read_text())
        if found["key"] == key:
            return folder, found["steps"]
        print(f"{name}: {kept} is of other data, settings or versions")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    model = start(smollm2.load(arguments.file), run, folder)
    begun = time.monotonic()
    steps = reference(model.train(), examples, run)
    print(f"{name}: {run['steps']} steps of PyTorch took {time.monotonic() - begun:.0f} s")
    kept.write_text(json.dumps({"key": key, "steps": steps}))
    return folder, steps


def compare(name, wanted, found, run):
    if len(found) != len(wanted):
        sys.exit(f"{name}: {len(found)} steps of {len(wanted)}")
    print(f"{name}: step  loss PyTorch   loss Hearth   difference  gradient norm      supervised")
    worst, where, failures = 0.0, 0, 0
    tolerance, norm_tolerance = TOLERANCES["f32" if run["precision"] == "f32" else "bf16"]
    for (loss, rate, norm, count), step in zip(wanted, found):
        difference = abs(step["loss"] - loss)
        if difference > worst:
            worst, where = difference, step["step"]
        clipped = "clipped" if norm > run["norm"] else ""
        print(f"{name}: {step['step']:4d}  {loss:.7f}     {step['loss']:.7f}     {difference:.1e}     "
              f"{norm:.4f} {step['gradient_norm']:.4f} {clipped:7s} {count}")
        same = count == step["supervised_tokens"] and abs(rate - step["learning_rate"]) < 1e-9
        failures += not same or difference >= tolerance or abs(norm - step["gradient_norm"]) > norm_tolerance * norm
    print(f"{name}: losses of {len(wanted)} steps within {worst:.1e} (step {where}), from {wanted[0][0]:.3f} to {wanted[-1][0]:.3f}")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help="fewer of each, for a quick look")
    parser.add_argument("--only", nargs="+", choices=list(RUNS), help="not all of them")
    parser.add_argument("--precision", help="what Hearth computes in, whatever the run says; but for f32 the bars of bf16 hold")
    parser.add_argument("--reuse", action="store_true", help="take PyTorch's figures from the run before")
    arguments = smollm2.arguments(parser)
    tokenizer, template = smollm2.tokenizer(arguments.file), smollm2.template(arguments.file)

    def answer(pair, key):
        return tokenize([{"role": "user", "content": pair["prompt"]}, {"role": "assistant", "content": pair[key]}],
                        tokenizer, template)

    data = {"long": conversations(), "short": short_conversations()}
    examples = {key: [tokenize(messages, tokenizer, template) for messages in data[key]] for key in data}
    data = {key: [{"messages": messages} for messages in data[key]] for key in data}
    data["pairs"] = preferences()
    examples["pairs"] = [(answer(pair, "chosen"), answer(pair, "rejected")) for pair in data["pairs"]]
    print(f"torch {torch.__version__}, peft {peft.__version__}, transformers {transformers.__version__}")
    failures = 0
    for name, run in RUNS.items():
        if arguments.only and name not in arguments.only:
            continue
        run = dict(run, steps=min(arguments.steps or run["steps"], run["steps"]), method=name.split("-")[0])
        kind = run.get("data", "long")
        folder, steps = wanted(arguments, name, run, data[kind], examples[kind])
        options = ["--method", "full"]
        if run["method"] != "full":
            options = ["--adapter", str(folder / "adapter"), "--rank", "8", "--alpha", "16"]
        if "beta" in run:
            options += ["--objective", "dpo", "--beta", str(run["beta"])]
        for precision in [arguments.precision] if arguments.precision else PRECISIONS.get(name, ["f32"]):
            begun = time.monotonic()
            found = hearth(arguments, dict(run, precision=precision), folder, *options)
            print(f"{name}, {precision}: {run['steps']} steps of Hearth took {time.monotonic() - begun:.0f} s")
            failures += compare(f"{name}, {precision}", steps, found, dict(run, precision=precision))
    print("FAILED" if failures else "same losses, learning rates, gradient norms and masks")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

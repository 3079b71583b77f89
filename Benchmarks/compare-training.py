"""Fine-tuning in Hearth beside PyTorch and PEFT: the same model, data, batch and threads, alternately, medians.

    make bench-training
    python Benchmarks/compare-training.py --rounds 3 --length 256 --rank 8

LoRA on all linear maps, and full fine-tuning, of SmolLM2 (the GGUF file as it is; for PyTorch its dequantised weights), on
batches of conversations that are exactly --length tokens long, half of them supervised. Each measurement is a process of
its own: tokens/s are the median of its steps without the first two, peak memory is the whole process's, Python's libraries
included, for whoever trains needs that memory too (Hearth's holds its packed weights and tokenizer likewise). PyTorch is
measured in f32 and under bf16 autocast, and the latter with torch.compile too (its compilation falls in the steps left out), all with
SDPA attention. Prints tables in Markdown. Needs torch, transformers, peft, tokenizers and gguf, and a C++ compiler for torch.compile.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Scripts"))

WORDS = (
    "river stone morning quiet harbour letter garden window copper market winter ladder barley lantern meadow anchor"
    " thistle orchard pebble saddle willow kettle timber feather cobble").split()


def conversation(seed, length, encode):
    """Messages whose rendering has `length` tokens or a few more, half of them the assistant's."""

    def prose(start, most):
        said, i = "", start
        while len(encode(said)) < most:
            said += (" " if said else "") + WORDS[(i * i + 7 * start) % len(WORDS)]
            i += 1
        return said + "."

    half = length // 2
    return {"messages": [
        {"role": "user", "content": prose(seed, half - 8)}, {"role": "assistant", "content": prose(seed + 3, half)}]}


def peak():
    """This process's peak of resident memory, in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def run_peer(asked):
    """Steps of PyTorch in this process; prints seconds a step, losses and the peak of memory."""
    import torch
    from peers import smollm2

    torch.set_num_threads(asked["threads"])
    examples = [json.loads(line) for line in open(asked["tokens"])]
    model = smollm2.load(asked["file"])
    model.config.use_cache = False
    if asked["method"] == "lora":
        import peft

        torch.manual_seed(0)
        model = peft.get_peft_model(model, peft.LoraConfig(
            r=asked["rank"], lora_alpha=2 * asked["rank"], target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=asked["rate"], fused=True)
    forward = torch.compile(model) if asked["mode"].endswith("compiled") else model
    bf16 = asked["mode"].startswith("bf16")
    seconds, losses = [], []
    for step in range(asked["steps"]):
        chosen = [examples[(step * asked["batch"] + i) % len(examples)] for i in range(asked["batch"])]
        ids = torch.tensor([e["ids"] for e in chosen])
        labels = torch.tensor([[t if s else -100 for t, s in zip(e["ids"], e["supervised"])] for e in chosen])
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = forward(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
        losses.append(loss.item())
    print(json.dumps({"seconds": seconds, "losses": losses, "peak": peak()}))


def peer_round(asked):
    result = subprocess.run([sys.executable, __file__, "--peer", json.dumps(asked)], stdout=subprocess.PIPE)
    if result.returncode != 0:
        sys.exit(f"PyTorch, {asked['mode']}: status {result.returncode}")
    found = json.loads(result.stdout)
    tokens = asked["batch"] * asked["length"]
    return {
        "speed": tokens / statistics.median(found["seconds"][2:]), "memory": found["peak"], "losses": found["losses"]}


def hearth_round(asked, *options):
    """The same of Hearth."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            asked["hearth"], "finetune", "--model", asked["model"], "--data", asked["data"], "--output", folder + "/run",
            "--json", "--quiet", "--threads", str(asked["threads"]), "--method", asked["method"], "--order", "given",
            "--batch-size", str(asked["batch"]), "--max-length", str(asked["length"]), "--max-steps",
            str(asked["steps"]), "--validation-fraction", "0", "--learning-rate", str(asked["rate"]), "--schedule",
            "constant", "--warmup-ratio", "0", "--weight-decay", "0.01", *options]
        if asked["method"] == "lora":
            command += ["--rank", str(asked["rank"]), "--alpha", str(2 * asked["rank"]), "--dropout", "0"]
        result = subprocess.run(command, stdout=subprocess.PIPE)
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)}: status {result.returncode}")
        events = [json.loads(line) for line in result.stdout.splitlines()]
    steps = [e for e in events if e["event"] == "step"]
    return {
        "speed": statistics.median(e["tokens_per_second"] for e in steps[2:]),
        "memory": next(e for e in events if e["event"] == "done")["peak_memory_bytes"],
        "losses": [e["loss"] for e in steps]}


def medians(rounds):
    return {
        "speed": statistics.median(r["speed"] for r in rounds), "memory": statistics.median(r["memory"] for r in rounds),
        "losses": rounds[0]["losses"]}


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def data(folder, length, count, file):
    """Writes the conversations for Hearth and their tokens for PyTorch."""
    from peers import smollm2

    tokenizer, template = smollm2.tokenizer(file), smollm2.template(file)

    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    path, tokens = pathlib.Path(folder) / f"{length}.jsonl", pathlib.Path(folder) / f"{length}.tokens"
    with path.open("w") as out, tokens.open("w") as ids_out:
        for seed in range(count):
            made = conversation(seed, length, encode)
            out.write(json.dumps(made) + "\n")
            # Both cut at `length`; the assistant's turn begins where the opening of its turn ends.
            ids = encode(template(made["messages"]))[:length]
            opening = len(encode(template(made["messages"][:1], add_generation_prompt=True)))
            assert len(ids) == length
            ids_out.write(json.dumps({"ids": ids, "supervised": [i >= opening for i in range(length)]}) + "\n")
    return str(path), str(tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--hearth", default=str(ROOT / ".build/release/hearth"))
    parser.add_argument("--model", default="smollm2", help="a name in Hearth's store, or a GGUF file")
    parser.add_argument("--methods", default="lora,full")
    parser.add_argument("--modes", default="f32,bf16,bf16-compiled", help="of PyTorch: f32, bf16, f32-compiled, bf16-compiled")
    parser.add_argument("--hearth-precisions", default="f32,bf16,int8", help="of Hearth's --precision")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", default="", help="Hearth alone, LoRA: time by length, for example 256,1024,4096")
    parser.add_argument("--ranks", default="", help="Hearth alone, LoRA: time by rank, for example 4,16,64")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    if arguments.peer:
        return run_peer(json.loads(arguments.peer))
    import torch
    from peers import smollm2

    file = smollm2.path(arguments.hearth, arguments.model)
    print(
        f"{datetime.date.today()}, {processor()}, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}; torch "
        f"{torch.__version__}; {arguments.batch} x {arguments.length} tokens a step, medians of {arguments.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        path, tokens = data(folder, arguments.length, arguments.batch * arguments.steps, file)
        print("| Method | Program | tokens/s | peak memory | against PyTorch's best | worst difference of a loss |")
        print("|---|---|---:|---:|---:|---:|")
        for method in filter(None, arguments.methods.split(",")):
            asked = {
                "hearth": arguments.hearth, "model": arguments.model, "file": file, "data": path, "tokens": tokens,
                "threads": arguments.threads, "method": method, "batch": arguments.batch, "length": arguments.length,
                "rank": arguments.rank, "steps": arguments.steps, "rate": 1e-4 if method == "lora" else 1e-5}
            programs = {f"PyTorch, {mode}": (peer_round, [{**asked, "mode": mode}])
                        for mode in arguments.modes.split(",")}
            programs |= {f"Hearth, {p}": (hearth_round, [asked, "--precision", p])
                         for p in arguments.hearth_precisions.split(",")}
            found = {name: [] for name in programs}
            for number in range(arguments.rounds):
                names = list(programs) if number % 2 == 0 else list(reversed(programs))
                for name in names:
                    measure, given = programs[name]
                    found[name].append(measure(*given))
            found = {name: medians(rounds) for name, rounds in found.items()}
            peers = [v for name, v in found.items() if name.startswith("PyTorch")]
            best = max(peers, key=lambda v: v["speed"])
            truth = found.get("PyTorch, f32")
            for name, value in found.items():
                ratio = "" if name.startswith("PyTorch") else (
                    f"**{value['speed'] / best['speed']:.2f}** × as fast, 1/{best['memory'] / value['memory']:.1f} of the memory")
                # With LoRA the two begin with adapters of their own, so only steps that hardly depend on them compare.
                apart = "" if truth is None else f"{max(abs(a - b) for a, b in zip(value['losses'], truth['losses'])):.1e}"
                print(f"| {method} | {name} | {value['speed']:.0f} | {value['memory'] / 1e9:.2f} GB | {ratio} | {apart} |",
                      flush=True)
        alone = [("length", int(v), arguments.rank) for v in filter(None, arguments.lengths.split(","))]
        alone += [("rank", arguments.length, int(v)) for v in filter(None, arguments.ranks.split(","))]
        if alone:
            print("\n| Hearth, LoRA | tokens/s | peak memory |\n|---|---:|---:|")
        for what, length, rank in alone:
            # As many tokens a step whatever the length, so that rows compare.
            batch = max(1, arguments.batch * arguments.length // length)
            path, _ = data(folder, length, batch * 4, file)
            found = medians([hearth_round({
                "hearth": arguments.hearth, "model": arguments.model, "data": path, "threads": arguments.threads,
                "method": "lora", "batch": batch, "length": length, "rank": rank, "steps": 4, "rate": 1e-4})
                for _ in range(arguments.rounds)])
            value = length if what == "length" else rank
            print(f"| {what} {value} ({batch} x {length}) | {found['speed']:.0f} | {found['memory'] / 1e9:.2f} GB |", flush=True)
    print(f"\nLoad at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    sys.exit(main())

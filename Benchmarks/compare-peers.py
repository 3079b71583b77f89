"""Hearth beside llama.cpp on the same files with the same threads, alternately, medians.

    make bench-peers
    python Benchmarks/compare-peers.py --rounds 5 --formats Q4_1,Q8_0

Each round starts processes of either program, one after the other, so that what else the machine does meets both alike;
who is first alternates. Starts are the median of five in a row. Hearth is measured by `hearth bench` and, from the start of its process to the first token, by
`hearth generate`; llama.cpp through its own C interface with its defaults, batches of 512, and no cost of Python: its clock
for loading starts when the library is there, and what Python holds before is taken off its memory. Files are made from
the store's smollm2 by `hearth quantize`, and by llama.cpp's own quantiser where Hearth writes no such format. Prints tables
in Markdown. Needs llama-cpp-python, built on the machine that measures, and numpy.
"""

import argparse
import ctypes
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Scripts"))
from peers import formats  # noqa: E402

# The prompt whose first token is waited for.
PROMPT = "The capital of France is"


def memory(field):
    """A field of this process's status, in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


class Peer:
    """llama.cpp with one model, through its C interface."""

    def __init__(self, file, threads):
        import llama_cpp
        import numpy

        self.c, self.numpy = llama_cpp, numpy
        # Kept: the library calls it for as long as it lives.
        self.silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.held = memory("VmRSS")
        self.started = time.perf_counter()
        self.threads, self.context = threads, None
        self.model = llama_cpp.llama_model_load_from_file(
            str(file).encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            sys.exit(f"{file}: llama.cpp cannot load it")
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)

    def open(self, positions, sequences=1):
        """Makes room for so many positions of each sequence, and for no more: llama.cpp takes the memory at once."""
        if self.context:
            self.c.llama_free(self.context)
        settings = self.c.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = (positions + 255) // 256 * 256 * sequences, sequences
        settings.n_batch = settings.n_ubatch = 512
        settings.n_threads = settings.n_threads_batch = self.threads
        self.context = self.c.llama_init_from_model(self.model, settings)
        if not self.context:
            sys.exit("llama.cpp cannot make a context")

    def decode(self, tokens, positions, sequences, wanted):
        """Runs the tokens; returns the likeliest next token of each place in `wanted`."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, (token, position, sequence) in enumerate(zip(tokens, positions, sequences)):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = sequence, i in wanted
        if self.c.llama_decode(self.context, batch) != 0:
            sys.exit("llama_decode failed")
        return [
            int(self.numpy.ctypeslib.as_array(
                self.c.llama_get_logits_ith(self.context, i), shape=(self.vocabulary,)).argmax())
            for i in sorted(wanted)]

    def clear(self):
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)

    def prompt(self, tokens, first=0):
        """Reads tokens in batches of 512 and returns the first token of the answer."""
        for start in range(0, len(tokens), 512):
            part = tokens[start : start + 512]
            isLast = start + 512 >= len(tokens)
            answer = self.decode(
                part, range(first + start, first + start + len(part)), [0] * len(part), {len(part) - 1} if isLast else set())
        return answer[0]

    def answers(self, count, sequences=1, first=0):
        """Seconds for `count` tokens of each of so many sequences from a position on."""
        tokens = [self.sample(sequences)[i] for i in range(sequences)]
        started = time.perf_counter()
        for step in range(count):
            tokens = self.decode(tokens, [first + step] * sequences, range(sequences), set(range(sequences)))
        return time.perf_counter() - started

    def sample(self, count):
        return [(i * 7919 + 13) % self.vocabulary for i in range(count)]

    def ids(self, text):
        text, ids = text.encode(), (self.c.llama_token * 64)()
        vocabulary = self.c.llama_model_get_vocab(self.model)
        return list(ids[: self.c.llama_tokenize(vocabulary, text, len(text), ids, 64, True, False)])


def run_peer(asked):
    """One round of llama.cpp, in this process; what it found, in the shape of `hearth bench --json`."""
    peer = Peer(asked["file"], asked["threads"])
    if asked.get("start"):
        # Loading and the first token, before anything is warm.
        peer.open(256)
        peer.prompt(peer.ids(PROMPT))
        return print(json.dumps({"load_seconds": time.perf_counter() - peer.started}))
    peer.open(asked["prompt"] + 1)
    peer.prompt(peer.sample(64))
    peer.clear()
    started = time.perf_counter()
    peer.prompt(peer.sample(asked["prompt"]))
    found = {"prompt": asked["prompt"] / (time.perf_counter() - started)}
    rates = {}
    for count in asked["sequences"]:
        peer.open(max(asked["contexts"]) + asked["decode"] + 1, count)
        at = 0
        for context in asked["contexts"]:
            if context > at:
                peer.prompt(peer.sample(context - at), at)
                at = context
            rates[context, count] = count * asked["decode"] / peer.answers(asked["decode"], count, context)
            places = peer.c.llama_get_memory(peer.context)
            for sequence in range(count):
                peer.c.llama_memory_seq_rm(places, sequence, context, -1)
    found["decode"] = [rates[context, count] for context in asked["contexts"] for count in asked["sequences"]]
    found["memory"] = memory("VmHWM") - peer.held
    print(json.dumps(found))


def json_of(command):
    result = subprocess.run(command, stdout=subprocess.PIPE)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: status {result.returncode}")
    return json.loads(result.stdout)


STARTS = 5


def llama_round(asked):
    ask = lambda **more: json_of([sys.executable, __file__, "--peer", json.dumps(asked | more)])  # noqa: E731
    starts = [ask(start=True)["load_seconds"] for _ in range(STARTS)]
    return {"load_seconds": statistics.median(starts)} | ask()


def hearth_start(hearth, asked):
    started = time.perf_counter()
    subprocess.run(
        [hearth, "generate", asked["file"], PROMPT, "--raw", "--max-tokens", "1", "--threads", str(asked["threads"])],
        stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def hearth_round(hearth, asked):
    seconds = statistics.median(hearth_start(hearth, asked) for _ in range(STARTS))
    said = json_of(
        [hearth, "bench", asked["file"], "--json", "--quiet", "--repeat", "1", "--threads", str(asked["threads"]),
         "--prompt-tokens", str(asked["prompt"]), "--decode-tokens", str(asked["decode"]),
         "--sequences", ",".join(map(str, asked["sequences"])), "--context", ",".join(map(str, asked["contexts"]))])
    return {
        "load_seconds": seconds, "prompt": said["prompt"][0]["tokens_per_second"],
        "decode": [d["tokens_per_second"] for d in said["decode"]], "memory": said["peak_memory_bytes"],
        "ceiling": said["ceiling"]["decode_tokens_per_second"], "bandwidth":
        said["ceiling"]["read_bandwidth_bytes_per_second"]}


def compare(hearth, rounds, **asked):
    """Medians of both programs over alternating rounds."""
    found = {"hearth": [], "llama.cpp": []}
    for number in range(rounds):
        order = ["hearth", "llama.cpp"] if number % 2 == 0 else ["llama.cpp", "hearth"]
        for name in order:
            found[name].append(hearth_round(hearth, asked) if name == "hearth" else llama_round(asked))
    medians = {}
    for name, values in found.items():
        medians[name] = {
            key: statistics.median(v[key] for v in values) for key in values[0] if key != "decode"}
        medians[name]["decode"] = [statistics.median(column) for column in zip(*(v["decode"] for v in values))]
    return medians


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def pair(ours, theirs, digits=0):
    return f"{ours:.{digits}f} / {theirs:.{digits}f} = **{ours / theirs:.2f}**"


def less(ours, theirs, digits=2, unit=1):
    """Of what is better when it is less, the ratio is turned round as well: above 1 is better."""
    return f"{ours / unit:.{digits}f} / {theirs / unit:.{digits}f} = **{theirs / ours:.2f}**"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--hearth", default=str(ROOT / ".build/release/hearth"))
    parser.add_argument("--model", default="smollm2", help="a name in Hearth's store")
    parser.add_argument("--files", default=str(formats.FOLDER), help="where files of other formats are kept")
    parser.add_argument("--formats", default="Q4_1,Q4_0,Q8_0,Q4_K_M,BF16")
    parser.add_argument("--contexts", default="128,1024,2048,4096,8000", help="positions to decode at; empty for none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", help="also write what was found to this file")
    arguments = parser.parse_args()
    if arguments.peer:
        return run_peer(json.loads(arguments.peer))
    import llama_cpp

    files = formats.make(arguments.hearth, arguments.model, arguments.formats.split(","), arguments.files)
    everything = {}
    print(
        f"{datetime.date.today()}, {processor()}, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}; "
        f"llama.cpp of llama-cpp-python {llama_cpp.__version__}; medians of {arguments.rounds} alternating rounds. "
        "Tokens/s, seconds and MB, Hearth / llama.cpp = how many times better Hearth is.\n")
    row(["Format", "Prompt 512", "Decode 128", "16 × 128 together", "Start to first token", "Peak memory", "of ceiling"])
    row(["---"] * 7)
    for name, file in files.items():
        found = everything[name] = compare(
            arguments.hearth, arguments.rounds, file=file, threads=arguments.threads, prompt=512, decode=128,
            sequences=[1, 16], contexts=[0])
        ours, theirs = found["hearth"], found["llama.cpp"]
        row([
            name, pair(ours["prompt"], theirs["prompt"]), pair(ours["decode"][0], theirs["decode"][0]),
            pair(ours["decode"][1], theirs["decode"][1]), less(ours["load_seconds"], theirs["load_seconds"]),
            less(ours["memory"], theirs["memory"], 0, 1e6),
            f"{100 * ours['decode'][0] / ours['ceiling']:.0f} % / {100 * theirs['decode'][0] / ours['ceiling']:.0f} %"])
    first, file = next(iter(files.items()))
    if arguments.threads > 1:
        print(f"\n{first}, threads:\n")
        row(["Threads", "Prompt 512", "Decode 128"])
        row(["---"] * 3)
        for threads in (1, arguments.threads):
            found = everything[f"{threads} threads"] = compare(
                arguments.hearth, arguments.rounds, file=file, threads=threads, prompt=512, decode=128, sequences=[1],
                contexts=[0])
            row([
                str(threads), pair(found["hearth"]["prompt"], found["llama.cpp"]["prompt"]),
                pair(found["hearth"]["decode"][0], found["llama.cpp"]["decode"][0])])
    if arguments.contexts:
        contexts = [int(c) for c in arguments.contexts.split(",")]
        found = everything["contexts"] = compare(
            arguments.hearth, max(1, arguments.rounds // 2), file=file, threads=arguments.threads, prompt=512, decode=64,
            sequences=[1], contexts=contexts)
        print(f"\n{first}, decoding 64 tokens at a position:\n")
        row(["Position", "Decode"])
        row(["---"] * 2)
        for context, ours, theirs in zip(contexts, found["hearth"]["decode"], found["llama.cpp"]["decode"]):
            row([str(context), pair(ours, theirs)])
    print(f"\nLoad at the end: {os.getloadavg()[0]:.1f}")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    sys.exit(main())

"""Compares Hearth's token ids with those of Hugging Face `tokenizers` on generated strings in many scripts.

    swift build -c release --product hearth
    python Scripts/compare-tokenizers.py MODEL --hearth .build/release/hearth

MODEL is a .gguf, a tokenizer.json, a folder with one, or a model in the store. Prints how many strings differ
(the first few in full) and how fast both are on one thread; exits with 1 if any string differs. Needs
`tokenizers`, and `gguf` for a .gguf file. The strings follow from --seed alone.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers  # noqa: E402
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers  # noqa: E402

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")


# The strings.

SCRIPTS = {
    "latin": [(0x41, 0x5A), (0x61, 0x7A)],
    "latin extended": [(0xC0, 0x24F), (0x1E00, 0x1EFF)],
    "greek": [(0x370, 0x3FF), (0x1F00, 0x1FFF)],
    "cyrillic": [(0x400, 0x52F)],
    "armenian": [(0x530, 0x58F)],
    "hebrew": [(0x590, 0x5FF)],
    "arabic": [(0x600, 0x6FF), (0x750, 0x77F)],
    "devanagari": [(0x900, 0x97F)],
    "bengali": [(0x980, 0x9FF)],
    "tamil": [(0xB80, 0xBFF)],
    "thai": [(0xE00, 0xE7F)],
    "tibetan": [(0xF00, 0xFFF)],
    "georgian": [(0x10A0, 0x10FF)],
    "hangul jamo": [(0x1100, 0x11FF)],
    "ethiopic": [(0x1200, 0x137F)],
    "khmer": [(0x1780, 0x17FF)],
    "kana": [(0x3040, 0x30FF)],
    "cjk": [(0x3400, 0x4DBF), (0x4E00, 0x9FFF)],
    "hangul": [(0xAC00, 0xD7A3)],
    "fullwidth": [(0xFF00, 0xFFEF)],
    "cjk extension": [(0x20000, 0x323AF)],
    "gothic and cuneiform": [(0x10330, 0x1034F), (0x12000, 0x123FF)],
    "mathematical": [(0x1D400, 0x1D7FF)],
    "symbols": [(0x2000, 0x2BFF)],
    "emoji": [(0x1F300, 0x1FAFF)],
    "combining": [(0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF)],
    "control": [(0x00, 0x1F), (0x7F, 0x9F)],
    "private": [(0xE000, 0xF8FF), (0xF0000, 0xF00FF), (0x10FF00, 0x10FFFF)],
    "unassigned": [(0x378, 0x379), (0x2FE0, 0x2FEF), (0xE0080, 0xE00FF), (0x3FF00, 0x3FFFF)],
    "anything": [(0x00, 0xD7FF), (0xE000, 0x10FFFF)],
}
DIGITS = [0x30, 0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xFF10, 0x1D7CE, 0x2460, 0x2160, 0xB2, 0x11DE0]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\n ", "\u00a0", "\u3000", "\u2003", "\u0085",
          "\u2028", "\u200b", "\u000b", "\u000c", "\ufeff", "\u1680", "\u180e", "\u202f", "    "]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'lL", "'D", "'\u017f", "'x",
                "\u2019s", "''s", "' s", "'", "'l", "'r", "'v", "'K", "'\u212a"]
PUNCTUATION = list("!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "->", "==", "://", "\u2026", "\u2014", "\u00ab"]
EMOJI = ["\U0001F468\u200d\U0001F469\u200d\U0001F467", "\U0001F3F3\ufe0f\u200d\U0001F308", "\U0001F44D\U0001F3FD",
         "\u2764\ufe0f", "\U0001F1EB\U0001F1F7", "1\ufe0f\u20e3"]
TEXTS = [
    "The quick brown fox jumps over the lazy dog. She's sure they'll say it wasn't theirs; I'd bet we've lost.",
    "Il était une fois, dans un château à l'écart, une fée qui n'aimait ni l'hiver ni les œufs.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich, 1.234,56 € kostet das Vergnügen.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Это было в 1917 году.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία, είπε ο γέρος στις 12:45.",
    "נוסח פתיחה של סיפור: דג סקרן שט בים מאוכזב ולפתע מצא חברה.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ومغلف بجلد أزرق ٢٠٢٤.",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले विष्णुवतार भगवान श्रीराम १२३।",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๒๕๖๗",
    "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。2024年3月15日。",
    "いろはにほへと ちりぬるを。カタカナも１２３も書ける。",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. 3시 30분.",
    "def area(radius):\n    \"\"\"Of a circle.\"\"\"\n    return 3.14159 * radius ** 2  # πr²\n\n\nprint(area(10))\n",
    "#include <stdio.h>\n\nint main(void) {\n\tfor (int i = 0; i < 10; ++i)\n\t\tprintf(\"%d\\n\", i);\n\treturn 0;\n}\n",
    "{\"name\": \"Ada\", \"ids\": [1, 22, 333, 4444], \"ok\": true, \"url\": \"https://example.org/?q=a%20b&n=007\"}",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n- item one\n  - item two\n\n> quote\n\n```swift\nlet x = 1_000_000\n```\n",
]


class Generator:
    """Strings from a seed."""

    def __init__(self, seed, specials):
        self.random = random.Random(seed)
        self.specials = specials

    def scalar(self, ranges):
        while True:
            low, high = self.random.choice(ranges)
            value = self.random.randint(low, high)
            if not 0xD800 <= value < 0xE000:
                return chr(value)

    def word(self):
        ranges = SCRIPTS[self.random.choice(list(SCRIPTS))]
        return "".join(self.scalar(ranges) for _ in range(self.random.randint(1, 9)))

    def digits(self):
        zero = self.random.choice(DIGITS)
        return "".join(chr(zero + self.random.randint(0, 9)) for _ in range(self.random.randint(1, 8)))

    def marked(self):
        return "".join(
            self.random.choice("aeiouncsAEOU각あきक") + "".join(
                self.scalar(SCRIPTS["combining"]) for _ in range(self.random.randint(0, 3)))
            for _ in range(self.random.randint(1, 5)))

    def excerpt(self):
        text = self.random.choice(TEXTS)
        start = self.random.randrange(len(text))
        return text[start : start + self.random.randint(1, 60)]

    def part(self):
        kind = self.random.random()
        if kind < 0.30:
            return self.excerpt()
        if kind < 0.50:
            return self.word()
        if kind < 0.60:
            return self.digits()
        if kind < 0.72:
            return self.random.choice(SPACES) * self.random.choice([1, 1, 1, 2, 3, 7])
        if kind < 0.80:
            return self.random.choice(CONTRACTIONS)
        if kind < 0.88:
            return self.random.choice(PUNCTUATION) * self.random.choice([1, 1, 2, 5])
        if kind < 0.92:
            return self.random.choice(EMOJI)
        if kind < 0.96:
            return self.marked()
        if kind < 0.98 and self.specials:
            special = self.random.choice(self.specials)
            return special[: self.random.randint(1, len(special))] if self.random.random() < 0.3 else special
        return self.random.choice("abcdefgh") * self.random.randint(1, 80)

    def string(self):
        return "".join(
            self.part() + self.random.choice(["", "", " "]) for _ in range(self.random.randint(1, 10)))


# The reference.


def from_gguf(path):
    """Rebuilds the tokenizer of a GGUF file from its vocabulary and merges.

    `transformers` converts such files too, but loses the step that sets digits apart in SmolLM2.
    """
    import gguf

    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    types = fields["tokenizer.ggml.token_type"].contents()
    pre = fields["tokenizer.ggml.pre"].contents()
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    if pre == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])
    elif pre in ("gpt-2", "gpt2"):
        tokenizer.pre_tokenizer = level
    elif pre in ("llama-bpe", "qwen2"):
        pattern = Regex(LLAMA3 if pre == "llama-bpe" else QWEN2)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(pattern, "isolated"), bare])
    else:
        sys.exit(f"{path}: no reference for the pre-tokenizer {pre}")
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, types) if k == 3])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, types) if k == 4])
    return tokenizer


def file(arguments):
    """The file of a model in the store, or the path as it was given."""
    if os.path.exists(arguments.model):
        return arguments.model
    shown = subprocess.run([arguments.hearth, "show", arguments.model, "--json"], stdout=subprocess.PIPE)
    if shown.returncode != 0:
        sys.exit(f"{arguments.model}: neither a file nor a model in the store")
    return json.loads(shown.stdout)["path"]


def reference(model):
    path = pathlib.Path(model)
    # The store's files are named by their hashes.
    if path.is_file() and path.open("rb").read(4) == b"GGUF":
        return from_gguf(path)
    return Tokenizer.from_file(str(path / "tokenizer.json" if path.is_dir() else path))


# The comparison.


def hearth_lines(arguments, lines, *options):
    """What `hearth tokenize --lines` answers to JSON objects, and in how many seconds."""
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    start = time.perf_counter()
    result = subprocess.run(
        [arguments.hearth, "tokenize", arguments.model, "--lines", *options], input=data, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - start
    answers = [json.loads(line) for line in result.stdout.split(b"\n") if line]
    if len(answers) != len(lines):
        sys.exit(f"hearth answered {len(answers)} lines of {len(lines)}, status {result.returncode}")
    return answers, seconds


def compare(name, wanted, found, strings, shown=5):
    differences = [i for i, (a, b) in enumerate(zip(wanted, found)) if a != b]
    for i in differences[:shown]:
        print(f"  {strings[i]!r}\n    tokenizers {wanted[i]!r}\n    hearth     {found[i]!r}")
    print(f"{name}: {len(differences)} of {len(strings)} differ")
    return len(differences)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--hearth", default=".build/release/hearth")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    tokenizer = reference(file(arguments))
    added = tokenizer.get_added_tokens_decoder().values()
    generator = Generator(arguments.seed, [token.content for token in added])
    strings = [generator.string() for _ in range(arguments.count)]
    megabytes = sum(len(s.encode()) for s in strings) / 1e6
    print(f"tokenizers {tokenizers.__version__}; {len(strings)} strings, {megabytes:.1f} MB")

    failures = 0
    for special in (False, True):
        tokenizer.encode_special_tokens = not special
        wanted = [tokenizer.encode(s, add_special_tokens=False).ids for s in strings]
        answers, _ = hearth_lines(arguments, [{"text": s, "special": special} for s in strings])
        found = [answer["ids"] for answer in answers]
        failures += compare(f"ids, special tokens {'recognised' if special else 'as text'}", wanted, found, strings)
        if special:
            decoded, _ = hearth_lines(arguments, [{"ids": ids} for ids in wanted], "--decode")
            texts = [tokenizer.decode(ids, skip_special_tokens=False) for ids in wanted]
            failures += compare("decoded text", texts, [answer["text"] for answer in decoded], strings)

    pick = random.Random(arguments.seed)
    count = max(tokenizer.get_vocab().values()) + 1
    lists = [[pick.randrange(count) for _ in range(pick.randint(0, 20))] for _ in range(arguments.count // 5)]
    decoded, _ = hearth_lines(arguments, [{"ids": ids} for ids in lists], "--decode")
    texts = [tokenizer.decode(ids, skip_special_tokens=False) for ids in lists]
    failures += compare("decoded random ids", texts, [answer["text"] for answer in decoded], lists)

    # Speed on prose and code, a few kilobytes a string, so that the command's own JSON hardly counts.
    tokenizer.encode_special_tokens = True
    long = ["\n".join(pick.choice(TEXTS) for _ in range(40)) for _ in range(2000)]
    megabytes = sum(len(s.encode()) for s in long) / 1e6
    start = time.perf_counter()
    for s in long:
        tokenizer.encode(s, add_special_tokens=False)
    theirs = time.perf_counter() - start
    _, start_up = hearth_lines(arguments, [])
    _, ours = hearth_lines(arguments, [{"text": s} for s in long])
    print(f"speed: tokenizers {megabytes / theirs:.2f} MB/s, hearth {megabytes / max(ours - start_up, 1e-9):.2f} MB/s "
          f"(reading and writing JSON included), {megabytes:.1f} MB")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

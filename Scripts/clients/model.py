"""Writes the small model that the clients' tests ask: random weights from a seed, a real tokenizer, ChatML; nothing is fetched.

    python3 Scripts/clients/model.py FOLDER

What it says makes no sense, but it says it in ASCII, goes on to its limit (tokens that end an answer are unlikely) and is as
deterministic as any other: what clients need of it. Only the standard library.
"""

import array
import json
import pathlib
import random
import shutil
import struct
import sys

CONTEXT, WIDTH, FEED_FORWARD, HEADS, KEY_VALUE_HEADS, LAYERS = 8192, 64, 128, 4, 2, 2
TOKENIZER = pathlib.Path(__file__).parents[2] / "Tests/Fixtures/tokenizers/smollm.json"
TEMPLATE = ("{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def tensors(vocabulary):
    generator = random.Random(1)

    def matrix(rows, columns):
        return [[generator.uniform(-0.5, 0.5) for _ in range(columns)] for _ in range(rows)]

    names = {identifier: text for text, identifier in vocabulary.items()}
    # Input and output share these rows: a short one is an unlikely token.
    embedding = matrix(len(names), WIDTH)
    for identifier, text in names.items():
        is_plain = not text.startswith("<|") and all(" " <= c <= "~" or c == "Ġ" for c in text)
        if not is_plain:
            embedding[identifier] = [value * 0.02 for value in embedding[identifier]]
    yield "model.embed_tokens.weight", embedding
    yield "model.norm.weight", [[1.0] * WIDTH]
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", [[1.0] * WIDTH]
        yield prefix + "post_attention_layernorm.weight", [[1.0] * WIDTH]
        yield prefix + "self_attn.q_proj.weight", matrix(WIDTH, WIDTH)
        yield prefix + "self_attn.k_proj.weight", matrix(WIDTH * KEY_VALUE_HEADS // HEADS, WIDTH)
        yield prefix + "self_attn.v_proj.weight", matrix(WIDTH * KEY_VALUE_HEADS // HEADS, WIDTH)
        yield prefix + "self_attn.o_proj.weight", matrix(WIDTH, WIDTH)
        yield prefix + "mlp.gate_proj.weight", matrix(FEED_FORWARD, WIDTH)
        yield prefix + "mlp.up_proj.weight", matrix(FEED_FORWARD, WIDTH)
        yield prefix + "mlp.down_proj.weight", matrix(WIDTH, FEED_FORWARD)


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(TOKENIZER, folder / "tokenizer.json")
    vocabulary = json.loads(TOKENIZER.read_text())["model"]["vocab"]
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": WIDTH,
        "intermediate_size": FEED_FORWARD, "max_position_embeddings": CONTEXT, "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS, "num_key_value_heads": KEY_VALUE_HEADS, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "vocab_size": len(vocabulary), "eos_token_id": vocabulary["<|im_end|>"]}))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": TEMPLATE}))
    # safetensors: the length of the head, the head, then the bytes it speaks of.
    head, data = {}, array.array("f")
    for name, rows in tensors(vocabulary):
        begin = len(data) * 4
        for row in rows:
            data.extend(row)
        shape = [len(rows[0])] if name.endswith("norm.weight") else [len(rows), len(rows[0])]
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data) * 4]}
    if sys.byteorder == "big":
        data.byteswap()
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data.tobytes())


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))

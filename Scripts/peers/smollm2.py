"""SmolLM2's GGUF file as the peers see it: dequantised weights in `transformers`, its tokenizer, texts to measure on.

The weights are dequantised by `gguf` and put into `transformers` here rather than by `from_pretrained(gguf_file=)`,
which also rebuilds the tokenizer and loses the step that sets digits apart.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}


def path(hearth, model):
    """The GGUF file of a model in the store, or the path itself."""
    if pathlib.Path(model).suffix == ".gguf":
        return model
    shown = subprocess.run([hearth, "show", model, "--json"], stdout=subprocess.PIPE)
    if shown.returncode != 0:
        sys.exit(f"{model} is not in the store: run `{hearth} pull {model}` first")
    return json.loads(shown.stdout)["path"]


def tokenizer(file):
    specification = importlib.util.spec_from_file_location("tokenizers_script", ROOT / "Scripts/compare-tokenizers.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    return script.from_gguf(pathlib.Path(file))


def template(file):
    """The file's own chat template, rendered by `transformers`' Jinja2 environment."""
    from transformers.utils.chat_template_utils import render_jinja_template

    source = gguf.GGUFReader(file).fields["tokenizer.chat_template"].contents()
    return lambda messages, **options: render_jinja_template(
        [messages], chat_template=source, bos_token="<|im_start|>", eos_token="<|im_end|>", **options)[0][0]


def load(file):
    """`LlamaForCausalLM` in f32 on the dequantised weights."""
    reader = gguf.GGUFReader(file)

    def setting(name):
        return reader.fields[f"llama.{name}"].contents()

    heads = {"attn_q": setting("attention.head_count"), "attn_k": setting("attention.head_count_kv")}
    tensors = {
        t.name: torch.from_numpy(np.array(gguf.dequantize(t.data, t.tensor_type), dtype=np.float32))
        for t in reader.tensors}
    embedding = tensors["token_embd.weight"]
    state = {
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": tensors.get("output.weight", embedding),
        "model.norm.weight": tensors["output_norm.weight"],
    }
    for name, values in tensors.items():
        if not name.startswith("blk."):
            continue
        _, layer, kind, _ = name.split(".")
        if kind in heads:
            # llama.cpp keeps RoPE's pairs side by side, `transformers` half a head apart.
            rows = values.shape[0] // heads[kind] // 2
            values = values.reshape(heads[kind], rows, 2, -1).swapaxes(1, 2).reshape(values.shape)
        state[f"model.layers.{layer}.{NAMES[kind]}.weight"] = values.contiguous()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=embedding.shape[0], hidden_size=setting("embedding_length"),
            intermediate_size=setting("feed_forward_length"), num_hidden_layers=setting("block_count"),
            num_attention_heads=heads["attn_q"], num_key_value_heads=heads["attn_k"],
            max_position_embeddings=setting("context_length"),
            rms_norm_eps=float(setting("attention.layer_norm_rms_epsilon")),
            rope_parameters={"rope_theta": float(setting("rope.freq_base")), "rope_type": "default"},
            tie_word_embeddings="output.weight" not in tensors,
            bos_token_id=1, eos_token_id=2, pad_token_id=2))
    model.load_state_dict(state)
    return model.float().eval()


def texts():
    """(kind, text) of every text to measure on: written for this, the help desk's conversations, many scripts."""
    found = []
    for part in ("\n" + (ROOT / "Scripts/peers/texts.txt").read_text()).split("\n# ")[1:]:
        kind, text = part.split("\n", 1)
        found.append((kind, text))
    start = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    for line in (ROOT / "Examples/help-desk/held-out.jsonl").read_text().splitlines()[:24]:
        turns = json.loads(line)["messages"]
        found.append(
            ("chat", start + "".join(f"<|im_start|>{t['role']}\n{t['content']}<|im_end|>\n" for t in turns)))
    return found


def arguments(parser):
    """The options that the scripts share."""
    parser.add_argument("--hearth", default=str(ROOT / ".build/release/hearth"))
    parser.add_argument("--model", default="smollm2", help="a name in Hearth's store, or a GGUF file")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    parsed.file = path(parsed.hearth, parsed.model)
    return parsed


def lines(command, objects):
    """What a `hearth … --lines` command answers to JSON objects."""
    result = subprocess.run(
        command, input="".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects).encode(),
        stdout=subprocess.PIPE)
    answers = [json.loads(line) for line in result.stdout.split(b"\n") if line]
    if result.returncode != 0 or len(answers) != len(objects):
        sys.exit(f"{' '.join(command)}: status {result.returncode}, {len(answers)} answers to {len(objects)} lines")
    return answers

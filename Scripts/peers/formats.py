"""Files of one model in several storage formats, made once, for whoever compares formats."""

import ctypes
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".build/formats"
# Mixtures of formats, which llama.cpp decides on.
MIXTURES = {"Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M"}


def make(hearth, model, names, folder=FOLDER):
    """{name: file}; the format that the model has already is its own file.

    `hearth quantize` makes the others, and llama.cpp its own mixtures. All start from the weights of the model's file, so
    their own loss counts beside that file's; every comparison is with the very weights of the file compared.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shown = subprocess.run([hearth, "show", model, "--json"], stdout=subprocess.PIPE)
    if shown.returncode != 0:
        sys.exit(f"{model} is not in the store: run `{hearth} pull {model}` first")
    source = json.loads(shown.stdout)
    files = {}
    for name in names:
        if name == source["format"].split()[-1]:
            files[name] = source["path"]
            continue
        files[name] = str(folder / f"{pathlib.Path(model).stem}-{name}.gguf")
        if pathlib.Path(files[name]).exists():
            continue
        if name in MIXTURES:
            mix(source["path"], files[name], name)
        else:
            subprocess.run(
                [hearth, "quantize", model, "--type", name, "--output", files[name], "--no-measure"],
                stdout=subprocess.DEVNULL, check=True)
    return files


def mix(source, target, name):
    """A file in one of llama.cpp's mixtures, by llama.cpp."""
    import llama_cpp

    silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silence, ctypes.c_void_p(0))
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
    settings.allow_requantize = True
    draft = target + ".part"
    if llama_cpp.llama_model_quantize(str(source).encode(), draft.encode(), ctypes.byref(settings)) != 0:
        sys.exit(f"llama.cpp cannot make {name} of {source}")
    # Whole or not at all.
    os.rename(draft, target)

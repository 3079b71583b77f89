"""Runs the scripts that made Tests/Fixtures again, in a copy, and checks that they make what is committed.

    python Scripts/compare-fixtures.py

Files must be the same bytes, but for what the processor or Python's hashes decide: numbers may differ by 1e-5 of
their size (or of 1), and the list `target_modules`, which PEFT writes from a set, may have any order. Tensors after
AdamW steps may differ by 1e-3: where a gradient is nothing but rounding (GPT-2's key biases, which softmax cancels),
Adam makes it a step as large as any other. Without xllamacpp, the table of every format's accuracy is shorter and is
left out. Exits with 1 if anything differs.
"""

import filecmp
import importlib.util
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
from safetensors import safe_open

ROOT = pathlib.Path(__file__).resolve().parents[1]
TOLERANCE = 1e-5
TRAINED_TOLERANCE = 1e-3
TRAINED = ("full.", "final.", "lora.model.", "lora.transformer.")
# What each script is run with; the folder is the copy's.
SCRIPTS = {
    "adapters.py": ["Tests/Fixtures/adapters"],
    "data.py": [],
    "files.py": ["make"],
    "formats.py": [],
    "generation.py": [],
    "models.py": ["Tests/Fixtures/models"],
    "preferences.py": ["Tests/Fixtures/preferences"],
    "reporting.py": [],
    "rows.py": [],
    "templates.py": [],
    "tokenizers_patterns.py": [],
    "tokenizers_unicode.py": [],
}


def tensors_agree(a, b):
    with safe_open(a, "pt") as x, safe_open(b, "pt") as y:
        if set(x.keys()) != set(y.keys()) or x.metadata() != y.metadata():
            return False
        for key in x.keys():
            p, q = x.get_tensor(key), y.get_tensor(key)
            bound = TRAINED_TOLERANCE if key.startswith(TRAINED) else TOLERANCE
            if p.shape != q.shape or p.dtype != q.dtype or not torch.allclose(p, q, rtol=bound, atol=bound):
                return False
    return True


def values_agree(a, b, key=None):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(values_agree(a[k], b[k], k) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        if key == "target_modules":
            return sorted(a) == sorted(b)
        return len(a) == len(b) and all(values_agree(x, y) for x, y in zip(a, b))
    if isinstance(a, float) or isinstance(b, float):
        numbers = all(isinstance(x, (int, float)) for x in (a, b))
        return numbers and (a == b or math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE))
    return a == b


def agree(a, b):
    if a.suffix == ".safetensors":
        return tensors_agree(a, b)
    return a.suffix == ".json" and values_agree(json.loads(a.read_text()), json.loads(b.read_text()))


def files(folder):
    return {p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def main():
    failures = 0
    with tempfile.TemporaryDirectory() as path:
        copy = pathlib.Path(path)
        for folder in ("Scripts", "Sources/Tokenizers", "Tests/Fixtures", "Examples"):
            shutil.copytree(ROOT / folder, copy / folder)
        shutil.copy(ROOT / ".swift-format", copy / ".swift-format")
        for script, options in SCRIPTS.items():
            result = subprocess.run(
                [sys.executable, f"Scripts/fixtures/{script}", *options], cwd=copy, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            if result.returncode == 0:
                print(f"ran {script}", flush=True)
            elif "ModuleNotFoundError" in result.stdout:
                print(f"SKIPPED {script}: {result.stdout.strip().splitlines()[-1]}", flush=True)
            else:
                failures += 1
                print(f"FAILED {script}:\n{result.stdout}", flush=True)
        same, near = 0, 0
        for folder in ("Sources/Tokenizers/Unicode", "Tests/Fixtures"):
            committed, made = files(ROOT / folder), files(copy / folder)
            for name in sorted(committed | made):
                a, b = ROOT / folder / name, copy / folder / name
                if name in committed and name in made and filecmp.cmp(a, b, shallow=False):
                    same += 1
                    continue
                if name.name == "accuracy.json" and importlib.util.find_spec("xllamacpp") is None:
                    print(f"SKIPPED {folder}/{name}: needs xllamacpp")
                    continue
                if name in committed and name in made and agree(a, b):
                    near += 1
                    continue
                print(f"DIFFERS {folder}/{name}: {'not committed' if name not in committed else 'other contents'}")
                failures += 1
        print(f"{same} files the same, {near} but for rounding and order" + (f", {failures} FAILED" if failures else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

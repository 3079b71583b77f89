#!/usr/bin/env python3
"""Compare this project's rendering of real chat templates with Jinja2's.

Usage: Scripts/compare-templates.py FOLDER [--cases FILE] [--keep]

FOLDER holds templates: `*.jinja`, `tokenizer_config.json` (in folders of any depth) or `*.gguf`.
Each is rendered by Jinja2, set up as in `transformers`, over conversations of many kinds; then
`swift test` renders the same and prints what differs. Needs the Python packages `transformers` and
`jinja2`, and `gguf` for GGUF files. The templates are other people's text: keep them out of the
repository.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "fixtures"))
import jinja  # noqa: E402

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a <place> & its \"mood\"",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the city"},
                "days": {"type": "integer", "default": 3, "minimum": 1.5},
                "units": {"type": "string", "enum": ["metric", "imperial"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "place": {"type": ["object", "null"], "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}}, "required": ["lat"]},
            },
            "required": ["city"],
        },
        "return": {"type": "string"},
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "clock", "description": "Die Zeit, 时间, ⏰", "parameters": {"type": "object", "properties": {}}},
}


def call(name, arguments, identifier="abcde1234"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def conversations():
    """Message lists by name."""
    user = {"role": "user", "content": "Hello, who are you?"}
    answer = {"role": "assistant", "content": "I am a test."}
    again = {"role": "user", "content": "And then?"}
    system = {"role": "system", "content": "You are brief."}
    image = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
    called = {"role": "assistant", "content": "", "tool_calls": [call("get_weather", {"city": "Zürich", "days": 2})]}
    called_text = {"role": "assistant", "content": None, "tool_calls": [call("get_weather", '{"city": "Oslo"}'), call("clock", "{}", "fghij5678")]}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "abcde1234", "content": '{"sky": "clear"}'}
    second = {"role": "tool", "name": "clock", "tool_call_id": "fghij5678", "content": "12:00"}
    think = {"role": "assistant", "content": "<think>\nHm, a question.\n</think>\n\nAn answer."}
    reasoned = {"role": "assistant", "content": "An answer.", "reasoning_content": "Let me think."}
    harmony = {"role": "assistant", "content": "An answer.", "thinking": "Deep thought."}
    return {
        "single": [user],
        "empty list": [],
        "system only": [system],
        "system": [system, user],
        "developer": [{"role": "developer", "content": "Obey."}, user],
        "two turns": [user, answer, again],
        "two turns, system": [system, user, answer, again],
        "ends with answer": [system, user, answer],
        "four turns": [user, answer, again, answer, user, answer, again],
        "two users in a row": [user, again],
        "starts with answer": [answer, user],
        "empty content": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}, user],
        "spaces": [{"role": "system", "content": "  spaced \n"}, {"role": "user", "content": "\n\n  a  b \t\n"}, {"role": "assistant", "content": " c\u00a0\u2003"}, again],
        "unicode": [{"role": "user", "content": "naïve e\u0301 日本語 👩‍👩‍👧 \u2028 \u200b ﷽ <b>&'\"</b>"}, {"role": "assistant", "content": "İstanbul ΣΑΣ ß"}, again],
        "template text": [{"role": "user", "content": "{{ bos_token }}{% raw %}<|im_end|>{# c #}"}],
        "long": [m for _ in range(12) for m in (user, answer)] + [user],
        "image": [image],
        "image and text": [system, image, answer, {"role": "user", "content": [{"type": "text", "text": "So?"}]}],
        "tool call": [user, called, result, answer, again],
        "tool call open": [system, user, called, result],
        "tool calls as text": [user, called_text, result, second],
        "tool result alone": [user, result],
        "think": [user, think, again],
        "think last": [system, user, think],
        "reasoning": [user, reasoned, again],
        "reasoning, tools": [user, {**called, "reasoning_content": "I need a tool."}, result, reasoned],
        "thinking": [user, harmony, again],
        "unknown role": [user, {"role": "critic", "content": "Bad."}, again],
        "no content": [{"role": "user"}],
        "number content": [{"role": "user", "content": 3}, answer, again],
        "ipython": [user, {"role": "assistant", "content": "<|python_tag|>1+1"}, {"role": "ipython", "content": {"output": 2}}],
    }


def contexts():
    """What templates are rendered with, by name."""
    documents = [{"title": "One", "text": "First text.", "doc_id": 1}, {"title": "Zwei", "text": "Ünd"}]
    result = {}
    for name, messages in conversations().items():
        base = {"messages": messages, "tools": None, "documents": None, "bos_token": "<s>", "eos_token": "</s>"}
        for prompt in (False, True):
            result[f"{name}, prompt {'on' if prompt else 'off'}"] = {**base, "add_generation_prompt": prompt}
        if name in ("single", "system", "two turns, system", "tool call", "tool call open", "tool calls as text", "reasoning, tools", "image"):
            result[f"{name}, tools"] = {**base, "add_generation_prompt": True, "tools": [WEATHER, CLOCK]}
            result[f"{name}, bare tools"] = {**base, "add_generation_prompt": False, "tools": [WEATHER["function"]]}
        if name in ("single", "system", "two turns, system"):
            result[f"{name}, documents"] = {**base, "add_generation_prompt": True, "documents": documents}
            result[f"{name}, thinking on"] = {**base, "add_generation_prompt": True, "enable_thinking": True, "thinking": True, "reasoning_effort": "high"}
            result[f"{name}, thinking off"] = {**base, "add_generation_prompt": True, "enable_thinking": False, "thinking": False}
            result[f"{name}, extras"] = {**base, "add_generation_prompt": True, "date_string": "1 May 2024", "tools_in_user_message": False, "tools": [CLOCK], "builtin_tools": ["browser", "python"], "custom_tools": [CLOCK], "model_identity": "I am X.", "controls": {"length": "long"}, "keep_past_thinking": True, "xml_tools": [CLOCK["function"]], "python_tools": ["x"]}
            result[f"{name}, no tokens"] = {"messages": messages}
    return result


def templates(folder):
    """Sources by name."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix in (".jinja", ".jinja2"):
            found[name] = path.read_bytes().decode("utf-8")
        elif path.name == "tokenizer_config.json":
            source = json.loads(path.read_text()).get("chat_template")
            for entry in source if isinstance(source, list) else [{"name": "", "template": source}]:
                if entry["template"]:
                    found[f"{name} {entry['name']}".strip()] = entry["template"]
        elif path.suffix == ".gguf":
            from gguf import GGUFReader

            for key, field in GGUFReader(str(path)).fields.items():
                if key.startswith("tokenizer.chat_template") and not key.endswith("s"):
                    found[f"{name} {key}"] = bytes(field.parts[field.data[0]]).decode("utf-8")
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", help="where the templates are")
    arguments.add_argument("--cases", help="write the cases to this file and keep it")
    arguments.add_argument("--no-run", action="store_true", help="only write the cases")
    options = arguments.parse_args()
    sources = templates(options.folder)
    if not sources:
        sys.exit(f"{options.folder}: no templates found (*.jinja, tokenizer_config.json, *.gguf)")
    given = contexts()
    cases = [
        jinja.case(f"{template}: {context}", source, template, context, values)
        for template, source in sources.items()
        for context, values in given.items()
    ]
    # Where Jinja2 runs out of Python's stack, what Hearth's own limit says is not to be compared.
    endless = [case for case in cases if case.get("error", "").startswith("RecursionError")]
    cases = [case for case in cases if case not in endless]
    raised = sum("error" in case for case in cases)
    print(f"{len(sources)} templates, {len(cases)} renderings, {raised} of them errors ({jinja.versions()}); "
          f"{len(endless)} more recurse without end in Jinja2 and are left out")
    path = options.cases or os.path.join(tempfile.mkdtemp(), "cases.json")
    with open(path, "w") as file:
        json.dump({"templates": sources, "contexts": given, "cases": cases}, file)
    if options.no_run:
        return
    root = pathlib.Path(__file__).resolve().parent.parent
    environment = {**os.environ, "HEARTH_TEMPLATE_CASES": os.path.abspath(path)}
    command = ["swift", "test", "--filter", "rendersNamedCases"]
    sys.exit(subprocess.run(command, cwd=root, env=environment).returncode)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes Docs/openapi.json: the routes of `hearth serve`, their parameters, answers and refusals.

    python3 Scripts/openapi.py > Docs/openapi.json

A test compares its routes and who may use them with those of the server.
"""

import json

STRING, BOOL, OBJECT = {"type": "string"}, {"type": "boolean"}, {"type": "object"}


def integer(low, high):
    return {"type": "integer", "minimum": low, "maximum": high}


def number(low, high):
    return {"type": "number", "minimum": low, "maximum": high}


def array(items, most):
    return {"type": "array", "items": items, "maxItems": most}


def shape(required, **properties):
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def texts(most):
    ids = array({"type": "integer"}, 1 << 20)
    return {"anyOf": [STRING, array(STRING, most), ids, array(ids, most)]}


MOST = 2**31 - 1
TEXT_OR_PARTS = {"anyOf": [STRING, array(shape(["type", "text"], type={"enum": ["text"]}, text=STRING), 64)]}
MESSAGE = {"type": "object", "required": ["role"], "properties": {
    "role": {"enum": ["system", "developer", "user", "assistant", "tool"]}, "content": TEXT_OR_PARTS, "name": STRING,
    "tool_calls": array(OBJECT, 128), "tool_call_id": STRING}}
STOP = {"anyOf": [STRING, array(STRING, 16)]}
SAMPLING = {
    "temperature": number(0, 2), "top_p": number(0, 1), "top_k": integer(0, 1000000), "min_p": number(0, 1),
    "presence_penalty": number(-2, 2), "frequency_penalty": number(-2, 2), "repetition_penalty": number(0.01, 100),
    "logit_bias": {"type": "object", "additionalProperties": number(-100, 100)}, "seed": {"type": "integer"}, "stop": STOP,
    "n": integer(1, 8), "stream": BOOL, "stream_options": shape([], include_usage=BOOL), "user": STRING}
TOOL = shape(["type", "function"], type={"enum": ["function"]}, function=shape(
    ["name"], name=STRING, description=STRING, parameters=OBJECT, strict=BOOL))
FORMAT = {"type": "object", "required": ["type"], "properties": {
    "type": {"enum": ["text", "json_object", "json_schema"]},
    "json_schema": shape(["name", "schema"], name=STRING, description=STRING, schema=OBJECT, strict=BOOL)}}
OLLAMA_OPTIONS = shape([], temperature=number(0, 100), top_k=integer(0, 1000000), top_p=number(0, 1), min_p=number(0, 1),
                       repeat_penalty=number(0.01, 100), presence_penalty=number(-2, 2), frequency_penalty=number(-2, 2),
                       seed={"type": "integer"}, stop=STOP, num_predict=integer(-2, MOST), num_ctx=integer(1, MOST))
OLLAMA_FORMAT = {"anyOf": [{"enum": ["json", ""]}, OBJECT]}
HYPERPARAMETERS = shape([], n_epochs={"anyOf": [{"enum": ["auto"]}, integer(1, 50)]},
                        batch_size={"anyOf": [{"enum": ["auto"]}, integer(1, 256)]},
                        learning_rate_multiplier={"anyOf": [{"enum": ["auto"]}, number(0.0001, 100)]})

METADATA = {"type": "object", "maxProperties": 16, "propertyNames": {"minLength": 1, "maxLength": 64},
            "additionalProperties": {"type": "string", "maxLength": 512}}
PAGE = {"after": STRING, "limit": integer(1, 100)}
PART = {"after": STRING, "limit": integer(1, 10000)}
# What stands behind the ?, by path.
QUERIES = {
    "/v1/chat/completions": {**PAGE, "order": {"enum": ["asc", "desc"]}, "model": STRING, "metadata": METADATA},
    "/v1/chat/completions/{completion}/messages": {**PAGE, "order": {"enum": ["asc", "desc"]}},
    "/v1/feedback": PAGE,
    "/v1/files": {**PART, "order": {"enum": ["asc", "desc"]}, "purpose": STRING},
    "/v1/fine_tuning/jobs": PART,
    "/v1/fine_tuning/jobs/{job}/events": PART,
    "/v1/fine_tuning/jobs/{job}/checkpoints": PART,
    "/v1/exports/feedback": {"shape": {"enum": ["messages", "preference"]}},
}

# method, path, scope ("" is open), what it does, the body's schema, the answer's type
ROUTES = [
    ("get", "/", "", "Whether anything listens", None, "text/plain"),
    ("get", "/health", "", "Whether the process lives", None, "application/json"),
    ("get", "/ready", "", "Whether requests are taken", None, "application/json"),
    ("get", "/metrics", "metrics", "Figures for Prometheus", None, "text/plain"),
    ("get", "/v1/models", "chat", "Which models there are", None, "application/json"),
    ("get", "/v1/models/{model}", "chat", "One model", None, "application/json"),
    ("post", "/v1/chat/completions", "chat", "Answers to a conversation", shape(
        ["model", "messages"], model=STRING, messages=array(MESSAGE, 2048), **SAMPLING, max_tokens=integer(1, MOST),
        max_completion_tokens=integer(1, MOST), logprobs=BOOL, top_logprobs=integer(0, 20), response_format=FORMAT,
        tools=array(TOOL, 128), tool_choice={"anyOf": [{"enum": ["none", "auto", "required"]}, OBJECT]},
        parallel_tool_calls=BOOL, store=BOOL, metadata=METADATA), "application/json"),
    ("get", "/v1/chat/completions", "chat", "Stored completions, the eldest first", None, "application/json"),
    ("get", "/v1/chat/completions/{completion}", "chat", "One stored completion", None, "application/json"),
    ("post", "/v1/chat/completions/{completion}", "chat", "Changes a stored completion's metadata", shape(
        ["metadata"], metadata=METADATA), "application/json"),
    ("delete", "/v1/chat/completions/{completion}", "chat", "Deletes a stored completion and its feedback", None, "application/json"),
    ("get", "/v1/chat/completions/{completion}/messages", "chat", "What a stored completion answers", None, "application/json"),
    ("post", "/v1/feedback", "chat", "What somebody thinks of an answer", shape(
        ["completion_id", "rating"], completion_id=STRING, choice=integer(0, 7), rating={"enum": ["up", "down"]}, comment=STRING,
        correction=STRING), "application/json"),
    ("get", "/v1/feedback", "chat", "The key's feedback, the eldest first", None, "application/json"),
    ("get", "/v1/feedback/{feedback}", "chat", "One opinion", None, "application/json"),
    ("delete", "/v1/feedback/{feedback}", "chat", "Takes an opinion back", None, "application/json"),
    ("get", "/v1/exports/conversations", "chat", "The key's stored conversations, one a line", None, "application/jsonl"),
    ("get", "/v1/exports/feedback", "chat", "What can be learned from the key's feedback, one example a line", None, "application/jsonl"),
    ("post", "/v1/completions", "chat", "How texts go on", shape(
        ["model", "prompt"], model=STRING, prompt=texts(64), **SAMPLING, max_tokens=integer(0, MOST), echo=BOOL,
        logprobs=integer(0, 20), best_of=integer(1, 8)), "application/json"),
    ("post", "/tokenize", "chat", "The tokens of a text or a conversation", shape(
        ["model"], model=STRING, prompt=STRING, messages=array(MESSAGE, 2048), special=BOOL, add_special_tokens=BOOL),
     "application/json"),
    ("post", "/detokenize", "chat", "The text of tokens", shape(
        ["model", "tokens"], model=STRING, tokens=array({"type": "integer"}, 1 << 20)), "application/json"),
    ("post", "/v1/embeddings", "embed", "Texts as vectors", shape(
        ["model", "input"], model=STRING, input=texts(2048), encoding_format={"enum": ["float", "base64"]}, user=STRING),
     "application/json"),
    ("post", "/v1/responses", "chat", "Responses, without memory", shape(
        ["model", "input"], model=STRING, input={"anyOf": [STRING, array(OBJECT, 2048)]}, instructions=STRING,
        temperature=number(0, 2), top_p=number(0, 1), max_output_tokens=integer(1, MOST), stream=BOOL, metadata=OBJECT,
        text=shape([], format=OBJECT), user=STRING, tools=array(OBJECT, 128), parallel_tool_calls=BOOL,
        tool_choice={"anyOf": [{"enum": ["none", "auto", "required"]}, OBJECT]}), "application/json"),
    ("post", "/v1/messages", "chat", "Anthropic's messages", shape(
        ["model", "messages", "max_tokens"], model=STRING, messages=array(OBJECT, 2048), system=TEXT_OR_PARTS,
        max_tokens=integer(1, MOST), temperature=number(0, 1), top_p=number(0, 1), top_k=integer(0, 1000000),
        stop_sequences=array(STRING, 16), stream=BOOL, metadata=OBJECT, tools=array(OBJECT, 128), tool_choice=OBJECT,
        output_config=shape([], format=OBJECT)), "application/json"),
    ("post", "/v1/messages/count_tokens", "chat", "What messages cost", shape(
        ["model", "messages"], model=STRING, messages=array(OBJECT, 2048), system=TEXT_OR_PARTS, tools=array(OBJECT, 128),
        tool_choice=OBJECT, output_config=shape([], format=OBJECT)), "application/json"),
    ("post", "/api/generate", "chat", "Ollama's generate", shape(
        ["model"], model=STRING, prompt=STRING, system=STRING, raw=BOOL, stream=BOOL, format=OLLAMA_FORMAT, options=OLLAMA_OPTIONS),
     "application/x-ndjson"),
    ("post", "/api/chat", "chat", "Ollama's chat", shape(
        ["model"], model=STRING, messages=array(OBJECT, 2048), stream=BOOL, format=OLLAMA_FORMAT, options=OLLAMA_OPTIONS,
        tools=array(OBJECT, 128)),
     "application/x-ndjson"),
    ("get", "/api/version", "chat", "The server's version", None, "application/json"),
    ("get", "/api/tags", "chat", "Ollama's list of models", None, "application/json"),
    ("get", "/api/ps", "chat", "Which models are loaded", None, "application/json"),
    ("post", "/api/show", "chat", "One model", shape(["model"], model=STRING, verbose=BOOL), "application/json"),
    ("post", "/api/embed", "embed", "Ollama's embeddings", shape(["model", "input"], model=STRING, input=texts(2048)), "application/json"),
    ("post", "/models/load", "admin", "Loads a model of the store", shape(["model"], model=STRING), "application/json"),
    ("post", "/models/unload", "admin", "Unloads a model", shape(["model"], model=STRING), "application/json"),
    ("post", "/v1/files", "train", "Uploads data to train on", "form", "application/json"),
    ("get", "/v1/files", "train", "The key's files", None, "application/json"),
    ("get", "/v1/files/{file}", "train", "One file", None, "application/json"),
    ("get", "/v1/files/{file}/content", "train", "A file's bytes", None, "application/octet-stream"),
    ("delete", "/v1/files/{file}", "train", "Removes a file", None, "application/json"),
    ("post", "/v1/fine_tuning/jobs", "train", "Starts a fine-tuning job", shape(
        ["model", "training_file"], model=STRING, training_file=STRING, validation_file=STRING, suffix=STRING,
        seed=integer(0, MOST), hyperparameters=HYPERPARAMETERS, metadata=OBJECT), "application/json"),
    ("get", "/v1/fine_tuning/jobs", "train", "The key's jobs", None, "application/json"),
    ("get", "/v1/fine_tuning/jobs/{job}", "train", "One job", None, "application/json"),
    ("post", "/v1/fine_tuning/jobs/{job}/cancel", "train", "Ends a job", None, "application/json"),
    ("get", "/v1/fine_tuning/jobs/{job}/events", "train", "What happened in a job", None, "application/json"),
    ("get", "/v1/fine_tuning/jobs/{job}/checkpoints", "train", "What a job has saved", None, "application/json"),
]


# What writes into the server's store, or may: completions do when they are to be kept.
WRITES = {("post", "/v1/files"), ("delete", "/v1/files/{file}"), ("post", "/v1/fine_tuning/jobs"),
          ("post", "/v1/fine_tuning/jobs/{job}/cancel"), ("post", "/v1/chat/completions"),
          ("post", "/v1/chat/completions/{completion}"), ("delete", "/v1/chat/completions/{completion}"), ("post", "/v1/feedback"),
          ("delete", "/v1/feedback/{feedback}")}


def refusals(method, path, scope, body):
    # Of two Host headers, whoever asks.
    statuses = {400: "The request is not what HTTP has"}
    if scope:
        statuses |= {400: "A parameter is wrong or unknown; the error names it"}
    if body is not None:
        statuses |= {400: "The request is wrong; the error names the parameter", 408: "It did not arrive in time",
                     413: "The body is too large", 415: "The body is of another type"}
    if scope:
        statuses |= {401: "A key is needed", 429: "The key has used up its share"}
    statuses |= {403: "The key lacks the scope, or the host or origin is not known"}
    if "{" in path or body is not None:
        statuses[404] = "There is no such model, file, job, conversation or opinion"
    if path == "/ready" or scope and path != "/metrics":
        statuses[503] = "Too many requests wait, the audit log cannot be written, or the server is ending; Retry-After says when to come back"
    if (method, path) in WRITES:
        statuses[507] = "The server's disk is full, and nothing was kept; the error says which file system"
    return {str(status): {"description": text} for status, text in sorted(statuses.items())}


def operation(method, path, scope, summary, body, answer):
    result = {"summary": summary, "operationId": (method + path).replace("/", "_").replace("{", "").replace("}", ""),
              "x-scope": scope or "none", "security": [{"key": []}] if scope else [],
              "responses": {"200": {"description": "Done", "content": {answer: {}}}, **refusals(method, path, scope, body)}}
    if body is not None and isinstance(body, dict) and "stream" in body["properties"]:
        result["responses"]["200"]["content"] = {"application/json": {}, (
            "application/x-ndjson" if path.startswith("/api/") else "text/event-stream"): {}}
    parameters = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    result["parameters"] = [{"name": name, "in": "path", "required": True, "schema": STRING} for name in parameters]
    if method == "get":
        result["parameters"] += [{"name": name, "in": "query", "schema": schema, **({"style": "deepObject"} if name == "metadata" else {})}
                                 for name, schema in QUERIES.get(path, {}).items()]
    if not result["parameters"]:
        del result["parameters"]
    if body == "form":
        form = shape(["purpose", "file"], purpose={"enum": ["fine-tune"]}, file={"type": "string", "format": "binary"})
        result["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    elif body is not None:
        result["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return result


document = {
    "openapi": "3.1.0",
    "info": {"title": "Hearth", "version": "0.1.0", "description": "What `hearth serve` answers. Docs/serving.md explains it."},
    "components": {"securitySchemes": {"key": {
        "type": "http", "scheme": "bearer", "description": "A key of hearth key create, or a JSON Web Token of the server's identity provider"}}},
    "paths": {},
}
for route in ROUTES:
    document["paths"].setdefault(route[1], {})[route[0]] = operation(*route)
print(json.dumps(document, indent=1))

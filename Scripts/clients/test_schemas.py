"""Schemas: whatever a model that talks nonsense writes is valid, as jsonschema has it."""

import json
import unittest

import httpx
import jsonschema

from server import MODEL, Server

NAME = {"type": "string", "minLength": 1, "maxLength": 8}
SCHEMAS = [
    {"type": "integer", "minimum": -17, "maximum": 2000},
    {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 25},
    {"type": "number", "minimum": 0.05, "exclusiveMaximum": 1},
    {"type": "number", "exclusiveMinimum": -273.15, "maximum": -1.5},
    {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 9999.99},
    {"type": ["integer", "string", "null"], "minimum": 5, "maxLength": 4},
    {"type": "string", "pattern": "^[A-Z]{2}\\d{2}(?: \\d{4}){1,3}$"},
    {"type": "string", "pattern": "ab|^c", "maxLength": 10},
    {"type": "string", "pattern": "^\\S+@\\S+\\.[a-z]{2,3}$", "minLength": 8, "maxLength": 16},
    {"type": "string", "pattern": "^[^\\w\"\\\\]{3}$"},
    *({"type": "string", "format": name} for name in
      ["date", "time", "date-time", "duration", "uuid", "hostname", "email", "ipv4", "ipv6"]),
    {"type": "array", "items": {"enum": ["a", 1, None, {"b": [True]}]}, "minItems": 2, "maxItems": 5},
    {"type": "array", "prefixItems": [NAME, {"type": "integer", "minimum": 0}], "items": False, "minItems": 2},
    {"type": "object", "properties": {"a": NAME, "b": {"type": "number", "maximum": 3, "minimum": 0}}, "required": ["a"]},
    {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 9}},
    {"allOf": [{"$ref": "#/$defs/named"}, {"properties": {"age": {"type": "integer", "minimum": 0, "maximum": 130}},
                                           "required": ["age"]}],
     "$defs": {"named": {"type": "object", "properties": {"name": NAME}, "required": ["name"]}}},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0,
                                                                                       "maximum": 10}}, "required": ["kind", "radius"]},
               {"type": "object", "properties": {"kind": {"const": "square"}, "side": {"type": "integer", "minimum": 1, "maximum": 10}},
                "required": ["kind", "side"]}]},
    {"type": "object", "properties": {"id": {"type": "integer", "minimum": 1, "maximum": 99}}, "required": ["id"],
     "anyOf": [{"properties": {"a": NAME}, "required": ["a"]}, {"properties": {"b": {"type": "null"}}, "required": ["b"]}]},
    {"enum": [1, 2, 30, "x"], "maximum": 10},
    # Of these, the second never ends.
    {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/endless"}],
     "$defs": {"endless": {"type": "array", "items": {"$ref": "#/$defs/endless"}, "minItems": 1}}},
]
NOBODYS = [{"$ref": "#"}, {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}]


class SchemaTests(unittest.TestCase):
    def test_what_no_value_satisfies_is_refused(self):
        server = Server("--no-keys")
        try:
            for schema in NOBODYS:
                reply = httpx.post(server.address + "/v1/chat/completions", timeout=120, json={
                    "model": MODEL, "messages": [{"role": "user", "content": "An example, please."}], "max_tokens": 9,
                    "response_format": {"type": "json_schema", "json_schema": {"name": "example", "schema": schema}}})
                self.assertEqual((reply.status_code, reply.json()["error"]["code"]), (400, "unsupported_schema"), reply.text)
        finally:
            server.end()

    def test_answers_are_valid(self):
        server = Server("--no-keys")
        whole = 0
        try:
            with httpx.Client(base_url=server.address, timeout=120) as client:
                for schema in SCHEMAS:
                    validator = jsonschema.Draft202012Validator(
                        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
                    for seed in range(6):
                        reply = client.post("/v1/chat/completions", json={
                            "model": MODEL, "messages": [{"role": "user", "content": "An example, please."}], "seed": seed,
                            "max_tokens": 300, "response_format": {
                                "type": "json_schema", "json_schema": {"name": "example", "schema": schema}}})
                        self.assertEqual(reply.status_code, 200, reply.text)
                        choice = reply.json()["choices"][0]
                        if choice["finish_reason"] == "stop":
                            whole += 1
                            value = json.loads(choice["message"]["content"])
                            try:
                                validator.validate(value)
                            except jsonschema.ValidationError:
                                # 0.07 is no multiple of 0.01 in binary; in decimals it is.
                                if "multipleOf" not in schema or round(value / schema["multipleOf"]) * schema["multipleOf"] - value > 1e-9:
                                    raise
        finally:
            server.end()
        self.assertGreater(whole, 6 * len(SCHEMAS) * 0.9)


if __name__ == "__main__":
    unittest.main()

"""Ollama's and Anthropic's clients."""

import json
import unittest

import anthropic
import httpx
import jsonschema
import ollama

from server import MODEL, Server

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
OPTIONS = {"temperature": 0, "num_predict": 24}
CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}


class OtherClientTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Open on this machine, whatever keys there are: how Ollama's clients expect it.
        cls.server = Server("--no-keys")
        cls.ollama = ollama.Client(host=cls.server.address)
        cls.anthropic = anthropic.Anthropic(base_url=cls.server.address, api_key="any", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.anthropic.close()
        status, log = cls.server.end()
        assert status == 0, log

    def test_ollama_chat(self):
        whole = self.ollama.chat(model=MODEL, messages=QUESTION, options=OPTIONS)
        self.assertTrue(whole.message.content)
        self.assertGreater(whole.eval_count, 0)
        stream = self.ollama.chat(model=MODEL + ":latest", messages=QUESTION, options=OPTIONS, stream=True)
        self.assertEqual("".join(part.message.content for part in stream), whole.message.content)

    def test_ollama_generate(self):
        whole = self.ollama.generate(model=MODEL, prompt="Once upon a time", raw=True, options=OPTIONS)
        stream = self.ollama.generate(model=MODEL, prompt="Once upon a time", raw=True, options=OPTIONS, stream=True)
        self.assertEqual("".join(part.response for part in stream), whole.response)
        schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 30}}, "required": ["city"]}
        reply = self.ollama.generate(
            model=MODEL, prompt="The capital of France, as JSON.", format=schema, options={"temperature": 0, "num_predict": 120})
        jsonschema.validate(json.loads(reply.response), schema)

    def test_ollama_models(self):
        # What Ollama's own command line asks first; its Python client does not.
        version = httpx.get(self.server.address + "/api/version").json()["version"]
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")
        self.assertEqual([model.model for model in self.ollama.list().models], [MODEL])
        self.assertEqual(self.ollama.show(MODEL).details.family, "llama")
        self.assertEqual([model.model for model in self.ollama.ps().models], [MODEL])
        self.assertEqual(len(self.ollama.embed(model=MODEL, input=["a", "b"]).embeddings), 2)
        with self.assertRaises(ollama.ResponseError) as caught:
            self.ollama.chat(model="nobody", messages=QUESTION)
        self.assertEqual(caught.exception.status_code, 404)
        with self.assertRaises(ollama.ResponseError) as caught:
            self.ollama.chat(model=MODEL, messages=QUESTION, options={"mirostat": 2})
        self.assertIn("mirostat", caught.exception.error)

    def test_anthropic(self):
        common = {"model": MODEL, "messages": QUESTION, "system": "You are brief."}
        greedy = {"extra_body": {"temperature": 0}}
        whole = self.anthropic.messages.create(max_tokens=24, **greedy, **common)
        self.assertTrue(whole.content[0].text)
        self.assertIn(whole.stop_reason, ("end_turn", "max_tokens"))
        with self.anthropic.messages.stream(max_tokens=24, **greedy, **common) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)
        self.assertGreater(self.anthropic.messages.count_tokens(**common).input_tokens, 10)
        stop = text[4:8]
        stopped = self.anthropic.messages.create(max_tokens=24, stop_sequences=[stop], **greedy, **common)
        self.assertEqual((stopped.stop_reason, stopped.stop_sequence), ("stop_sequence", stop))
        self.assertEqual(stopped.content[0].text, text[:text.index(stop)])
        with self.assertRaises(anthropic.BadRequestError):
            self.anthropic.messages.create(max_tokens=24, extra_body={"temprature": 1}, **common)
        with self.assertRaises(anthropic.NotFoundError):
            self.anthropic.messages.create(model="nobody", max_tokens=1, messages=QUESTION)

    def test_anthropic_tools(self):
        tools = [{"name": "population", "description": "How many people live in a city.", "input_schema": CITY}]
        said = [{"role": "user", "content": "How many people live in Paris?"}]
        options = {"model": MODEL, "max_tokens": 200, "tools": tools, "extra_body": {"temperature": 0},
                   "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}
        whole = self.anthropic.messages.create(messages=said, **options)
        call = whole.content[-1]
        self.assertEqual((whole.stop_reason, call.type, call.name), ("tool_use", "tool_use", "population"))
        jsonschema.validate(call.input, CITY)
        with self.anthropic.messages.stream(messages=said, **options) as stream:
            final = stream.get_final_message()
        self.assertEqual((final.stop_reason, final.content[-1].input), ("tool_use", call.input))
        # What came is sent back as it came, with the result.
        said += [{"role": "assistant", "content": [block.model_dump() for block in whole.content]},
                 {"role": "user", "content": [
                     {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "2,100,000"}]},
                     {"type": "text", "text": "Answer in one word."}]}]
        answer = self.anthropic.messages.create(
            messages=said, **{**options, "tool_choice": {"type": "none"}, "max_tokens": 20})
        self.assertTrue(answer.content[0].text)
        self.assertGreater(self.anthropic.messages.count_tokens(model=MODEL, messages=said, tools=tools).input_tokens, 20)
        named = self.anthropic.messages.create(
            messages=said[:1], **{**options, "tool_choice": {"type": "tool", "name": "population", "disable_parallel_tool_use": True}})
        self.assertEqual(named.stop_reason, "tool_use")
        with self.assertRaises(anthropic.BadRequestError):
            self.anthropic.messages.create(model=MODEL, max_tokens=9, messages=QUESTION, tools=[
                {"type": "web_search_20250305", "name": "web_search"}])

    def test_anthropic_structured_output(self):
        reply = self.anthropic.messages.create(
            model=MODEL, max_tokens=100, messages=QUESTION,
            output_config={"format": {"type": "json_schema", "schema": {**CITY, "additionalProperties": False}}})
        jsonschema.validate(json.loads(reply.content[0].text), CITY)

    def test_ollama_tools(self):
        def add(a: int, b: int) -> int:
            """Adds two numbers.

            Args:
              a: the first
              b: the second
            """
            return a + b

        # The client makes a tool's description out of a function.
        said = [{"role": "user", "content": "What is 2 + 2?"}]
        call = {"function": {"name": "add", "arguments": {"a": 2, "b": 2}}}
        options = {"temperature": 0, "num_predict": 30}
        whole = self.ollama.chat(model=MODEL, messages=said, tools=[add], options=options)
        stream = list(self.ollama.chat(model=MODEL, messages=said, tools=[add], options=options, stream=True))
        self.assertEqual("".join(part.message.content or "" for part in stream), whole.message.content or "")
        calls = [call.function for part in stream for call in part.message.tool_calls or []]
        self.assertEqual(calls, [call.function for call in whole.message.tool_calls or []])
        self.assertEqual((stream[-1].done, stream[-1].done_reason), (True, whole.done_reason))
        said += [{"role": "assistant", "content": "", "tool_calls": [call]},
                 {"role": "tool", "tool_name": "add", "content": "4"}]
        answer = self.ollama.chat(model=MODEL, messages=said, tools=[add], options=options)
        self.assertTrue(answer.done)


if __name__ == "__main__":
    unittest.main()

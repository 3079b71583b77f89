"""OpenAI's client."""

import json
import unittest
from typing import Annotated

import openai
from openai import OpenAI
from pydantic import BaseModel, Field

from server import MODEL, TALKS_SENSE, Server, hearth

# Bounded, so that a model that talks nonsense comes to an end too.
Short = Annotated[str, Field(max_length=20)]

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


class OpenAITests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        name = "openai-tests"
        for key in hearth("key", "list", "--json"):
            if key["name"] == name and "revoked" not in key:
                hearth("key", "revoke", name)
        cls.key = hearth("key", "create", "--name", name, "--scope", "chat,embed,admin,metrics,train", "--json")["key"]
        cls.server = Server()
        cls.client = OpenAI(base_url=cls.server.address + "/v1", api_key=cls.key, max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        status, log = cls.server.end()
        hearth("key", "revoke", "openai-tests")
        assert status == 0, log
        for line in log.splitlines():
            assert json.loads(line)["level"] in ("info", "debug"), line

    def test_models(self):
        models = self.client.models.list().data
        self.assertEqual([model.id for model in models], [MODEL])
        self.assertEqual(self.client.models.retrieve(MODEL).object, "model")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("nobody")

    def ask(self, **options):
        return self.client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 24, **options})

    def test_chat(self):
        reply = self.ask()
        self.assertTrue(reply.choices[0].message.content)
        self.assertIn(reply.choices[0].finish_reason, ("stop", "length"))
        self.assertEqual(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens)
        self.assertTrue(reply._request_id.startswith("req-"))
        again = self.ask()
        self.assertEqual(again.choices[0].message.content, reply.choices[0].message.content)
        self.assertGreater(again.usage.prompt_tokens_details.cached_tokens, 0)

    def test_chat_stream(self):
        whole = self.ask(seed=5, temperature=0.9, n=2)
        texts, usage = {0: "", 1: ""}, None
        for chunk in self.ask(seed=5, temperature=0.9, n=2, stream=True, stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        self.assertEqual(texts, {choice.index: choice.message.content for choice in whole.choices})
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)

    def test_chat_logprobs(self):
        content = self.ask(logprobs=True, top_logprobs=3).choices[0].logprobs.content
        self.assertEqual(len(content[0].top_logprobs), 3)
        self.assertEqual(content[0].logprob, max(top.logprob for top in content[0].top_logprobs))
        self.assertEqual(bytes(content[0].bytes).decode(), content[0].token)

    def test_chat_options(self):
        whole = self.ask().choices[0].message.content
        stop = whole[4:8]
        self.assertEqual(len(stop), 4)
        self.assertEqual(self.ask(stop=[stop]).choices[0].message.content, whole[:whole.index(stop)])
        self.assertEqual(self.ask(max_completion_tokens=3, max_tokens=openai.NOT_GIVEN).usage.completion_tokens, 3)
        banned = self.ask(logprobs=True).choices[0].logprobs.content[0].token
        ids = self.post("/tokenize", model=MODEL, prompt=banned)["tokens"]
        self.assertEqual(len(ids), 1)
        other = self.ask(logit_bias={str(ids[0]): -100}, logprobs=True).choices[0].logprobs.content[0].token
        self.assertNotEqual(other, banned)
        self.ask(presence_penalty=0.5, frequency_penalty=0.5, top_p=0.9, user="someone")

    def test_structured_output(self):
        class City(BaseModel):
            name: Short
            population: int
            capital: bool

        # parse() sends the class's schema and reads the answer back into it.
        reply = self.client.chat.completions.parse(
            model=MODEL, messages=QUESTION, response_format=City, temperature=0, max_tokens=200)
        self.assertIsInstance(reply.choices[0].message.parsed, City)
        reply = self.ask(response_format={"type": "json_object"}, max_tokens=300)
        if reply.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(reply.choices[0].message.content), dict)

    TOOLS = [{"type": "function", "function": {
        "name": "population", "description": "How many people live in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 40}}, "required": ["city"],
                       "additionalProperties": False}}}]

    def test_tools(self):
        messages = [{"role": "user", "content": "How many people live in Paris?"}]
        for stream in (False, True):
            reply = self.ask(messages=messages, tools=self.TOOLS, tool_choice="required", parallel_tool_calls=False,
                             max_tokens=200, stream=stream)
            if stream:
                chunks = [chunk.choices[0] for chunk in reply]
                call = next(chunk.delta.tool_calls[0] for chunk in chunks if chunk.delta.tool_calls)
                self.assertEqual(chunks[-1].finish_reason, "tool_calls")
            else:
                call = reply.choices[0].message.tool_calls[0]
                self.assertEqual(reply.choices[0].finish_reason, "tool_calls")
                messages_after = messages + [
                    reply.choices[0].message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "2,100,000"}]
                self.assertTrue(self.ask(messages=messages_after, tools=self.TOOLS, max_tokens=40).choices)
            self.assertEqual(call.function.name, "population")
            self.assertEqual(list(json.loads(call.function.arguments)), ["city"])
        self.ask(tools=self.TOOLS, tool_choice="none")
        self.ask(tools=self.TOOLS, tool_choice={"type": "function", "function": {"name": "population"}}, max_tokens=200)

    def test_completions(self):
        create = self.client.completions.create
        reply = create(model=MODEL, prompt="The capital of France is", max_tokens=4, temperature=0, logprobs=2, echo=True)
        self.assertTrue(reply.choices[0].text.startswith("The capital of France is"))
        self.assertIsNone(reply.choices[0].logprobs.token_logprobs[0])
        self.assertEqual("".join(reply.choices[0].logprobs.tokens), reply.choices[0].text)
        self.assertEqual(create(model=MODEL, prompt=["a", "b"], n=2, max_tokens=2).choices[3].index, 3)
        scored = create(model=MODEL, prompt=[[104, 234]], max_tokens=0, logprobs=1, echo=True)
        self.assertEqual(len(scored.choices[0].logprobs.token_logprobs), 2)
        text = "".join(chunk.choices[0].text for chunk in create(
            model=MODEL, prompt="The capital of France is", max_tokens=4, temperature=0, echo=True, stream=True))
        self.assertEqual(text, reply.choices[0].text)

    def test_responses(self):
        reply = self.client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=12, temperature=0)
        self.assertTrue(reply.output_text)
        with self.client.responses.stream(model=MODEL, input="Say hello.", max_output_tokens=12, temperature=0) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        self.assertEqual(text, reply.output_text)
        with self.assertRaises(openai.BadRequestError):
            self.client.responses.create(model=MODEL, input="x", previous_response_id="resp_1")

        class Greeting(BaseModel):
            word: Short
            loud: bool

        parsed = self.client.responses.parse(model=MODEL, input="Say hello.", text_format=Greeting, max_output_tokens=200)
        self.assertIsInstance(parsed.output_parsed, Greeting)

    def test_tools_of_responses(self):
        function = self.TOOLS[0]["function"]
        options = {"model": MODEL, "tools": [{"type": "function", "strict": True, **function}], "temperature": 0,
                   "tool_choice": "required", "parallel_tool_calls": False, "max_output_tokens": 200}
        said = [{"role": "user", "content": "How many people live in Paris?"}]
        reply = self.client.responses.create(input=said, **options)
        call = reply.output[-1]
        self.assertEqual((call.type, call.name, call.status), ("function_call", "population", "completed"))
        self.assertEqual(list(json.loads(call.arguments)), ["city"])
        self.assertEqual(reply.tools[0].name, "population")
        # What came is sent back as it came, with the result.
        said += reply.output
        said.append({"type": "function_call_output", "call_id": call.call_id, "output": "2,100,000"})
        answer = self.client.responses.create(input=said, **{**options, "tool_choice": "none", "max_output_tokens": 20})
        self.assertTrue(answer.output_text)
        with self.client.responses.stream(input=said[:1], **options) as stream:
            deltas = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
            final = stream.get_final_response().output[-1]
        self.assertEqual("".join(deltas), call.arguments)
        self.assertEqual((final.name, final.arguments), (call.name, call.arguments))
        words = self.client.responses.create(input="Hello!", **{**options, "tool_choice": "auto", "max_output_tokens": 20})
        self.assertTrue(words.output)
        with self.assertRaises(openai.BadRequestError):
            self.client.responses.create(input="x", model=MODEL, tools=[{"type": "web_search"}])

    def test_embeddings(self):
        reply = self.client.embeddings.create(model=MODEL, input=["a cat", "a kitten", "tax law"])
        vectors = [entry.embedding for entry in reply.data]
        self.assertAlmostEqual(sum(x * x for x in vectors[0]), 1, places=4)
        near, far = (sum(x * y for x, y in zip(vectors[0], other)) for other in vectors[1:])
        if TALKS_SENSE:
            self.assertGreater(near, far)

    def test_errors(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.ask(extra_body={"temprature": 1})
        self.assertEqual((caught.exception.param, caught.exception.code), ("temprature", "unknown_parameter"))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.ask(messages=[{"role": "user", "content": "word " * 9000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        self.assertIn("8192", str(caught.exception))
        with self.assertRaises(openai.NotFoundError):
            self.ask(model="nobody")
        with self.assertRaises(openai.AuthenticationError):
            OpenAI(base_url=self.server.address + "/v1", api_key="wrong").models.list()
        limited = hearth("key", "create", "--name", "limited", "--scope", "chat", "--rate", "1", "--json")["key"]
        try:
            client = OpenAI(base_url=self.server.address + "/v1", api_key=limited, max_retries=0)
            client.models.list()
            with self.assertRaises(openai.RateLimitError) as caught:
                client.models.list()
            self.assertGreater(int(caught.exception.response.headers["retry-after"]), 0)
            with self.assertRaises(openai.PermissionDeniedError):
                OpenAI(base_url=self.server.address + "/v1", api_key=hearth(
                    "key", "create", "--name", "narrow", "--scope", "metrics", "--json")["key"]).models.list()
        finally:
            for name in ("limited", "narrow"):
                hearth("key", "revoke", name)

    def post(self, path, **body):
        reply = self.client._client.post(self.server.address + path, json=body, headers={"Authorization": "Bearer " + self.key})
        reply.raise_for_status()
        return reply.json()

    def test_other_routes(self):
        ids = self.post("/tokenize", model=MODEL, prompt="Hello, world!")["tokens"]
        self.assertEqual(self.post("/detokenize", model=MODEL, tokens=ids)["prompt"], "Hello, world!")
        for path in ("/health", "/ready"):
            self.assertEqual(self.client._client.get(self.server.address + path).status_code, 200)
        metrics = self.client._client.get(self.server.address + "/metrics", headers={"Authorization": "Bearer " + self.key}).text
        self.assertIn("hearth_time_to_first_token_seconds_bucket", metrics)
        self.assertTrue(self.post("/models/unload", model=MODEL)["unloaded"])
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve(MODEL)
        self.assertEqual(self.post("/models/load", model=MODEL)["id"], MODEL)
        self.assertEqual(self.client.models.retrieve(MODEL).id, MODEL)


if __name__ == "__main__":
    unittest.main()

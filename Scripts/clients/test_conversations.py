"""Stored completions through OpenAI's client, feedback beside it, and what becomes of them at rest."""

import json
import os
import subprocess
import tempfile
import unittest

import httpx
import openai
from openai import OpenAI

from server import HEARTH, MODEL, Server, hearth

# Tokens that end an answer are ruled out, so that there is one.
ASK = {"model": MODEL, "temperature": 0, "max_tokens": 12, "logit_bias": {"2": -100, "0": -100}}


class ConversationTests(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.names = []

    def tearDown(self):
        for name in self.names:
            hearth("key", "revoke", name)
        hearth("conversations", "delete", "--all")
        self.folder.cleanup()

    def key(self, name, scope="chat"):
        self.names.append(name)
        return hearth("key", "create", "--name", name, "--scope", scope, "--json")["key"]

    def path(self, name, text=None):
        path = os.path.join(self.folder.name, name)
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o600)
        return path

    def ask(self, client, text, **options):
        return client.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": text}], "store": True, **options})

    def test_openai(self):
        key, stranger = self.key("conversations"), self.key("stranger", "chat,admin")
        server = Server("--store-conversations")
        try:
            with OpenAI(base_url=server.address + "/v1", api_key=key, max_retries=0) as client, \
                    OpenAI(base_url=server.address + "/v1", api_key=stranger, max_retries=0) as other:
                first = self.ask(client, "What is quince?", metadata={"topic": "jam"})
                chunks = list(self.ask(client, "And marmalade?", stream=True))
                self.ask(client, "Not kept.", store=False)
                text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
                stored = client.chat.completions
                self.assertEqual([found.id for found in stored.list()], [first.id, chunks[0].id])
                self.assertEqual([found.id for found in stored.list(limit=1)], [first.id, chunks[0].id])
                self.assertEqual([found.id for found in stored.list(metadata={"topic": "jam"})], [first.id])
                self.assertEqual([found.id for found in stored.list(order="desc", limit=1).data], [chunks[0].id])
                kept = stored.retrieve(first.id)
                self.assertEqual(kept.choices, first.choices)
                self.assertEqual(kept.metadata, {"topic": "jam"})
                self.assertEqual(stored.retrieve(chunks[0].id).choices[0].message.content, text)
                self.assertEqual([message.content for message in stored.messages.list(first.id)], ["What is quince?"])
                self.assertEqual(stored.update(first.id, metadata={"topic": "tea"}).metadata, {"topic": "tea"})
                self.assertEqual(list(other.chat.completions.list()), [])
                with self.assertRaises(openai.NotFoundError):
                    other.chat.completions.retrieve(first.id)

                # Feedback has no place in OpenAI's API; its client sends what it is told to.
                up = client.post("/feedback", body={"completion_id": first.id, "rating": "up"}, cast_to=httpx.Response).json()
                client.post("/feedback", cast_to=object, body={
                    "completion_id": chunks[0].id, "rating": "down", "comment": "sour", "correction": "It is made of oranges."})
                with self.assertRaises(openai.NotFoundError):
                    other.post("/feedback", body={"completion_id": first.id, "rating": "up"}, cast_to=object)
                lines = client.get("/exports/feedback?shape=preference", cast_to=httpx.Response).text.splitlines()
                self.assertEqual([json.loads(line) for line in lines], [{
                    "prompt": [{"role": "user", "content": "And marmalade?"}], "chosen": "It is made of oranges.", "rejected": text}])
                self.assertEqual(client.get("/feedback/" + up["id"], cast_to=httpx.Response).json(), up)
                page = client.get("/feedback?limit=1", cast_to=httpx.Response).json()
                self.assertEqual(([found["id"] for found in page["data"]], page["has_more"]), ([up["id"]], True))
                client.delete("/feedback/" + up["id"], cast_to=object)
                with self.assertRaises(openai.NotFoundError):
                    client.get("/feedback/" + up["id"], cast_to=object)
                self.assertEqual(len(client.get("/exports/conversations", cast_to=httpx.Response).text.splitlines()), 2)
                self.assertTrue(stored.delete(first.id).deleted)
                self.assertEqual([found.id for found in stored.list()], [chunks[0].id])
                for number in range(5):
                    found = self.ask(client, f"What is {number}?")
                    client.post("/feedback", cast_to=object, body={
                        "completion_id": found.id, "rating": "down", "correction": f"It is {number}."})
        finally:
            self.assertEqual(server.end()[0], 0)
        # What people did not like is learned from: the export is what `hearth finetune` reads.
        pairs, chats = self.path("pairs.jsonl"), self.path("chats.jsonl")
        hearth("conversations", "feedback", pairs, "--shape", "preference")
        hearth("conversations", "feedback", chats, "--key", "conversations")
        for data, more in ((pairs, ["--objective", "dpo"]), (chats, [])):
            hearth("finetune", "--model", MODEL, "--data", data, "--output", self.path("run-" + os.path.basename(data)), "--max-steps", "1",
                   "--quiet", *more)

    def test_contents_in_the_audit_log(self):
        first, second = self.path("first", "33" * 32), self.path("second", "44" * 32)
        secret = "a spare lies under the pot"
        database = os.path.join(os.environ["HEARTH_HOME"], "hearth.sqlite")

        def holds():
            with open(database, "rb") as file:
                return secret.encode() in file.read()

        def run(*arguments):
            return subprocess.run([HEARTH, "audit", *arguments], capture_output=True, text=True, timeout=120)

        def serve(*arguments, stream=False):
            server = Server("--no-keys", *arguments)
            try:
                with OpenAI(base_url=server.address + "/v1", api_key="none", max_retries=0) as client:
                    answer = self.ask(client, secret, store=False, stream=stream)
                    if not stream:
                        return answer.choices[0].message.content
                    return "".join(choice.delta.content or "" for chunk in answer for choice in chunk.choices)
            finally:
                self.assertEqual(server.end()[0], 0)

        def shown(*arguments):
            done = run("show", "--last", "5", "--contents", *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("    {")]

        serve()
        self.assertEqual((shown(), holds()), ([], False))
        texts = [serve("--audit-contents", "--encryption-key", first, stream=stream) for stream in (False, True)]
        self.assertFalse(holds())
        self.assertIn("--encryption-key", run("show", "--contents").stderr)
        found = shown("--encryption-key", first)
        self.assertEqual([entry["answered"][0]["text"] for entry in found], texts)
        self.assertEqual([entry["asked"]["messages"][0]["content"] for entry in found], [secret] * 2)
        self.assertIn("2 contents were not looked at", run("verify").stdout)
        self.assertIn("2 contents are what was said", run("verify", "--encryption-key", first).stdout)
        hearth("conversations", "rotate", "--encryption-key", first, "--new-key", second)
        self.assertEqual(shown("--encryption-key", second), found)
        hearth("conversations", "rotate", "--encryption-key", second, "--plain")
        self.assertTrue(holds())
        self.assertEqual(hearth("audit", "forget", "--all"), "2 contents are removed\n")
        self.assertFalse(holds())
        verdict = hearth("audit", "verify", "--json")
        self.assertEqual((verdict["contents"], verdict["contents_removed"]), (0, 2))
        self.assertNotIn("contents_broken_at", verdict)

    def test_copies_have_uploaded_files(self):
        key = self.key("copies", "train")
        lines = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
        copy = self.path("copy.sqlite")
        server = Server()
        try:
            with OpenAI(base_url=server.address + "/v1", api_key=key, max_retries=0) as client:
                file = client.files.create(file=("../data.jsonl", lines * 30_000), purpose="fine-tune").id
                self.assertIn("1 uploaded files", hearth("backup", copy))
                client.files.delete(file)
                # What runs would write on into what is put aside.
                done = subprocess.run([HEARTH, "backup", copy, "--restore"], capture_output=True, text=True)
                self.assertEqual(done.returncode, 1)
                self.assertIn("a server runs here", done.stderr)
        finally:
            self.assertEqual(server.end()[0], 0)
        hearth("backup", copy, "--restore")
        server = Server()
        try:
            with OpenAI(base_url=server.address + "/v1", api_key=key, max_retries=0) as client:
                self.assertEqual(client.files.content(file).read(), lines * 30_000)
        finally:
            self.assertEqual(server.end()[0], 0)

    def test_encryption_at_rest(self):
        home = os.environ["HEARTH_HOME"]
        database = os.path.join(home, "hearth.sqlite")
        first, second = self.path("first", "11" * 32), self.path("second", "22" * 32)
        secret = "the combination is nineteen"

        def holds():
            with open(database, "rb") as file:
                return secret.encode() in file.read()

        def refused(*arguments):
            done = subprocess.run([HEARTH, "serve", MODEL, "--port", "0", *arguments], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1, done.stderr)
            return done.stderr

        def serve(*arguments, ask=True):
            server = Server("--no-keys", "--store-conversations", *arguments)
            try:
                with OpenAI(base_url=server.address + "/v1", api_key="none", max_retries=0) as client:
                    if ask:
                        self.ask(client, secret)
                    return [message.content for found in client.chat.completions.list()
                            for message in client.chat.completions.messages.list(found.id)]
            finally:
                self.assertEqual(server.end()[0], 0)

        self.assertEqual(serve(), [secret])
        self.assertTrue(holds())
        self.assertIn("rotate", refused("--encryption-key", first))
        hearth("conversations", "rotate", "--new-key", first)
        self.assertFalse(holds())
        self.assertEqual(serve("--encryption-key", first), [secret] * 2)
        self.assertFalse(holds())
        self.assertIn("--encryption-key", refused())
        self.assertIn("encrypted with the key", refused("--encryption-key", second))
        os.chmod(second, 0o644)
        self.assertIn("chmod 600", refused("--encryption-key", second))
        os.chmod(second, 0o600)
        copy = self.path("copy.sqlite")
        hearth("backup", copy)
        hearth("conversations", "rotate", "--encryption-key", first, "--new-key", second)
        self.assertIn("encrypted with the key", refused("--encryption-key", first))
        self.assertEqual(serve("--encryption-key", second, ask=False), [secret] * 2)
        # The copy is as it was, and so is its key.
        hearth("backup", copy, "--restore")
        self.assertEqual(serve("--encryption-key", first, ask=False), [secret] * 2)
        out = self.path("out.jsonl")
        hearth("conversations", "export", out, "--encryption-key", first)
        with open(out) as file:
            self.assertEqual(len(file.readlines()), 2)
        hearth("conversations", "rotate", "--encryption-key", first, "--plain")
        self.assertTrue(holds())


if __name__ == "__main__":
    unittest.main()

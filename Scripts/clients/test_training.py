"""Files and fine-tuning jobs by OpenAI's client, on the real trainer."""

import io
import json
import os
import signal
import unittest

import openai
from openai import OpenAI

from server import MODEL, Server, hearth, wait_until


def children(process):
    """The processes that a process has started."""
    found = []
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/children") as file:
            found += map(int, file.read().split())
    return found


class TrainingTests(unittest.TestCase):
    def wait(self, client, job):
        """Jobs have the lowest priority: on a busy machine they may take long."""
        wait_until(lambda: self.is_over(client, job), f"{job.id} is over", seconds=1200)

    def is_over(self, client, job):
        return client.fine_tuning.jobs.retrieve(job.id).status in ("succeeded", "failed", "cancelled")

    def test_a_job(self):
        server = Server("--no-keys")
        client = OpenAI(base_url=server.address + "/v1", api_key="any", max_retries=0)
        try:
            with self.assertRaises(openai.BadRequestError) as caught:
                client.files.create(file=("bad.jsonl", io.BytesIO(b'{"messages": 3}\n')), purpose="fine-tune")
            self.assertIn("bad.jsonl:1", str(caught.exception))
            lines = [{"messages": [{"role": "user", "content": f"What is item {i}?"},
                                   {"role": "assistant", "content": f"Item {i} is a jar."}]} for i in range(8)]
            data = "\n".join(json.dumps(line) for line in lines).encode()
            file = client.files.create(file=("jars.jsonl", io.BytesIO(data)), purpose="fine-tune")
            self.assertEqual(client.files.retrieve(file.id).bytes, len(data))
            self.assertEqual(client.files.content(file.id).read(), data)
            self.assertIn(file.id, [entry.id for entry in client.files.list()])

            job = client.fine_tuning.jobs.create(
                model=MODEL, training_file=file.id, validation_file=file.id, suffix="jars",
                hyperparameters={"n_epochs": 1, "batch_size": 4})
            self.assertIn(job.status, ("queued", "running"))
            self.wait(client, job)
            job = client.fine_tuning.jobs.retrieve(job.id)
            self.assertEqual(job.status, "succeeded", job.error)
            self.assertIn(job.id, [found.id for found in client.fine_tuning.jobs.list()])
            events = client.fine_tuning.jobs.list_events(job.id).data
            self.assertTrue(any(event.message.startswith("step 2") for event in events))
            checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
            self.assertTrue(checkpoints)
            for checkpoint in checkpoints:
                name = checkpoint.fine_tuned_model_checkpoint
                self.assertEqual(client.models.retrieve(name).tuning["step"], checkpoint.step_number)
                reply = client.chat.completions.create(
                    model=name, messages=[{"role": "user", "content": "What is item 3?"}], max_tokens=4)
                self.assertEqual((reply.model, reply.usage.completion_tokens <= 4), (name, True))
            with self.assertRaises(openai.NotFoundError):
                client.models.retrieve(f"{name.rsplit('-', 1)[0]}-999")
            # In parts, from the latest on; the client puts them together.
            first = client.fine_tuning.jobs.list_events(job.id, limit=2)
            self.assertEqual([event.id for event in first.data], [event.id for event in events[:2]])
            self.assertTrue(first.has_more)
            self.assertEqual([event.id for event in first], [event.id for event in events])
            self.assertEqual(len(client.fine_tuning.jobs.list(limit=1).data), 1)

            # What was learned can be asked at once, beside its base.
            tuned = client.models.retrieve(job.fine_tuned_model)
            self.assertEqual((tuned.parent, tuned.root, tuned.tuning["base"]), (MODEL, MODEL, MODEL))
            self.assertGreater(tuned.tuning["base_loss"], 0)
            reply = client.chat.completions.create(
                model=job.fine_tuned_model, messages=[{"role": "user", "content": "What is item 3?"}], max_tokens=12)
            self.assertTrue(reply.choices[0].message.content)

            other = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id, hyperparameters={"n_epochs": 50})
            self.assertEqual(client.fine_tuning.jobs.cancel(other.id).status, "cancelled")
            with self.assertRaises(openai.NotFoundError):
                client.fine_tuning.jobs.retrieve("ftjob-none")
            self.assertTrue(client.files.delete(file.id).deleted)
            hearth("remove", job.fine_tuned_model)
        finally:
            status, log = server.end(120)
        self.assertEqual(status, 0, log)

    def test_steps_are_told_when_they_are_taken(self):
        lines = [{"messages": [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": f"{i}."}]} for i in range(24)]
        data = "\n".join(json.dumps(line) for line in lines).encode()
        server = Server("--no-keys")
        client = OpenAI(base_url=server.address + "/v1", api_key="any", max_retries=0, timeout=60)
        try:
            file = client.files.create(file=("numbers.jsonl", io.BytesIO(data)), purpose="fine-tune")
            # All that is said of them is less than what a pipe holds.
            job = client.fine_tuning.jobs.create(
                model=MODEL, training_file=file.id, hyperparameters={"n_epochs": 10 if MODEL == "tiny" else 1, "batch_size": 1})
            log = os.path.join(os.environ["HEARTH_HOME"], "runs", job.id, "metrics.jsonl")

            def taken():
                if not os.path.exists(log):
                    return 0
                with open(log) as file:
                    return file.read().count('"step"')

            wait_until(lambda: taken() > 3 or self.is_over(client, job), "steps are taken", seconds=1200)
            trainer = children(server.process.pid)[0]
            # While it stands still, nothing else can make it tell.
            os.kill(trainer, signal.SIGSTOP)
            try:
                wait_until(lambda: [event for event in client.fine_tuning.jobs.list_events(job.id).data
                                    if event.message.startswith("step ")], "steps are told")
                self.assertEqual(client.fine_tuning.jobs.retrieve(job.id).status, "running")
            finally:
                os.kill(trainer, signal.SIGCONT)
            client.fine_tuning.jobs.cancel(job.id)
        finally:
            client.close()
            server.end()

    def test_a_job_outlives_its_server(self):
        # Steps of few tokens, many of them: long enough to be interrupted, short where there is nothing to do.
        lines = [{"messages": [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": f"{i}."}]} for i in range(24)]
        data = "\n".join(json.dumps(line) for line in lines).encode()

        def start():
            server = Server("--no-keys")
            return server, OpenAI(base_url=server.address + "/v1", api_key="any", max_retries=0, timeout=60)

        server, client = start()
        try:
            file = client.files.create(file=("numbers.jsonl", io.BytesIO(data)), purpose="fine-tune")
            job = client.fine_tuning.jobs.create(
                model=MODEL, training_file=file.id, suffix="numbers",
                hyperparameters={"n_epochs": 50 if MODEL == "tiny" else 2, "batch_size": 1})

            def steps():
                messages = [event.message for event in client.fine_tuning.jobs.list_events(job.id).data]
                return sum(message.startswith("step ") for message in messages)

            wait_until(lambda: steps() > 5, "the job has begun")
            client.close()
            # First as a supervisor ends a server, then as a machine does.
            self.assertEqual(server.end()[0], 0)
            server, client = start()
            before = steps()
            wait_until(lambda: steps() > before + 5 or self.is_over(client, job), "the job goes on")
            client.close()
            server.process.kill()
            server.process.communicate()
            server, client = start()
            self.wait(client, job)
            done = client.fine_tuning.jobs.retrieve(job.id)
            self.assertEqual(done.status, "succeeded", done.error)
            # It may have been done before the server was killed; the next one knows what was learned.
            wait_until(lambda: done.fine_tuned_model in [model.id for model in client.models.list()], "the model is there")
            hearth("remove", done.fine_tuned_model)
        finally:
            client.close()
            server.end()


if __name__ == "__main__":
    unittest.main()

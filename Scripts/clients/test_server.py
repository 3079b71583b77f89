"""What no client's API shows: clients that go, TLS, the end."""

import os
import ssl
import subprocess
import threading
import time
import unittest

import httpx

from server import HEARTH, Server, hearth

LONG = {"model": "smollm2", "messages": [{"role": "user", "content": "Tell a very long story."}], "stream": True,
        "max_tokens": 400, "logit_bias": {"2": -100, "0": -100}, "temperature": 0}


class ServerTests(unittest.TestCase):
    def running(self, client):
        lines = client.get("/metrics").text.splitlines()
        return int(next(line for line in lines if line.startswith("hearth_requests_running ")).split()[1])

    def test_a_gone_client_frees_its_place(self):
        server = Server("--no-keys")
        try:
            with httpx.Client(base_url=server.address, timeout=60) as client:
                for _ in range(5):
                    with client.stream("POST", "/v1/chat/completions", json=LONG) as reply:
                        # The first chunk says who speaks, the second what.
                        lines = (line for line in reply.iter_lines() if line)
                        next(lines), next(lines)
                        self.assertEqual(self.running(client), 1)
                    gone = time.monotonic()
                    while self.running(client) > 0:
                        self.assertLess(time.monotonic() - gone, 1)
                    self.assertLess(time.monotonic() - gone, 0.5)
        finally:
            server.end()

    def test_the_end_lets_streams_finish(self):
        server = Server("--no-keys")
        finished = []

        def stream():
            with httpx.stream("POST", server.address + "/v1/chat/completions", json=LONG, timeout=60) as reply:
                finished.append(list(reply.iter_lines())[-2:])

        thread = threading.Thread(target=stream)
        thread.start()
        with httpx.Client(base_url=server.address, timeout=60) as client:
            while self.running(client) == 0:
                time.sleep(0.01)
            server.process.terminate()
            deadline = time.monotonic() + 5
            while client.get("/ready").status_code != 503:
                self.assertLess(time.monotonic(), deadline)
            refused = client.post("/v1/chat/completions", json=LONG)
            self.assertEqual(refused.status_code, 503)
            self.assertIn("retry-after", refused.headers)
        status, log = server.end()
        thread.join()
        self.assertEqual(status, 0, log)
        self.assertIn("data: [DONE]", finished[0])

    def test_tls(self):
        server = Server("--tls", "self-signed", "--no-keys")
        try:
            certificate = os.path.join(os.environ["HEARTH_HOME"], "tls", "certificate.pem")
            context = ssl.create_default_context(cafile=certificate)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            self.assertTrue(server.address.startswith("https://"))
            with httpx.Client(base_url=server.address, verify=context) as client:
                self.assertEqual(client.get("/v1/models").status_code, 200)
            with self.assertRaises(httpx.HTTPError):
                httpx.get(server.address + "/health")
        finally:
            server.end()

    def test_an_open_address_is_refused(self):
        for arguments in (["--host", "0.0.0.0"],):
            done = subprocess.run([HEARTH, "serve", "smollm2", "--port", "0", *arguments], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn("--insecure", done.stderr)

    def test_the_audit_log_holds(self):
        self.assertNotIn("broken_at", hearth("audit", "verify", "--json"))


if __name__ == "__main__":
    unittest.main()

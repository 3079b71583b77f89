"""What no client's API shows: clients that go, TLS, the end."""

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import httpx

from server import HEARTH, MODEL, Server, hearth, wait_until

# As long as the context, or cut off: tokens that end an answer are ruled out.
ENDLESS = {"model": MODEL, "messages": [{"role": "user", "content": "Tell a very long story."}], "stream": True,
           "logit_bias": {"2": -100, "0": -100}, "temperature": 0}
LONG = {**ENDLESS, "max_tokens": 1500 if MODEL == "tiny" else 400}


class ServerTests(unittest.TestCase):
    def test_those_who_look_whether_it_runs(self):
        server = Server()
        try:
            for reply in (httpx.get(server.address), httpx.head(server.address)):
                self.assertEqual((reply.status_code, reply.headers["content-type"]), (200, "text/plain; charset=utf-8"))
            self.assertEqual(httpx.get(server.address).text, "Hearth is running")
        finally:
            server.end()

    def figure(self, client, name):
        """A figure of /metrics."""
        lines = client.get("/metrics").text.splitlines()
        return int(next((line for line in lines if line.startswith(name + " ")), name + " 0").split()[1])

    def running(self, client):
        return self.figure(client, "hearth_requests_running")

    def test_a_gone_client_frees_its_place(self):
        server = Server("--no-keys")
        try:
            with httpx.Client(base_url=server.address, timeout=120) as client:
                for number in range(1, 6):
                    with client.stream("POST", "/v1/chat/completions", json=ENDLESS) as reply:
                        # The first chunk says who speaks, the second what.
                        lines = (line for line in reply.iter_lines() if line)
                        next(lines), next(lines)
                        self.assertEqual(self.running(client), 1)
                    # Left alone, it would end too: that it was given up is counted.
                    wait_until(lambda: self.figure(client, "hearth_clients_gone_total") == number, "the client is missed")
                    wait_until(lambda: self.running(client) == 0, "its place is free")
        finally:
            server.end()

    def test_the_end_lets_streams_finish(self):
        server = Server("--no-keys", "--drain-seconds", "100")
        finished = []

        def stream():
            with httpx.stream("POST", server.address + "/v1/chat/completions", json=LONG, timeout=120) as reply:
                finished.append(list(reply.iter_lines())[-2:])

        thread = threading.Thread(target=stream)
        with httpx.Client(base_url=server.address, timeout=120) as client:
            thread.start()
            wait_until(lambda: self.running(client) > 0, "the answer is under way")
            server.process.terminate()
            wait_until(lambda: client.get("/ready").status_code == 503, "the server ends")
            refused = client.post("/v1/chat/completions", json=LONG)
            self.assertEqual(refused.status_code, 503)
            self.assertIn("retry-after", refused.headers)
        thread.join()
        status, log = server.end()
        self.assertEqual(status, 0, log)
        told = [line for line in map(json.loads, log.splitlines()) if line["message"] == "request"]
        self.assertTrue(told)
        for line in told:
            self.assertEqual((type(line["status"]), type(line["complete"])), (int, bool), line)
            self.assertGreaterEqual(line["seconds"], 0, line)
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

    def test_a_renewed_certificate_is_shown_without_a_restart(self):
        folder = os.path.join(os.environ["HEARTH_HOME"], "tls")
        with tempfile.TemporaryDirectory() as place:
            certificate, key = os.path.join(place, "certificate.pem"), os.path.join(place, "key.pem")

            def make(name):
                """A certificate of its own, as --tls self-signed makes them."""
                shutil.rmtree(folder, ignore_errors=True)
                Server("--tls", "self-signed", "--no-keys").end()
                shutil.copytree(folder, os.path.join(place, name))

            def put(name):
                for file in (key, certificate):
                    shutil.copy(os.path.join(place, name, os.path.basename(file)), file + ".new")
                    os.chmod(file + ".new", 0o600)
                    os.replace(file + ".new", file)

            def text(name):
                with open(os.path.join(place, name, "certificate.pem")) as file:
                    return file.read().strip()

            make("first"), make("second")
            self.assertNotEqual(text("first"), text("second"))

            def point(name):
                """As Kubernetes mounts a secret: files are links into a folder that is a link, which is turned."""
                os.symlink(os.path.join(place, name), os.path.join(place, "data.new"))
                os.replace(os.path.join(place, "data.new"), os.path.join(place, "data"))

            point("first")
            links = [os.path.join(place, "linked-" + name) for name in ("certificate.pem", "key.pem")]
            for link, name in zip(links, ("certificate.pem", "key.pem")):
                os.symlink(os.path.join("data", name), link)
            server = Server("--tls-certificate", links[0], "--tls-key", links[1], "--no-keys")
            try:
                address = ("127.0.0.1", int(server.address.rsplit(":", 1)[1]))
                self.assertEqual(ssl.get_server_certificate(address).strip(), text("first"))
                point("second")
                wait_until(lambda: ssl.get_server_certificate(address).strip() == text("second"), "the new one is shown")
            finally:
                log = server.end()[1]
            self.assertIn("encrypting with a new certificate", log)

            put("first")
            server = Server("--tls-certificate", certificate, "--tls-key", key, "--no-keys")
            try:
                address = ("127.0.0.1", int(server.address.rsplit(":", 1)[1]))
                self.assertEqual(ssl.get_server_certificate(address).strip(), text("first"))
                context = ssl.create_default_context(cafile=os.path.join(place, "first", "certificate.pem"))
                with httpx.Client(base_url=server.address, verify=context) as client:
                    self.assertEqual(client.get("/health").status_code, 200)
                    put("second")
                    wait_until(lambda: ssl.get_server_certificate(address).strip() == text("second"), "the new one is shown")
                    # Who was connected stays so.
                    self.assertEqual(client.get("/health").status_code, 200)
                # What is no certificate is not shown, and the log says so.
                with open(certificate, "w") as file:
                    file.write("nothing")
                time.sleep(1.5)
                self.assertEqual(ssl.get_server_certificate(address).strip(), text("second"))
            finally:
                log = server.end()[1]
            self.assertEqual(log.count("the new certificate cannot be used"), 1, log)

    def test_a_log_that_nobody_reads_stops_nobody(self):
        process = subprocess.Popen([HEARTH, "serve", MODEL, "--port", "0", "--json", "--no-keys", "--log-json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            address = json.loads(process.stdout.readline())["address"]
            with httpx.Client(base_url=address, timeout=120) as client:
                # Two hundred bytes a line and more: far beyond what a pipe and the queue hold.
                for number in range(8000):
                    self.assertEqual(client.get("/v1/models").status_code, 200)
                self.assertGreater(self.figure(client, "hearth_log_lines_dropped_total"), 0)
            process.terminate()
            self.assertEqual(process.wait(60), 0)
            for line in process.stderr.read().splitlines()[:-1]:
                json.loads(line)
        finally:
            process.kill()
            process.communicate()

    def test_an_open_address_is_refused(self):
        for arguments in (["--host", "0.0.0.0"],):
            done = subprocess.run([HEARTH, "serve", MODEL, "--port", "0", *arguments], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn("--insecure", done.stderr)

    def test_the_audit_log_holds(self):
        self.assertNotIn("broken_at", hearth("audit", "verify", "--json"))


if __name__ == "__main__":
    unittest.main()

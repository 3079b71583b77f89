"""A server under test: `hearth serve` as a process of its own, on a free port."""

import json
import os
import signal
import subprocess
import tempfile
import time

HEARTH = os.environ["HEARTH"]
# The name of a model in the store; `tiny` is the one that model.py makes, and talks nonsense.
MODEL = os.environ.get("MODEL", "tiny")
TALKS_SENSE = MODEL != "tiny"


def wait_until(holds, what, seconds=60):
    """Waits until a condition holds. The limit only ends what would never end: machines that are busy take their time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.01)


def hearth(*arguments):
    """Runs a command to its end and gives its JSON."""
    done = subprocess.run([HEARTH, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


class Server:
    def __init__(self, *arguments, models=(MODEL,)):
        # A file: a pipe that nobody reads would be full after some hundreds of requests, and the server would wait for its reader.
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [HEARTH, "serve", *models, "--port", "0", "--json", "--log-json", *arguments],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise RuntimeError(self.logged())
        self.address = json.loads(line)["address"]

    def end(self, seconds=120):
        """Ends the server as a supervisor would; gives its status and what it logged."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=seconds)
        return self.process.returncode, self.logged()

    def logged(self):
        if not self.log.closed:
            self.log.seek(0)
            self.text = self.log.read()
            self.log.close()
        return self.text

"""A server under test: `hearth serve` as a process of its own, on a free port."""

import json
import os
import signal
import subprocess

HEARTH = os.environ["HEARTH"]


def hearth(*arguments):
    """Runs a command to its end and gives its JSON."""
    done = subprocess.run([HEARTH, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


class Server:
    def __init__(self, *arguments, models=("smollm2",)):
        self.process = subprocess.Popen(
            [HEARTH, "serve", *models, "--port", "0", "--json", "--log-json", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read())
        self.address = json.loads(line)["address"]

    def end(self, seconds=40):
        """Ends the server as a supervisor would; gives its status and what it logged."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=seconds)
        return self.process.returncode, log

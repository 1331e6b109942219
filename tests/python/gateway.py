"""Runs `jjj serve` on a sandbox, with the sandbox's clock where the story needs it."""

import json
import pathlib
import re
import signal
import subprocess
import time


class Gateway:
    def __init__(self, jjj, sandbox):
        self.jjj, self.sandbox = jjj, pathlib.Path(sandbox)
        self.process, self.clock_offset_s, self.clients = None, 0, []

    def serve(self, clock_offset_s):
        """Starts the gateway, again if it runs, its time ahead of the real one by so many seconds."""
        self.stop()
        config = self.sandbox / "jjj.toml"
        text = re.sub(r"(?m)^clock_offset_s = .*\n", "", config.read_text())
        config.write_text(text.replace("sandbox = true\n", f"sandbox = true\nclock_offset_s = {clock_offset_s}\n"))
        self.clock_offset_s = clock_offset_s
        with (self.sandbox / "gateway.log").open("a") as log:
            command = [self.jjj, "serve", "--config", config]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        # One line of JSON names what it listens on.
        ports = json.loads(self.process.stdout.readline() or "{}")
        assert ports, f"the gateway did not start; see {self.sandbox / 'gateway.log'}"
        self.origin, self.address, self.public = ports["origin"], ports["grpc"], ports["public"]
        for client in self.clients:
            client.connect(self.address)

    def stop(self):
        """Asks it to stop, which finishes what it has accepted."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            # As long as it takes at most: jjj_server::gateway::STOPPED_WITHIN.
            assert self.process.wait(85) == 0, "the gateway did not stop cleanly"
            self.process = None

    def now(self):
        """Seconds since 1970 by the gateway's clock."""
        return time.time() + self.clock_offset_s

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        elif self.process:
            self.process.kill()
            self.process.wait()

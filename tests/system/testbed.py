"""What the system tests stand on: our binaries as processes, conditions to wait for, and messages read with stock
libraries. Ends only processes that it started, by their own handle."""

import base64
import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

import cbor2
from pycose.headers import Algorithm, ContentType, KID
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import Sign1Message

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = pathlib.Path(os.environ["CARGO_TARGET_DIR"]) / "release"
VALIDATE = BINARIES.parent / "debug/examples/validate"
DATA = pathlib.Path(os.environ["VARDPULS_DATA"])
PUBLIC_KEY = re.compile(r"ed25519:[A-Za-z0-9_-]{43}")


class TestCase(unittest.TestCase):
    """A test with a folder of its own that is kept, and named, when the test fails."""

    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vardpuls-"))
        self.processes = contextlib.ExitStack()
        # Also where the rest of a setUp fails.
        self.addCleanup(self.clear)

    def clear(self):
        self.processes.close()
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            print(f"\n      logs are in {self.folder}")
        else:
            shutil.rmtree(self.folder)

    def start(self, name, command, **options):
        """Starts a process that ends with the test."""
        process = Process(name, command, self.folder, **options)
        self.processes.callback(process.kill)
        return process


class Process:
    """One process and its output, in files."""

    def __init__(self, name, command, folder, **options):
        self.name, self.folder = name, folder
        self.command, self.options = [str(part) for part in command], options
        self.output, self.errors = folder / f"{name}.out", folder / f"{name}.err"
        self.spawn()

    def spawn(self):
        """Starts it, again if need be; the files are continued."""
        with self.output.open("ab") as output, self.errors.open("ab") as errors:
            # A session of its own: what a wrapper such as faketime starts ends with it.
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True,
                **self.options
            )

    def text(self):
        return self.output.read_text(errors="replace")

    def log(self):
        return self.text() + self.errors.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def kill(self):
        """SIGKILL to it and to what it has started, and waits until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=15):
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def ends(self, seconds):
        """Its exit status, by itself."""
        return self.process.wait(seconds)


class CommandFailed(AssertionError):
    """A command ended with another status than 0."""


def wait_for(what, condition, seconds=30, process=None):
    """What `condition` gives once it is true. Fails when the time is up or `process` has ended."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except (OSError, ValueError, KeyError, CommandFailed, subprocess.SubprocessError) as error:
            last = error
        if process is not None and not process.running():
            raise AssertionError(f"{process.name} ended while waiting for {what}:\n{process.log()[-3000:]}")
        time.sleep(0.05)
    tail = f"\n{process.log()[-3000:]}" if process else ""
    raise AssertionError(f"no {what} within {seconds} s ({last}){tail}")


def free_port():
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path):
    """A JSON document over HTTP."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


def run(command, seconds=60, **options):
    """A command to its end; its output. A status other than 0 is an error that shows both outputs."""
    command = [str(part) for part in command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, **options)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def public_key(text):
    """The COSE key of our text form."""
    encoded = text.removeprefix("ed25519:")
    return OKPKey(crv=Ed25519, x=base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))


def decode_one(data):
    """Exactly one CBOR item; bytes after it are an error."""
    stream = io.BytesIO(data)
    value = cbor2.CBORDecoder(stream).decode()
    if stream.read(1):
        raise ValueError("bytes follow the item")
    return value


class Refused(Exception):
    """An envelope that a reader must not believe, with the layer that shows it."""

    def __init__(self, layer, why):
        super().__init__(f"{layer}: {why}")
        self.layer = layer


def opened(envelope, key, content_type, kid=None):
    """The payload of an envelope of this content type that `key` signed."""
    try:
        decode_one(envelope)
        message = Sign1Message.decode(envelope)
    except Exception as error:  # pycose and cbor2 raise many kinds
        raise Refused("envelope", error) from error
    if message.phdr.get(Algorithm) is None or message.phdr[Algorithm].fullname != "EDDSA":
        raise Refused("envelope", "not EdDSA")
    if message.phdr.get(ContentType) != content_type:
        raise Refused("envelope", f"content type {message.phdr.get(ContentType)}")
    if kid is not None and message.phdr.get(KID) != kid:
        raise Refused("envelope", f"key id {message.phdr.get(KID)}")
    message.key = key
    if not message.verify_signature():
        raise Refused("signature", "does not verify")
    return message.payload


def follows_cddl(message, payloads):
    """Fails where a payload does not follow the CDDL of its message."""
    lines = "".join(payload.hex() + "\n" for payload in payloads)
    done = subprocess.run([VALIDATE, message], input=lines, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(f"not a valid {message}: {done.stdout}{done.stderr}")

"""kill -9 of agents, broker and aggregator under load: a few rounds of what 50 show (ARCHITECTURE.md)."""

import subprocess

from testbed import BINARIES, TestCase


class Rounds(TestCase):
    def rounds(self, *arguments):
        command = [BINARIES / "rounds", "--dir", self.folder / "rounds", *arguments]
        done = subprocess.run(
            [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900
        )
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        print("\n      " + "\n      ".join(line for line in done.stdout.splitlines() if line.startswith("|")))
        self.assertIn("nothing lost", done.stdout)

    def test_ten_rounds_with_mosquitto_lose_nothing(self):
        self.rounds("--rounds", 10, "--hospitals", 6, "--seed", 1)

    def test_three_rounds_with_the_embedded_broker_lose_nothing(self):
        self.rounds("--rounds", 3, "--hospitals", 3, "--seed", 2, "--embedded")

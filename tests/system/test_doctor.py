"""The doctor and the status of real agents, with a real Mosquitto, as the users that a package would use: what needs root
or Debian. The faults that need neither are in agent/tests/doctor.rs."""

import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import time

from testbed import BINARIES, PUBLIC_KEY, ROOT, CommandFailed, TestCase, free_port, get, run, wait_for

HOSPITAL = "SE2321000016-1003"
AGENT = pwd.getpwnam("nobody")
STRANGER = pwd.getpwnam("daemon")


def as_user(user, group=None):
    """What runs a command as a user with one group."""
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={AGENT.pw_gid if group is None else group}", "--clear-groups"]


class Doctor(TestCase):
    def setUp(self):
        super().setUp()
        # The binaries may lie where only root may enter.
        self.binaries = self.folder / "bin"
        self.binaries.mkdir()
        shutil.copy(BINARIES / "vardpuls-agent", self.binaries)
        for folder in [self.folder, self.binaries]:
            folder.chmod(0o755)
        self.port, self.http = free_port(), free_port()
        self.start_broker()
        self.start_centre()
        self.make_hospital()

    # --- what the operators would do -------------------------------------------------------------------------------

    def start_broker(self):
        state = self.folder / "mosquitto"
        state.mkdir()
        passwords = state / "passwords"
        passwords.touch(mode=0o600)
        for name in [HOSPITAL, "aggregator"]:
            run(["mosquitto_passwd", "-b", passwords, name, f"secret of {name}"])
        self.acl = state / "acl"
        shutil.copy(ROOT / "packaging/mosquitto/acl", self.acl)
        # As shipped: who logs in is the client, so that a second login of a hospital pushes the first one off.
        (state / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nacl_file {self.acl}\n"
            "use_username_as_clientid true\nuser root\nmax_packet_size 67584\n"
        )
        self.broker = self.start("mosquitto", ["mosquitto", "-c", state / "mosquitto.conf"])
        connects = lambda: socket.create_connection(("127.0.0.1", self.port)).close() is None  # noqa: E731
        wait_for("listening broker", connects, 20, self.broker)

    def start_centre(self):
        folder = self.folder / "centre"
        (folder / "hospitals.d").mkdir(parents=True)
        (folder / "password").write_text("secret of aggregator")
        self.centre_config = folder / "aggregator.toml"
        self.centre_config.write_text(
            'key-file = "centre.key"\nhospitals-dir = "hospitals.d"\n'
            f'[broker]\nurl = "mqtt://127.0.0.1:{self.port}"\nusername = "aggregator"\npassword-file = "password"\n'
            f'[store]\npath = "vardpuls.db"\n[http]\nlisten = "127.0.0.1:{self.http}"\n'
        )
        made = run([BINARIES / "vardpuls-aggregator", "keygen", "--config", self.centre_config])
        self.centre_key = PUBLIC_KEY.search(made).group()
        self.centre = self.start("aggregator", [BINARIES / "vardpuls-aggregator", "run", "--config", self.centre_config])
        wait_for("ready aggregator", lambda: get(self.http, "/readyz"), 30, self.centre)

    def make_hospital(self):
        self.home = self.folder / "hospital"
        for name, mode in [("", 0o755), ("state", 0o700), ("run", 0o755)]:
            (self.home / name).mkdir(mode=mode)
            (self.home / name).chmod(mode)
        self.config = self.home / "agent.toml"
        self.config.write_text(
            f'hospital = "{HOSPITAL}"\nname = "Test"\nregion = "01"\nstate-dir = "state"\n'
            f'status-socket = "run/status.sock"\nkey-file = "agent.key"\ncentre-key = "{self.centre_key}"\n'
            f'[broker]\nurl = "mqtt://127.0.0.1:{self.port}"\nusername = "{HOSPITAL}"\npassword-file = "password"\n'
            '[report]\nheartbeat = "2s"\nmin-gap = "0s"\njitter = "0s"\nvalid-for = "60s"\n'
            '[[ward]]\nindex = 1\nid = "iva"\nname = "IVA"\ncare = "icu"\n'
            '[[source]]\nname = "beds"\nkind = "csv"\npath = "beds.csv"\nscan = "100ms"\nsettle = "0s"\n'
            '[source.columns]\nward = "Ward"\nstaffed = "Staffed"\noccupied = "Occupied"\n'
        )
        (self.home / "beds.csv").write_text("Ward,Staffed,Occupied\niva,10,9\n")
        (self.home / "password").write_text(f"secret of {HOSPITAL}\n")
        (self.home / "password").chmod(0o600)
        for path in [self.home, *self.home.iterdir()]:
            os.chown(path, AGENT.pw_uid, AGENT.pw_gid)
        self.card = self.folder / "card.toml"
        self.card.write_text(self.agent("keygen")[1])

    def enrol(self):
        run([BINARIES / "vardpuls-aggregator", "enrol", self.card, "--config", self.centre_config])
        listed = lambda: get(self.http, f"/api/v1/hospitals/{HOSPITAL}")  # noqa: E731
        wait_for("enrolled hospital", listed, 30, self.centre)

    def edit_enrolment(self, old, new):
        file = self.folder / "centre/hospitals.d" / f"{HOSPITAL}.toml"
        text = file.read_text()
        self.assertIn(old, text)
        file.write_text(text.replace(old, new))

    def agent(self, *command, user=AGENT, group=None, wrap=()):
        """A command of the agent as a user: exit status and output."""
        command = [*as_user(user, group), *wrap, self.binaries / "vardpuls-agent", *command, "--config", self.config]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=90)
        return done.returncode, done.stdout + done.stderr

    def start_agent(self, wrap=()):
        command = [*as_user(AGENT), *wrap, self.binaries / "vardpuls-agent", "run", "--config", self.config]
        # The user has no home here that it could need.
        self.running = self.start("agent", command, cwd=self.home)
        return self.running

    def status(self):
        code, text = self.agent("status", "--json")
        if code:
            raise CommandFailed(text)
        return json.loads(text)

    def until_receipted(self, at_least=1):
        wait_for("receipt", lambda: self.status()["outbox"]["released"] >= at_least, 30, self.running)

    # --- what they would see ---------------------------------------------------------------------------------------

    def check(self, **options):
        code, text = self.agent("check", "--json", **options)
        try:
            findings = json.loads(text)
        except ValueError:
            self.fail(text)
        self.assertEqual(code, int(any(f["level"] == "failed" for f in findings)), text)
        return findings

    def found(self, step, level, what, remedy, **options):
        """The finding of a check; its text names the fault and the remedy."""
        findings = self.check(**options)
        for finding in findings:
            if finding["step"] == step and finding["level"] == level and what in finding["what"]:
                self.assertIn(remedy, finding["remedy"])
                return findings
        self.fail(f"no {level} at {step} with {what!r}:\n" + json.dumps(findings, indent=1))

    # --- the tests -------------------------------------------------------------------------------------------------

    def test_from_never_enrolled_to_revoked_each_state_is_named(self):
        self.found("enrolment", "failed", "never enrolled", "keygen --card-only")
        self.enrol()
        findings = self.check()
        self.assertEqual([f for f in findings if f["level"] != "ok"], [])
        self.start_agent()
        self.until_receipted()
        findings = self.check()
        self.assertEqual([f for f in findings if f["level"] != "ok"], [])
        self.found("login", "ok", "the running agent is logged in", "")
        connection = self.status()["connection"]
        self.assertEqual((connection["connected"], connection["failures"]), (True, 0), "the check pushed the agent off")
        drift = self.status()["clock"]
        self.assertLess(abs(drift["least-ms"]), 5000)
        self.assertLessEqual(drift["least-ms"], drift["most-ms"])

        self.edit_enrolment('state = "enrolled"', 'state = "suspended"')
        wait_for("refusal", lambda: self.status()["refused"], 30, self.running)
        self.found("enrolment", "failed", "suspended", "ask the centre")
        self.edit_enrolment('state = "suspended"', 'state = "enrolled"')
        before = self.status()["outbox"]["released"]
        self.until_receipted(before + 1)
        self.found("enrolment", "ok", "receipted", "")
        file = self.folder / "centre/hospitals.d" / f"{HOSPITAL}.toml"
        file.write_text(file.read_text() + 'revoked = "2024-01-01T00:00:00Z"\n')
        revoked = lambda: [r for r in self.status()["refused"] if r["reason"] == "revoked_key"]  # noqa: E731
        wait_for("refusal of the key", revoked, 30, self.running)
        self.found("enrolment", "failed", "revoked this key", "make a new key")
        code, line = self.agent("status", "--nagios")
        self.assertEqual(code, 2, line)
        self.assertIn("revoked_key", line)
        self.assertEqual(self.running.stop(), 0)
        self.found("enrolment", "failed", "revoked this key", "make a new key")

    def test_an_unknown_key_is_told_by_the_feed_while_no_receipt_comes(self):
        self.enrol()
        (self.home / "agent.key").unlink()
        self.agent("keygen")
        self.start_agent()
        wait_for("the centre's word", lambda: self.status()["word"], 60, self.running)
        waits = lambda: self.found("enrolment", "failed", "does not know this key", "enrol CARD")  # noqa: E731
        deadline = time.monotonic() + 90
        while True:
            try:
                waits()
                break
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def test_what_mosquitto_refuses_is_named(self):
        self.enrol()
        (self.home / "password").write_text("wrong\n")
        findings = self.found("login", "failed", f'refuses the login: it was given username "{HOSPITAL}"', "password-file")
        self.assertNotIn("wrong\"", json.dumps(findings))
        (self.home / "password").write_text(f"secret of {HOSPITAL}\n")
        self.found("login", "ok", "takes username", "")
        # Mosquitto grants every subscription and then sends nothing, so that only a broker that says so can be named.
        self.broker.stop()
        self.found("tcp", "failed", "nothing listens", "whether the broker runs")
        self.found("login", "not-tried", "cannot be reached", "")

    def test_files_that_the_agents_user_may_not_read(self):
        self.enrol()
        key = self.home / "agent.key"
        os.chown(key, 0, 0)
        self.found("key", "failed", "Permission denied", "agent's user may read it")
        os.chown(key, STRANGER.pw_uid, 0)
        key.chmod(0o600)
        found = json.loads(self.agent_as_root("check", "--json")[1])
        texts = [f["what"] for f in found if f["step"] in ("key", "state-dir") and f["level"] == "warning"]
        self.assertTrue(any("neither root nor the agent's user" in t for t in texts), found)
        self.assertTrue(any("checked as root" in t for t in texts), found)
        os.chown(key, AGENT.pw_uid, AGENT.pw_gid)
        key.chmod(0o644)
        self.found("key", "failed", "can be read by others", "chmod 600")
        key.chmod(0o600)
        (self.home / "beds.csv").chmod(0)
        self.found("source beds", "failed", "cannot be read", "let the agent's user read the file")
        (self.home / "state").chmod(0o500)
        self.found("state-dir", "failed", "Permission denied", "let the agent's user write there")
        (self.home / "state").chmod(0o700)

    def agent_as_root(self, *command):
        command = [str(self.binaries / "vardpuls-agent"), *command, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        return done.returncode, done.stdout

    def test_a_full_disk(self):
        self.enrol()
        state = self.home / "state"
        run(["mount", "-t", "tmpfs", "-o", f"size=8m,mode=700,uid={AGENT.pw_uid}", "vardpuls-test", state])
        self.processes.callback(lambda: run(["umount", state]))
        self.found("disk", "warning", "MiB free, but an outbox", "free some space")
        with (state / "filler").open("wb") as filler:
            try:
                while True:
                    filler.write(b"x" * 65536)
                    filler.flush()
            except OSError:
                pass
        findings = self.found("disk", "failed", "0 bytes free", "free some space, or move state-dir")
        self.assertIn("no space left", json.dumps(findings))

    def test_a_clock_that_is_ten_minutes_ahead(self):
        self.assertTrue(shutil.which("faketime"), "tests/system/run installs it")
        self.enrol()
        ahead = ["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", "+10m"]
        # Before it runs: by the feed. While it runs: by receipts, to a fraction of a second.
        self.found("clock", "failed", "ahead of the centre's", "timedatectl", wrap=ahead)
        self.start_agent(ahead)
        self.until_receipted()
        findings = self.found("clock", "failed", "by the newest receipt", "timedatectl", wrap=ahead)
        text = next(f["what"] for f in findings if f["step"] == "clock")
        seconds, give = re.match(r"(\d+) s ahead of the centre's, give or take ([\d.]+) s", text).groups()
        self.assertLessEqual(abs(int(seconds) - 600), 5)
        self.assertLessEqual(float(give), 5)
        self.assertIn("the clock is", self.agent("status", "--nagios", wrap=ahead)[1])

    def test_status_for_monitoring(self):
        self.assertTrue(shutil.which("promtool"), "tests/system/run installs it with prometheus")
        self.enrol()
        code, line = self.agent("status", "--nagios")
        self.assertEqual((code, line.startswith("VARDPULS CRITICAL - no agent answers")), (2, True), line)
        self.assertEqual(self.promtool(self.agent("status", "--textfile", "-")[1]), "")
        self.start_agent()
        self.until_receipted()
        code, line = self.agent("status", "--nagios")
        self.assertEqual(code, 0, line)
        self.assertRegex(line, r"^VARDPULS OK - SE2321000016-1003: receipted \d+ s ago, 1 wards, 1 sources \| receipt_age=\d+s;31;60;0 ")
        (self.home / "beds.csv").unlink()
        warned = lambda: self.agent("status", "--nagios")[0] == 1  # noqa: E731
        wait_for("warning", warned, 20, self.running)
        # Nobody but the agent's user and group may ask; the socket is all that the group needs.
        socket_path = self.home / "run/status.sock"
        self.assertEqual(socket_path.stat().st_mode & 0o777, 0o660)
        asked = ["status", "--nagios", "--socket", str(socket_path)]
        self.assertEqual(self.agent(*asked, user=STRANGER, group=AGENT.pw_gid)[0], 1)
        code, line = self.agent(*asked, user=STRANGER, group=STRANGER.pw_gid)
        self.assertEqual(code, 3, line)
        self.assertIn("a member of its group", line)
        # The page of metrics is what promtool takes without a complaint, and it is replaced as a whole.
        page = self.home / "run/vardpuls.prom"
        code, text = self.agent("status", "--textfile", str(page))
        self.assertEqual(code, 0, text)
        self.assertEqual(self.promtool(page.read_text()), "")
        self.assertIn('vardpuls_agent_source_failing{hospital="SE2321000016-1003",source="beds"} 1', page.read_text())
        self.assertEqual(sorted(p.name for p in page.parent.iterdir()), ["status.sock", "vardpuls.prom"])
        # Clients that hang or talk rubbish keep nobody else from an answer, and no report from the centre.
        clients = [socket.socket(socket.AF_UNIX) for _ in range(64)]
        for number, client in enumerate(clients):
            client.connect(str(socket_path))
            if number % 2:
                try:
                    client.send(b"\xff" * 4096)
                except OSError:
                    pass
        before = self.status()["outbox"]["released"]
        self.until_receipted(before + 2)
        for client in clients:
            client.close()
        # It listens on no network port.
        listening = pathlib.Path(f"/proc/{self.running.process.pid}/net/tcp").read_text()
        inodes = {line.split()[9] for line in listening.splitlines()[1:] if line.split()[3] == "0A"}
        own = {os.readlink(fd) for fd in pathlib.Path(f"/proc/{self.running.process.pid}/fd").iterdir()}
        self.assertFalse({f"socket:[{inode}]" for inode in inodes} & own)

    def promtool(self, text):
        """What promtool complains about."""
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

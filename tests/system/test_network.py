"""Two hospitals, each on a network of its own, and a centre with its own broker: what a firewall or a cable may do to them.
Reports that could not pass are neither lost nor doubled, the neighbour notices nothing, and all heals by itself."""

import json
import os
import re
import sqlite3

from testbed import BINARIES, PUBLIC_KEY, TestCase, free_port, get, run, wait_for

HOSPITALS = ["SE2321000016-1003", "SE2321000016-1004"]


class Network(TestCase):
    def setUp(self):
        super().setUp()
        # 198.18.0.0/15 is for tests between machines; the process id keeps two runs apart.
        self.tag, net = f"vp{os.getpid()}", os.getpid() % 64 * 4
        self.links = {}
        for number, hospital in enumerate(HOSPITALS):
            space, near, far = f"{self.tag}-{number}", f"{self.tag}c{number}", f"{self.tag}h{number}"
            centre, address = f"198.18.{number}.{net + 1}", f"198.18.{number}.{net + 2}"
            run(["ip", "netns", "add", space])
            self.processes.callback(run, ["ip", "netns", "del", space])
            run(["ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", space])
            # By itself it would go a little later than its namespace.
            self.processes.callback(run, ["ip", "link", "del", near])
            run(["ip", "addr", "add", f"{centre}/30", "dev", near])
            run(["ip", "link", "set", near, "up"])
            self.links[hospital] = (space, far, centre)
            self.inside(hospital, "ip", "addr", "add", f"{address}/30", "dev", far)
            for device in ("lo", far):
                self.inside(hospital, "ip", "link", "set", device, "up")
        self.mqtts, self.http = free_port(), free_port()
        self.start_centre()
        self.agents = {hospital: self.start_agent(hospital) for hospital in HOSPITALS}
        for hospital in HOSPITALS:
            wait_for("first receipts", lambda h=hospital: self.outbox(h)["released"] >= 3, 30, self.agents[hospital])

    def inside(self, hospital, *command):
        return run(["ip", "netns", "exec", self.links[hospital][0], *command])

    def start_centre(self):
        folder = self.folder / "centre"
        (folder / "hospitals.d").mkdir(parents=True)
        names = ",".join(f"IP:{centre}" for _, _, centre in self.links.values())
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=Test", "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE",
             "-keyout", folder / "broker.key", "-out", folder / "broker.pem"])
        self.config = folder / "aggregator.toml"
        self.config.write_text(
            'key-file = "centre.key"\nhospitals-dir = "hospitals.d"\n'
            f'[broker.network]\nlisten = "0.0.0.0:{self.mqtts}"\ncert-file = "broker.pem"\nkey-file = "broker.key"\n'
            f'logins-file = "logins.toml"\n[store]\npath = "vardpuls.db"\n[http]\nlisten = "127.0.0.1:{self.http}"\n'
        )
        (folder / "logins.toml").touch()
        self.centre_key = PUBLIC_KEY.search(self.aggregator("keygen")).group()
        for hospital in HOSPITALS:
            self.make_hospital(hospital)
        self.centre = self.start("aggregator", [BINARIES / "vardpuls-aggregator", "run", "--config", self.config])
        wait_for("ready aggregator", lambda: get(self.http, "/readyz"), 30, self.centre)

    def aggregator(self, *command):
        return run([BINARIES / "vardpuls-aggregator", *command, "--config", self.config])

    def make_hospital(self, hospital):
        home = self.folder / hospital
        home.mkdir()
        (home / "agent.toml").write_text(
            f'hospital = "{hospital}"\nname = "Test"\nregion = "01"\nstate-dir = "state"\nkey-file = "agent.key"\n'
            f'centre-key = "{self.centre_key}"\n[broker]\nurl = "mqtts://{self.links[hospital][2]}:{self.mqtts}"\n'
            f'ca-file = "../centre/broker.pem"\nusername = "{hospital}"\npassword-file = "password"\n'
            '[report]\nheartbeat = "1s"\nmin-gap = "0s"\njitter = "0s"\nvalid-for = "60s"\n'
            '[[ward]]\nindex = 1\nid = "iva"\nname = "IVA"\ncare = "icu"\n'
            '[[source]]\nname = "beds"\nkind = "csv"\npath = "beds.csv"\nscan = "100ms"\nsettle = "0s"\n'
            '[source.columns]\nward = "Ward"\nstaffed = "Staffed"\noccupied = "Occupied"\n'
        )
        (home / "beds.csv").write_text("Ward,Staffed,Occupied\niva,10,9\n")
        (home / "card.toml").write_text(self.agent(hospital, "keygen"))
        self.aggregator("enrol", home / "card.toml")
        login = self.start(f"login-{hospital}", [BINARIES / "vardpuls-aggregator", "login", hospital, "--config", self.config])
        self.assertEqual(login.ends(20), 0, login.log())
        with (self.folder / "centre/logins.toml").open("a") as logins:
            logins.write(login.text())
        (home / "password").write_text(re.search(r"^vp_[A-Za-z0-9_-]{43}$", login.errors.read_text(), re.M).group())

    def agent(self, hospital, *command):
        return run([BINARIES / "vardpuls-agent", *command, "--config", self.folder / hospital / "agent.toml"])

    def start_agent(self, hospital):
        command = [BINARIES / "vardpuls-agent", "run", "--config", self.folder / hospital / "agent.toml"]
        return self.start(f"agent-{hospital}", ["ip", "netns", "exec", self.links[hospital][0], *command])

    def status(self, hospital):
        return json.loads(self.agent(hospital, "status", "--json"))

    def outbox(self, hospital):
        return self.status(hospital)["outbox"]

    def until(self, hospital, what, condition, seconds=90):
        wait_for(f"{what} of {hospital}", lambda: condition(self.status(hospital)), seconds, self.agents[hospital])

    def firewall(self, hospital, chain, port):
        """Drops what the hospital sends to, or gets from, the centre's port, until the returned function is called."""
        self.inside(hospital, "nft", "add table inet wall")
        self.inside(hospital, "nft", f"add chain inet wall c {{ type filter hook {chain} priority 0; }}")
        self.inside(hospital, "nft", f"add rule inet wall c tcp {port} {self.mqtts} drop")
        return lambda: self.inside(hospital, "nft", "delete table inet wall")

    def nothing_is_missing(self, hospital):
        self.until(hospital, "empty outbox", lambda status: status["outbox"]["held"] == 0)
        outbox = self.outbox(hospital)
        self.assertEqual((outbox["refused"], outbox["dropped"]), (0, 0))
        with sqlite3.connect(f"file:{self.folder}/centre/vardpuls.db?mode=ro", uri=True) as store:
            rows = store.execute("SELECT sequence FROM report WHERE hospital = ? ORDER BY sequence", [hospital]).fetchall()
        self.assertEqual([sequence for (sequence,) in rows], list(range(1, len(rows) + 1)))
        self.assertGreaterEqual(len(rows), outbox["released"])

    def bridged(self, hospital, neighbour, allow, waiting):
        """While `hospital` is cut off reports wait, and its neighbour's go on; then everything is delivered, once."""
        self.until(hospital, "reports that wait", waiting)
        before = self.outbox(neighbour)["released"]
        self.until(neighbour, "further receipts", lambda status: status["outbox"]["released"] >= before + 5)
        self.assertTrue(waiting(self.status(hospital)))
        allow()
        for name in (hospital, neighbour):
            self.nothing_is_missing(name)
        self.assertEqual(self.status(neighbour)["connection"]["failures"], 0)
        self.assertTrue(self.agents[hospital].running())

    def test_a_firewall_that_lets_nothing_out(self):
        first, second = HOSPITALS
        allow = self.firewall(first, "output", "dport")
        # Until the agent itself has noticed and tries in vain to connect anew.
        waiting = lambda status: status["outbox"]["held"] >= 10 and not status["connection"]["connected"]  # noqa: E731
        self.bridged(first, second, allow, waiting)

    def test_a_firewall_that_lets_nothing_in(self):
        """Reports arrive and are stored, and their receipts are lost."""
        first, second = HOSPITALS
        allow = self.firewall(second, "input", "sport")
        self.bridged(second, first, allow, lambda status: status["outbox"]["held"] >= 10)

    def test_a_firewall_that_answers_with_resets_and_a_cable_that_is_pulled(self):
        first, second = HOSPITALS
        space, far, _ = self.links[second]
        self.inside(first, "nft", "add table inet wall")
        self.inside(first, "nft", "add chain inet wall c { type filter hook output priority 0; }")
        self.inside(first, "nft", f"add rule inet wall c tcp dport {self.mqtts} reject with tcp reset")
        self.inside(second, "ip", "link", "set", far, "down")
        cut = lambda status: status["outbox"]["held"] >= 3  # noqa: E731
        for hospital in HOSPITALS:
            self.until(hospital, "reports that wait", cut)
        self.inside(first, "nft", "delete table inet wall")
        self.inside(second, "ip", "link", "set", far, "up")
        for hospital in HOSPITALS:
            self.nothing_is_missing(hospital)

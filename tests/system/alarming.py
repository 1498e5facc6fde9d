"""A small real country with alarms: an aggregator with its own broker, a few agents, one rule, and an administrator.

In: what the config says beside that. Out: censuses to change, alarms to look at, acts to do.
"""

import http.server
import json
import threading
import urllib.request

from testbed import BINARIES, PUBLIC_KEY, TestCase, free_port, get, run, wait_for

# Raised and cleared at once, so that a test decides when.
RULES = """\
[[rule]]
name = "hospital-full"
title = "Hospital full"
scope = "hospital"
measure = "occupancy"
severity = "severe"
response = "Call the bed coordinator."
raise = { at = 95, for = "0s" }
clear = { at = 90, for = "0s" }
"""

FULL, CALM = 100, 50


class Alarming(TestCase):
    """Hospitals of 100 beds; `receivers` says in the config's words where alarms go."""

    hospitals = {"SE2321000016-1003": "01", "SE2321000016-1004": "01"}

    def receivers(self):
        return ""

    def setUp(self):
        super().setUp()
        self.mqtt, self.http = free_port(), free_port()
        self.centre_folder = self.folder / "centre"
        (self.centre_folder / "hospitals.d").mkdir(parents=True)
        (self.centre_folder / "rules.toml").write_text(RULES)
        (self.centre_folder / "operators.toml").touch(mode=0o600)
        self.config = self.centre_folder / "aggregator.toml"
        self.config.write_text(
            'key-file = "centre.key"\nhospitals-dir = "hospitals.d"\n'
            f'[broker]\nlisten = "127.0.0.1:{self.mqtt}"\n[http]\nlisten = "127.0.0.1:{self.http}"\n'
            '[feed]\nmin-gap = "0ms"\n'
            '[alerts]\nrules-file = "rules.toml"\noperators-file = "operators.toml"\n' + self.receivers()
        )
        self.centre_key = PUBLIC_KEY.search(self.aggregator("keygen")).group()
        self.token = self.administrator()
        configs = [self.make_hospital(hospital, region) for hospital, region in self.hospitals.items()]
        self.aggregator("check")
        command = [BINARIES / "vardpuls-aggregator", "run", "--config", self.config]
        self.centre = self.start("aggregator", command)
        wait_for("ready aggregator", lambda: get(self.http, "/readyz"), 30, self.centre)
        for config in configs:
            self.start(f"agent-{config.parent.name}", [BINARIES / "vardpuls-agent", "run", "--config", config])
        fresh = len(self.hospitals)
        wait_for("fresh hospitals", lambda: self.nation()["coverage"]["fresh"] == fresh, 60, self.centre)

    def aggregator(self, *arguments):
        return run([BINARIES / "vardpuls-aggregator", *arguments, "--config", self.config])

    def administrator(self):
        """Somebody who may run drills; their token."""
        command = [BINARIES / "vardpuls-aggregator", "token", "Test Admin", "--role", "administrator"]
        maker = self.start("token", [*command, "--config", self.config])
        self.assertEqual(maker.ends(30), 0, maker.log())
        (self.centre_folder / "operators.toml").write_text(maker.text())
        return maker.errors.read_text().splitlines()[1].strip()

    def make_hospital(self, hospital, region):
        folder = self.folder / hospital
        (folder / "state").mkdir(parents=True)
        config = folder / "agent.toml"
        config.write_text(
            f'hospital = "{hospital}"\nname = "Test {hospital}"\nregion = "{region}"\nstate-dir = "{folder}/state"\n'
            f'key-file = "{folder}/agent.key"\ncentre-key = "{self.centre_key}"\n'
            f'[broker]\nurl = "mqtt://127.0.0.1:{self.mqtt}"\n'
            '[report]\nheartbeat = "1h"\nmin-gap = "0s"\njitter = "0s"\nvalid-for = "2h"\n'
            '[[ward]]\nindex = 1\nid = "avd-1"\nname = "Avdelning 1"\ncare = "general"\n'
            f'[[source]]\nname = "beds"\nkind = "csv"\npath = "{folder}/beds.csv"\nscan = "100ms"\nsettle = "0s"\n'
            '[source.columns]\nward = "Ward"\nstaffed = "Staffed"\noccupied = "Occupied"\n'
        )
        self.count(hospital, CALM)
        card = folder / "card.toml"
        card.write_text(run([BINARIES / "vardpuls-agent", "keygen", "--config", config]))
        self.aggregator("enrol", card)
        return config

    # --- what happens ----------------------------------------------------------------------------------------------

    def count(self, hospital, occupied):
        """A new census file, by rename."""
        drop = self.folder / hospital / "beds.csv"
        beside = drop.with_suffix(".new")
        beside.write_text(f"Ward,Staffed,Occupied\navd-1,100,{occupied}\n")
        beside.rename(drop)

    def act(self, method, path, body=None):
        """An administrator's act over HTTP."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    # --- what they would see ---------------------------------------------------------------------------------------

    def nation(self):
        return get(self.http, "/api/v1/status")["nation"]

    def alarms(self):
        """The ids of the open alarms, by hospital."""
        alerts = get(self.http, "/api/v1/alerts")["alerts"]
        return {alert["target"].removeprefix("hospital/"): alert["id"] for alert in alerts}

    def wait_for_alarms(self, *hospitals):
        return wait_for(
            f"alarms of exactly {hospitals}",
            lambda: (lambda now: now.keys() == set(hospitals) and (now or True))(self.alarms()),
            30,
            self.centre,
        )


class Hook:
    """An HTTP server that takes every post and keeps it: (headers, body)."""

    def __init__(self, port=0):
        posts = self.posts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.append((dict(self.headers), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

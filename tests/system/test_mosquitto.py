"""A real Mosquitto as the external broker: the shipped config and ACL, TLS, client certificates, real daemons."""

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
import urllib.request

import cbor2
import paho.mqtt.client as mqtt
from testbed import BINARIES, PUBLIC_KEY, ROOT, TestCase, free_port, get, run, wait_for

SHIPPED = ROOT / "packaging/mosquitto"
HOSPITALS = ["SE2321000016-1003", "SE2321000131-S000000010252"]


class Mosquitto(TestCase):
    def setUp(self):
        super().setUp()
        self.port, self.http = free_port(), free_port()
        self.make_certificates()
        self.start_broker()
        self.make_centre()
        self.agents = {}

    # --- what the operators would do -------------------------------------------------------------------------------

    def make_certificates(self):
        """A CA and a certificate for the broker, the centre, both hospitals and a reader, as in the shipped README."""
        self.certificates = self.folder / "certs"
        self.certificates.mkdir()
        self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=Test-CA "
                     "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign "
                     "-keyout ca.key -out ca.pem")
        (self.certificates / "server.ext").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
        (self.certificates / "client.ext").write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
        for name in ["broker", "aggregator", "reader-1", *HOSPITALS]:
            common_name = "localhost" if name == "broker" else name
            kind = "server" if name == "broker" else "client"
            self.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                         f"-subj /CN={common_name} -keyout {name}.key -out {name}.csr")
            self.openssl(f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {kind}.ext "
                         f"-out {name}.pem")

    def openssl(self, arguments):
        run(["openssl", *arguments.split()], cwd=self.certificates)

    def start_broker(self):
        """The shipped files, with nothing changed but where they lie and the port."""
        state = self.folder / "mosquitto"
        state.mkdir()
        shutil.copy(SHIPPED / "acl", state / "acl")
        text = (SHIPPED / "mosquitto.conf").read_text()
        for shipped, here in [
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
            ("/etc/mosquitto/certs/", f"{self.certificates}/"),
            ("acl_file /etc/mosquitto/acl", f"acl_file {state}/acl"),
            ("/var/lib/mosquitto/", f"{state}/"),
        ]:
            self.assertIn(shipped, text)
            text = text.replace(shipped, here)
        (state / "mosquitto.conf").write_text(text + "user root\n")
        self.broker = self.start("mosquitto", ["mosquitto", "-c", state / "mosquitto.conf"])
        wait_for("listening broker", lambda: socket.create_connection(("127.0.0.1", self.port)).close() is None, 20,
                 self.broker)

    def broker_section(self, name):
        certificates = self.certificates
        return (
            f'[broker]\nurl = "mqtts://localhost:{self.port}"\nca-file = "{certificates}/ca.pem"\n'
            f'client-cert-file = "{certificates}/{name}.pem"\nclient-key-file = "{certificates}/{name}.key"\n'
        )

    def make_centre(self):
        folder = self.folder / "centre"
        (folder / "hospitals.d").mkdir(parents=True)
        self.centre_config = folder / "aggregator.toml"
        self.centre_config.write_text(
            'key-file = "centre.key"\nhospitals-dir = "hospitals.d"\n'
            + self.broker_section("aggregator")
            + f'[store]\npath = "vardpuls.db"\n[http]\nlisten = "127.0.0.1:{self.http}"\n'
        )
        made = run([BINARIES / "vardpuls-aggregator", "keygen", "--config", self.centre_config])
        self.centre_key = PUBLIC_KEY.search(made).group()

    def start_centre(self):
        command = [BINARIES / "vardpuls-aggregator", "run", "--config", self.centre_config]
        self.centre = self.start("aggregator", command)
        wait_for("aggregator", lambda: self.metric("vardpuls_broker_connected") == 1, 30, self.centre)

    def make_hospital(self, hospital):
        folder = self.folder / hospital
        (folder / "state").mkdir(parents=True)
        config = folder / "agent.toml"
        config.write_text(
            f'hospital = "{hospital}"\nname = "Test {hospital}"\nregion = "01"\nstate-dir = "{folder}/state"\n'
            f'key-file = "{folder}/agent.key"\ncentre-key = "{self.centre_key}"\n'
            + self.broker_section(hospital)
            + '[report]\nheartbeat = "1h"\nmin-gap = "0s"\njitter = "0s"\nvalid-for = "2h"\n'
            '[[ward]]\nindex = 1\nid = "iva"\nname = "IVA"\ncare = "icu"\n'
            f'[[source]]\nname = "beds"\nkind = "csv"\npath = "{folder}/beds.csv"\nscan = "100ms"\nsettle = "0s"\n'
            '[source.columns]\nward = "Ward"\nstaffed = "Staffed"\noccupied = "Occupied"\n'
        )
        self.count(hospital, 1)
        card = folder / "card.toml"
        card.write_text(run([BINARIES / "vardpuls-agent", "keygen", "--config", config]))
        enrolled = run([BINARIES / "vardpuls-aggregator", "enrol", card, "--config", self.centre_config])
        self.assertIn(self.centre_key, enrolled)
        run([BINARIES / "vardpuls-agent", "check", "--config", config])
        return config

    def start_agent(self, hospital):
        config = self.make_hospital(hospital)
        self.agents[hospital] = self.start(f"agent-{hospital}", [BINARIES / "vardpuls-agent", "run", "--config", config])

    def count(self, hospital, occupied):
        """A new census file, by rename."""
        drop = self.folder / hospital / "beds.csv"
        beside = drop.with_suffix(".new")
        beside.write_text(f"Ward,Staffed,Occupied\niva,900,{occupied}\n")
        beside.rename(drop)

    # --- what they would see ---------------------------------------------------------------------------------------

    def status(self, hospital):
        config = self.folder / hospital / "agent.toml"
        return json.loads(run([BINARIES / "vardpuls-agent", "status", "--json", "--config", config]))

    def drained(self, hospital, at_least=1):
        outbox = self.status(hospital)["outbox"]
        return outbox["held"] == 0 and outbox["released"] >= at_least and outbox

    def occupied(self, hospital):
        return get(self.http, f"/api/v1/hospitals/{hospital}")["total"]["occupied"]

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(float(m.group(1)) for m in re.finditer(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))

    def client(self, name, *subscriptions):
        """A stock client with the certificate of `name`; None is one without. Its messages are in `heard`."""
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        pair = {} if name is None else {
            "certfile": str(self.certificates / f"{name}.pem"), "keyfile": str(self.certificates / f"{name}.key")
        }
        client.tls_set(str(self.certificates / "ca.pem"), **pair)
        client.heard, client.granted = {}, threading.Event()
        client.on_message = lambda c, _u, m: c.heard.setdefault(m.topic, []).append(m.payload)
        client.on_subscribe = lambda c, *_: c.granted.set()
        client.connect("localhost", self.port)
        client.loop_start()
        self.processes.callback(client.loop_stop)
        self.processes.callback(client.disconnect)
        wait_for("connection", client.is_connected)
        if subscriptions:
            client.subscribe([(topic, 1) for topic in subscriptions])
            self.assertTrue(client.granted.wait(20))
        return client

    def publish(self, client, topic, payload, retain=False):
        """Mosquitto acknowledges what it then drops, so that only those who listen can tell."""
        client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(20)

    # --- the tests -------------------------------------------------------------------------------------------------

    def test_an_alert_that_the_broker_kept_through_its_end_is_cleared(self):
        ghosts = ["vardpuls/v1/alert/full.nation.1", "vardpuls/v1/json/alert/full.nation.1"]
        before = self.client("aggregator")
        for topic in ghosts:
            self.publish(before, topic, b"of a life before", retain=True)
        before.disconnect()
        reader = self.client("reader-1", "vardpuls/v1/alert/#", "vardpuls/v1/json/#")
        wait_for("what the broker keeps", lambda: all(topic in reader.heard for topic in ghosts))
        self.start_centre()
        cleared = lambda: all(reader.heard[topic][-1] == b"" for topic in ghosts)
        wait_for("the word that they are gone", cleared, 30, self.centre)
        # Whoever comes later finds nothing: of what the broker keeps, the feed comes after where they were.
        feed = "vardpuls/v1/json/feed/nation"
        wait_for("feed", lambda: feed in reader.heard, 30, self.centre)
        reader.disconnect()
        late = self.client("reader-1", "vardpuls/v1/alert/#", "vardpuls/v1/json/#")
        wait_for("feed", lambda: feed in late.heard)
        self.assertFalse([topic for topic in late.heard if "alert" in topic])

    def test_reports_are_receipted_and_stand_in_the_feed(self):
        self.start_centre()
        for hospital in HOSPITALS:
            self.start_agent(hospital)
        for number, hospital in enumerate(HOSPITALS):
            wait_for(f"receipt for {hospital}", lambda h=hospital: self.drained(h), 30, self.agents[hospital])
            self.count(hospital, 100 + number)
            wait_for("count in the feed", lambda h=hospital, n=number: self.occupied(h) == 100 + n, 30)
        nation = get(self.http, "/api/v1/status")["nation"]
        self.assertEqual((nation["coverage"]["fresh"], nation["total"]["occupied"]), (2, 201))
        reader = self.client("reader-1", "vardpuls/v1/json/feed/nation", "vardpuls/v1/feed/#")
        topic = "vardpuls/v1/json/feed/nation"
        wait_for("feed", lambda: any(json.loads(m)["total"]["occupied"] == 201 for m in reader.heard.get(topic, [])))
        for hospital in HOSPITALS:
            wait_for("signed feed", lambda h=hospital: f"vardpuls/v1/feed/hospital/{h}" in reader.heard)

    def test_a_hospital_writes_its_own_topics_only(self):
        victim, other = HOSPITALS
        # The centre's certificate is its client id, so its place is free only while no aggregator runs.
        centre = self.client("aggregator", "vardpuls/v1/report/+", "vardpuls/v1/roster/+", "vardpuls/v1/presence/+")
        reader = self.client("reader-1", "vardpuls/v1/feed/#", "vardpuls/v1/json/#", "vardpuls/v1/alert/#")
        intruder, mark = self.client(other), b"forged"
        for topic in [f"report/{victim}", f"roster/{victim}", f"presence/{victim}", f"receipt/{victim}",
                      f"receipt/{other}", "feed/nation", "json/feed/nation", "alert/x", "report/x/y"]:
            self.publish(intruder, f"vardpuls/v1/{topic}", mark)
        # These are allowed: once they have come, all before them have come or been dropped.
        self.publish(intruder, f"vardpuls/v1/report/{other}", mark)
        wait_for("its own report", lambda: f"vardpuls/v1/report/{other}" in centre.heard)
        self.publish(centre, "vardpuls/v1/feed/nation", b"the centre's")
        wait_for("the centre's feed", lambda: "vardpuls/v1/feed/nation" in reader.heard)
        self.assertEqual(centre.heard, {f"vardpuls/v1/report/{other}": [mark]})
        self.assertEqual(reader.heard, {"vardpuls/v1/feed/nation": [b"the centre's"]})

    def test_a_hospital_reads_its_own_receipts_and_the_feed_only(self):
        victim, other = HOSPITALS
        self.start_centre()
        self.make_hospital(other)
        self.start_agent(victim)
        curious = self.client(other, "vardpuls/v1/receipt/+", f"vardpuls/v1/receipt/{victim}", "vardpuls/v1/report/+",
                              "vardpuls/v1/roster/+", "vardpuls/v1/presence/+", "#")
        self.count(victim, 321)
        topic = f"vardpuls/v1/json/feed/hospital/{victim}"
        wait_for("feed", lambda: any(json.loads(m)["total"]["occupied"] == 321 for m in curious.heard.get(topic, [])))
        wait_for("receipt for the victim", lambda: self.drained(victim), 30, self.agents[victim])
        # A message of its own through the same broker comes after whatever it could have heard before.
        self.publish(curious, f"vardpuls/v1/report/{other}", b"no report")
        # By this name and no other: the victim's first report may overtake its roster, which is counted too.
        wait_for("refusal by name", lambda: self.metric('vardpuls_refused_total{reason="malformed"}') == 1)
        kinds = {topic.split("/")[2] for topic in curious.heard}
        self.assertLessEqual(kinds, {"feed", "json"})

    def test_a_client_without_a_certificate_is_refused(self):
        for arguments in [[], ["--cert", self.certificates / "stranger.pem", "--key", self.certificates / "stranger.key"]]:
            if arguments:
                self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                             f"-subj /CN={HOSPITALS[0]} -keyout stranger.key -out stranger.pem")
            command = ["mosquitto_pub", "-h", "localhost", "-p", self.port, "--cafile", self.certificates / "ca.pem"]
            command += [*arguments, "-t", f"vardpuls/v1/report/{HOSPITALS[0]}", "-m", "x", "-q", "1"]
            done = subprocess.run([str(a) for a in command], capture_output=True, text=True, timeout=30)
            self.assertNotEqual(done.returncode, 0, done.stdout + done.stderr)
        # The same command with a certificate of the CA passes: it was the certificate that was missing.
        name = HOSPITALS[0]
        run(["mosquitto_pub", "-h", "localhost", "-p", self.port, "--cafile", self.certificates / "ca.pem",
             "--cert", self.certificates / f"{name}.pem", "--key", self.certificates / f"{name}.key",
             "-t", f"vardpuls/v1/report/{name}", "-m", "x", "-q", "1"])

    def test_kill_and_restart_of_mosquitto_loses_nothing(self):
        self.start_centre()
        hospital = HOSPITALS[0]
        self.start_agent(hospital)
        wait_for("first receipt", lambda: self.drained(hospital), 30, self.agents[hospital])
        for round in range(1, 4):
            self.broker.kill()
            before = self.status(hospital)["outbox"]["next"]
            for change in range(5):
                self.count(hospital, 100 * round + change)
                wait_for(
                    "report in the outbox",
                    lambda b=before, c=change: self.status(hospital)["outbox"]["next"] > b + c,
                )
            self.assertGreaterEqual(self.status(hospital)["outbox"]["held"], 5)
            self.broker.spawn()
            wait_for("empty outbox", lambda: self.drained(hospital), 60, self.agents[hospital])
            wait_for("newest count", lambda r=round: self.occupied(hospital) == 100 * r + 4, 30)
        outbox = self.status(hospital)["outbox"]
        self.assertEqual((outbox["refused"], outbox["dropped"]), (0, 0))
        self.assertEqual(outbox["released"], outbox["next"] - 1)
        self.assertEqual(self.agents[hospital].stop(), 0)
        self.assertEqual(self.centre.stop(), 0)
        stored = self.stored(hospital)
        self.assertEqual(stored, list(range(1, outbox["next"])))

    def stored(self, hospital):
        """Sequences in the store, each with an envelope that says the same; read without any code of ours."""
        with sqlite3.connect(self.folder / "centre/vardpuls.db") as store:
            rows = store.execute(
                "SELECT sequence, envelope FROM report WHERE hospital = ? ORDER BY sequence", [hospital]
            ).fetchall()
        for sequence, envelope in rows:
            report = cbor2.loads(cbor2.loads(envelope).value[2])
            self.assertEqual((report[1], report[3]), (hospital, sequence))
        return [sequence for sequence, _ in rows]

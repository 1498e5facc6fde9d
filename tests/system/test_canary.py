"""Made-up people through every source of a real agent, in right and in wrong places; then they are searched for in every
file, answer, metric, log and MQTT payload of agent, broker and centre. The search is shown what it must find."""

import http.server
import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import threading
import urllib.request

import canaries
import paho.mqtt.client as mqtt
import tds
from canaries import PEOPLE
from sql_source import PASSWORD
from test_sql import MariaDb, Postgres
from testbed import BINARIES, PUBLIC_KEY, TestCase, free_port, get, run, wait_for

AGENT = BINARIES / "vardpuls-agent"
CENTRE = BINARIES / "vardpuls-aggregator"
HOSPITAL = "SE2321000016-1003"
ANY = PEOPLE[0]

# Which ward each source is about. Those in RIGHT give counts; the others are mistakes that people make.
RIGHT = ["csv", "latin", "json", "pointers", "fhir", "lite", "pg", "my", "ms", "adt"]
WRONG = [
    "csv-wrong", "csv-headless", "csv-cut", "json-wrong", "json-error", "json-login", "fhir-wrong", "fhir-outcome", "fhir-next", "lite-wrong",
    "lite-pivot", "pg-wrong", "pg-cast", "pg-name", "pg-raise", "pg-denied", "my-wrong", "my-raise",
    "ms-wrong", "ms-cast", "ms-raise", "ms-denied",
]


def everybody(form="{number} {family} {given} {street} {town} {phone} {mail} {visit}"):
    return [form.format(**person._asdict()) for person in PEOPLE]


class Inputs:
    """What the hospital's systems hold, beside the agent's own folder."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        header = "Ward;Staffed;Occupied;Blocked;Name;Number;Note\n"
        people = [f"{p.given} {p.family};{p.number};{p.phone}" for p in PEOPLE]
        rows = header + f"A1;10;7;1;{people[0]}\n" + "".join(f"{p.number};1;1;;{p.family};;\n{p.family};2;2;;;;\n" for p in PEOPLE)
        self.write("right.csv", rows)
        (folder / "latin.csv").write_bytes(rows.encode("latin-1"))
        # The ward column holds names, the count columns numbers and names.
        wrong = [f"{p.family};{p.number};{p.given};{p.street};;;\nA1;{p.phone};{p.family};{p.street};;;\n" for p in PEOPLE[:1]]
        self.write("wrong.csv", header + "".join(wrong))
        self.write("headless.csv", "".join(f"{row}\n" for row in people))
        self.write("cut.csv", header + f'A1;10;"{people[0]}\n{people[1]}\n')
        self.database = folder / "beds.db"
        with sqlite3.connect(self.database) as database:
            database.executescript(self.tables())
        database.close()

    def write(self, name, text):
        (self.folder / name).write_text(text)

    @staticmethod
    def tables():
        rows = ", ".join(
            f"('{'A1' if n == 0 else p.family}', 10, 7, '{p.given} {p.family}', '{p.number}', '{p.street}')" for n, p in enumerate(PEOPLE)
        )
        return (
            "CREATE TABLE beds (code varchar(60), open integer, used integer, name varchar(60), number varchar(20), street varchar(60));"
            f"INSERT INTO beds VALUES {rows};"
        )


def json_documents():
    people = [person._asdict() for person in PEOPLE]
    right = {"wards": [{"id": "A1", "open": 10, "used": 7, "patients": people}] + [{"id": p["number"], **p} for p in people]}
    wrong = {"wards": [{"id": p["family"], "open": p["number"], "used": [p]} for p in people] + [{"id": "A1", "open": people[0]["phone"], "used": people}]}
    return {
        "/right": (200, right),
        "/pointers": (200, {"icu": {"used": 5, "patients": people}, people[0]["family"]: people}),
        "/wrong": (200, wrong),
        "/error": (500, {"error": f"no row for {everybody()[0]}", "people": people}),
        "/login": (200, f"<html>Welcome, {everybody()[1]}</html>"),
    }


def bundle(*resources, link=()):
    return {"resourceType": "Bundle", "link": list(link), "entry": [{"resource": resource} for resource in resources]}


def fhir_documents():
    who = PEOPLE[0]
    name = [{"family": who.family, "given": [who.given]}]
    ward = {"resourceType": "Location", "id": "1", "identifier": [{"value": "A1"}], "name": who.family, "telecom": [{"value": who.phone}]}
    patient = {"resourceType": "Patient", "id": who.visit, "name": name, "identifier": [{"value": who.number}], "address": [{"line": [who.street], "city": who.town}]}

    def stay(number, place, **more):
        return {
            "resourceType": "Encounter", "id": number, "status": "in-progress", "class": {"code": "IMP"},
            "identifier": [{"value": who.visit}], "subject": {"reference": f"Patient/{who.number}", "display": who.family},
            "location": [{"location": {"reference": place, "display": who.town}, "status": "active"}], **more,
        }

    right = bundle(stay("1", "Location/1"), stay("2", "Location/1", contained=[patient]), patient)
    # A place that is a person, a place that is a number, a place by a name.
    wrong = bundle(*[stay(p.visit, f"Location/{text}") for p in PEOPLE for text in [p.family, p.number]],
                   *[stay(p.number, f"Patient/{p.number}") for p in PEOPLE], stay("9", f"Location?identifier={who.number}"))
    outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": text} for text in everybody()]}
    # The next page is elsewhere, under a patient's address.
    elsewhere = bundle(ward, link=[{"relation": "next", "url": f"http://127.0.0.1:1/Patient/{who.number}?name={who.family}"}])
    return {
        "/fhir/Location": (200, bundle(ward)), "/fhir/Encounter": (200, right),
        "/fhir-wrong/Location": (200, bundle(ward)), "/fhir-wrong/Encounter": (200, wrong),
        "/fhir-outcome/Location": (200, bundle(ward)), "/fhir-outcome/Encounter": (200, outcome),
        "/fhir-next/Location": (200, elsewhere), "/fhir-next/Encounter": (200, elsewhere),
    }


def segments(*lines, eol="\r"):
    return eol.join(lines) + eol


def adt(event, number, visit, place="A1^12^1", header=None, more=(), person=ANY, eol="\r"):
    """A message that is full of a person."""
    p = person
    whole = f"{p.family}^{p.given}"
    address = f"{p.street}^^{p.town}"
    head = header or f"MSH|^~\\&|ADM|H|VP|H|20261101080000||ADT^{event}|{number}|P|2.5"
    return segments(
        head, f"EVN|{event}|20261101080000|||{p.number}^{whole}|",
        f"PID|1||{p.number}^^^SE||{whole}||19430719|F|||{address}||{p.phone}|{p.mail}|||||{p.visit}",
        f"NK1|1|{whole}|SPO|{address}|{p.phone}",
        f"PV1|1|I|{place}||||{p.number}^{whole}||||||||||{p.number}||{visit}" + "|" * 25 + "20261101070000",
        f"GT1|1||{whole}||{address}", f"IN1|1|||{whole}|{address}", f"ZPI|1|{p.number}|{whole}|{p.mail}", *more, eol=eol,
    )


def messages():
    """Right ones and wrong ones, all of them full of people."""
    number = iter(range(1000, 9999))
    for person in PEOPLE:
        for event in ["A01", "A02", "A08", "A03", "A11", "A13", "A21", "A22", "A28", "A31", "A40"]:
            yield adt(event, next(number), person.visit, person=person).encode()
        for charset in ["latin-1", "utf-16-le", "utf-8"]:
            yield adt("A01", next(number), person.number, person=person).encode(charset)
        # Places that are people, as a whole, as a facility, as a room and a bed.
        for place in [f"{person.family}^^", person.number, f"{person.given} {person.family}", f"A1^^^{person.family}", f"B9^{person.family}^{person.number}", f"{person.street}^{person.phone}^{person.mail}"]:
            yield adt("A01", next(number), f"V{next(number)}", place, person=person).encode()
        yield adt("A20", next(number), person.visit, more=[f"NPU|{person.family}^{person.number}^{person.given}|K"], person=person).encode()
        for event in ["A42", "A45", "A50"]:
            yield adt(event, next(number), person.number, more=[f"MRG|{person.number}||||{person.visit}", f"PV1|1|I|A1||||||||||||||||{person.number}"], person=person).encode()
        yield adt("A17", next(number), person.visit, person=person).encode()
        # Wrong in every way that comes to mind: no header, half a header, a header full of people, no segments, cut.
        whole = adt("A01", next(number), person.visit, person=person)
        yield whole[4:].encode()
        yield whole.replace("MSH|^~\\&|", "MSH").encode()
        yield whole.replace("|", person.family).encode()
        yield whole[: len(whole) // 2].encode()
        yield whole.replace("\r", " ").encode()
        yield whole.replace("ADT^A01", "").encode()
        yield whole.replace("ADT^A01", "ORU^R01").encode()
        yield " ".join(everybody()).encode()
        yield (whole + "ZZZ|" + "|".join(everybody()) * 3000).encode()
        yield b"\xff\xfe" + whole.encode("utf-16-le")
        yield adt("A01", next(number), person.visit, header=f"MSH|^~\\&|ADM|H|VP|H|{person.number}||ADT^{person.family}|7|{person.family}^|2.5", person=person).replace(
            f"|{person.family}^|2.5", "|P|2.5").encode()


class Canary(TestCase):
    def setUp(self):
        super().setUp()
        self.folder.chmod(0o755)
        self.inputs = Inputs(self.folder / "inputs")
        self.port, self.http, self.mllp = free_port(), free_port(), free_port()
        self.postgres = Postgres(self)
        self.postgres.say(
            "CREATE TABLE wards (code varchar(60), open integer, used integer, name varchar(60), number varchar(20), street varchar(60));"
            + self.inputs.tables().split(";", 1)[1].replace("INTO beds", "INTO wards")
            + "CREATE FUNCTION fails(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'looking for %', $1; RAISE EXCEPTION 'no bed for %', $1; END $$;"
            + "CREATE FUNCTION denies(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'permission denied for %', $1 USING ERRCODE = '42501'; END $$;"
            + "GRANT SELECT ON wards TO reader;"
        )
        self.maria = MariaDb(self)
        self.maria.say(
            "USE hospital; SET NAMES utf8mb4; ALTER DATABASE hospital CHARACTER SET utf8mb4;"
            + self.inputs.tables().replace("beds", "wards")
            + "\nDELIMITER //\nCREATE FUNCTION denies(who varchar(60)) RETURNS varchar(60) DETERMINISTIC BEGIN SIGNAL SQLSTATE '42000' SET MESSAGE_TEXT = who; RETURN who; END//\n"
        )
        self.mssql = tds.Server(self.inputs.tables(), {"reader": PASSWORD})
        self.processes.callback(self.mssql.kill)
        self.web = self.serve({**json_documents(), **fhir_documents()})
        self.start_broker()
        self.start_centre()

    # --- a hospital, a broker and a centre ----------------------------------------------------------------------------

    def serve(self, documents):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = documents[self.path.split("?")[0]]
                body = body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()
                self.send_response(status)
                # What a framework says about itself and the request.
                self.send_header("X-Debug", urllib.request.quote(everybody()[0]))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.processes.callback(server.server_close)
        self.processes.callback(server.shutdown)
        return server.server_address[1]

    def start_broker(self):
        state = self.folder / "mosquitto"
        state.mkdir()
        (state / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_type all\npersistence true\n"
            f"persistence_location {state}/\nautosave_interval 1\n"
        )
        self.broker = self.start("mosquitto", ["mosquitto", "-c", state / "mosquitto.conf"])
        wait_for("broker", lambda: socket.create_connection(("127.0.0.1", self.port)).close() is None, 20, self.broker)
        self.payloads = {}
        reader = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        reader.on_connect = lambda client, *_: client.subscribe("#", 1)
        reader.on_message = lambda _client, _data, message: self.payloads.setdefault(message.topic, []).append(message.payload)
        reader.connect("127.0.0.1", self.port)
        reader.loop_start()
        self.processes.callback(reader.loop_stop)
        self.processes.callback(reader.disconnect)

    def start_centre(self):
        folder = self.folder / "centre"
        (folder / "hospitals.d").mkdir(parents=True)
        self.centre_config = folder / "aggregator.toml"
        self.centre_config.write_text(
            f'key-file = "centre.key"\nhospitals-dir = "hospitals.d"\n[broker]\nurl = "mqtt://127.0.0.1:{self.port}"\n'
            f'[store]\npath = "vardpuls.db"\n[http]\nlisten = "127.0.0.1:{self.http}"\n'
        )
        self.centre_key = PUBLIC_KEY.search(run([CENTRE, "keygen", "--config", self.centre_config])).group()
        self.centre = self.start("aggregator", [CENTRE, "run", "--config", self.centre_config], env={**os.environ, "RUST_LOG": "debug"})
        wait_for("ready aggregator", lambda: get(self.http, "/readyz"), 30, self.centre)

    def source(self, ward):
        """The table of a source, which is called as its ward."""
        columns = "ward = \"{}\"\nstaffed = \"{}\"\noccupied = \"{}\"\n".format
        named = f'[source.wards]\n"A1" = "{ward}"\n'
        files = {"csv": "right", "latin": "latin", "csv-wrong": "wrong", "csv-headless": "headless", "csv-cut": "cut"}
        queries = {
            "lite": "SELECT code AS ward, open AS staffed, used AS occupied, * FROM beds",
            "lite-wrong": "SELECT name AS ward, number AS staffed, street AS occupied FROM beds",
            "lite-pivot": f"SELECT 1 AS \\\"{ANY.family}\\\", 2 AS \\\"{ANY.number}\\\"",
            "pg": "SELECT code AS ward, open AS staffed, used AS occupied, name, number, street FROM wards",
            "pg-wrong": "SELECT name AS ward, number AS staffed, street AS occupied FROM wards",
            "pg-cast": "SELECT code AS ward, open AS staffed, name::integer AS occupied FROM wards",
            "pg-name": "SELECT code AS ward, open AS staffed, number::regclass AS occupied FROM wards",
            "pg-raise": "SELECT code AS ward, open AS staffed, fails(name) AS occupied FROM wards",
            "pg-denied": "SELECT code AS ward, open AS staffed, denies(name) AS occupied FROM wards",
            "my": "SELECT code AS ward, open AS staffed, used AS occupied, name, number, street FROM wards",
            "my-wrong": "SELECT name AS ward, number AS staffed, street AS occupied FROM wards",
            "ms": "SELECT code AS ward, open AS staffed, used AS occupied, name, number, street FROM beds",
            "ms-wrong": "SELECT name AS ward, number AS staffed, street AS occupied FROM beds",
            "ms-cast": "SELECT code AS ward, open AS staffed, CAST(name AS int) AS occupied FROM beds",
            "ms-raise": "SELECT code AS ward, open AS staffed, fails(name) AS occupied FROM beds",
            "ms-denied": "SELECT code AS ward, open AS staffed, denies(name) AS occupied FROM beds",
            "my-raise": "SELECT code AS ward, open AS staffed, denies(name) AS occupied FROM wards",
        }
        head = f'[[source]]\nname = "{ward}"\n'
        if ward == "adt":
            return head + (
                f'kind = "adt"\nlisten = "127.0.0.1:{self.mllp}"\nzone = "Europe/Stockholm"\nassume-empty = true\nmax-message = 65536\n'
                '[source.places]\n"A1" = "adt"\n'
            )
        if ward in files:
            charset = "windows-1252" if ward == "latin" else "utf-8"
            return head + (
                f'kind = "csv"\npath = "{self.inputs.folder}/{files[ward]}.csv"\nscan = "200ms"\nsettle = "0s"\ndelimiter = ";"\n'
                f'charset = "{charset}"\n[source.columns]\n{columns("Ward", "Staffed", "Occupied")}{named}'
            )
        if ward in queries:
            url = {"li": f"sqlite:{self.inputs.database}", "pg": self.postgres.url, "my": self.maria.url, "ms": f"mssql://127.0.0.1:{self.mssql.port}/ehr"}[ward[:2]]
            login = "" if ward.startswith("lite") else 'username = "reader"\npassword-file = "password"\ntls = "off"\n'
            return head + (
                f'kind = "sql"\nurl = "{url}"\n{login}every = "1s"\ntimeout = "10s"\nquery = "{queries[ward]}"\n'
                f'[source.columns]\n{columns("ward", "staffed", "occupied")}{named}'
            )
        if ward.startswith("fhir"):
            return head + f'kind = "fhir"\nurl = "http://127.0.0.1:{self.web}/{ward}"\nevery = "1s"\n{named}'
        if ward == "pointers":
            return head + f'kind = "json"\nurl = "http://127.0.0.1:{self.web}/pointers"\nevery = "1s"\n[source.pointers.pointers]\noccupied = "/icu/used"\n'
        page = {"json": "right"}.get(ward, ward.removeprefix("json-"))
        return head + (
            f'kind = "json"\nurl = "http://127.0.0.1:{self.web}/{page}"\nevery = "1s"\narray = "/wards"\n'
            f'[source.columns]\n{columns("/id", "/open", "/used")}{named}'
        )

    def make_agent(self, wards, names=None):
        home = self.folder / "agent"
        home.mkdir()
        (home / "password").write_text(PASSWORD)
        (home / "password").chmod(0o600)
        self.config = home / "agent.toml"
        tables = [
            f'[[ward]]\nindex = {at}\nid = "{ward}"\nname = "{(names or {}).get(ward, ward)}"\ncare = "general"\nstaffed = 12\n'
            for at, ward in enumerate(wards, 1)
        ]
        self.config.write_text(
            f'hospital = "{HOSPITAL}"\nname = "Test"\nregion = "01"\nstate-dir = "state"\nkey-file = "agent.key"\ncentre-key = "{self.centre_key}"\n'
            f'[broker]\nurl = "mqtt://127.0.0.1:{self.port}"\n[report]\nheartbeat = "2s"\nmin-gap = "0s"\njitter = "0s"\nvalid-for = "60s"\n'
            + "".join(tables) + "".join(self.source(ward) for ward in wards)
        )
        card = self.folder / "card.toml"
        card.write_text(run([AGENT, "keygen", "--config", self.config]))
        run([CENTRE, "enrol", card, "--config", self.centre_config])
        wait_for("enrolled hospital", lambda: get(self.http, f"/api/v1/hospitals/{HOSPITAL}"), 30, self.centre)

    def start_agent(self):
        self.running = self.start("agent", [AGENT, "run", "--config", self.config], env={**os.environ, "RUST_LOG": "debug"}, cwd=self.config.parent)

    def asked(self, *command):
        """What a command of the agent prints, whatever its exit status."""
        done = subprocess.run([AGENT, *command, "--config", self.config], capture_output=True, timeout=90)
        self.assertTrue(done.stdout + done.stderr, command)
        return done.stdout + done.stderr

    def status(self):
        return json.loads(self.asked("status", "--json"))

    def say(self, message):
        """Sends one message; its answers. A message can forbid them in its header: another one after it cannot."""
        end = b"MSH|^~\\&|ADM|H|VP|H|20261101||ORU^R01|the-end|P|2.5\r"
        with socket.create_connection(("127.0.0.1", self.mllp), timeout=30) as line:
            line.sendall(b"\x0b" + message + b"\x1c\r\x0b" + end + b"\x1c\r")
            answer = b""
            while b"the-end" not in answer or not answer.endswith(b"\x1c\r"):
                more = line.recv(65536)
                self.assertTrue(more, "the agent hung up")
                answer += more
            return answer

    # --- the search -------------------------------------------------------------------------------------------------------

    def search(self, where, data):
        for what in canaries.found(data):
            self.leaks.append(f"{where}: {what}")
        self.searched += len(data)

    def search_files(self):
        """Every file of agent, broker and centre, and what they print; not what was put in, nor the database servers'."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        own = [f for f in files if not {"inputs", "postgres", "maria"} & set(f.relative_to(self.folder).parts) and f.stem not in ["postgres", "mariadb"]]
        names = {str(path.relative_to(self.folder)) for path in own}
        for needed in ["agent/state/outbox.redb", "agent/state/adt-adt.redb", "agent/agent.toml", "agent.err", "aggregator.err", "centre/vardpuls.db", "mosquitto.err", "mosquitto/mosquitto.db"]:
            self.assertIn(needed, names)
        for path in own:
            data = path.read_bytes()
            if path == self.config:
                # The test itself wrote people into one query, to have them as names of columns.
                data = b"".join(line for line in data.splitlines(True) if b"SELECT 1 AS" not in line)
            self.search(str(path.relative_to(self.folder)), data)
            self.search("the name of a file", str(path).encode())

    def search_answers(self):
        for command in [["status"], ["status", "--json"], ["status", "--nagios"], ["status", "--textfile", "-"], ["check"], ["check", "--json"], ["preview"], ["preview", "--json"], ["keygen", "--card-only"]]:
            self.search(f"vardpuls-agent {' '.join(command)}", self.asked(*command))
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.config.parent / "state/status.sock"))
            answer = b""
            while more := line.recv(65536):
                answer += more
        self.assertIn(b"pg-cast", answer)
        self.search("the status socket", answer)
        paths = [
            "/", "/app.js", "/api/v1/status", "/api/v1/regions/01", f"/api/v1/hospitals/{HOSPITAL}", "/api/v1/alerts", "/api/v1/alerts.atom", "/api/v1/alerts/rules",
            "/api/v1/declared", "/api/v1/history?scope=nation", "/metrics", "/openapi.json", "/healthz", "/readyz",
        ]
        for path in paths:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=10) as answer:
                data = answer.read() + str(answer.headers).encode()
            self.assertTrue(data)
            self.search(f"GET {path}", data)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/api/v1/events", timeout=10) as events:
            self.search("GET /api/v1/events", events.readline() + events.readline())

    def search_payloads(self):
        for kind in ["report", "roster", "receipt", "presence", "feed", "json"]:
            self.assertTrue(any(f"/v1/{kind}/" in topic for topic in self.payloads), f"{kind}: {sorted(self.payloads)}")
        for topic, payloads in list(self.payloads.items()):
            self.search("a topic", topic.encode())
            for payload in payloads:
                self.search(topic, payload)

    # --- the stories --------------------------------------------------------------------------------------------------------

    def test_nobody_is_found_anywhere(self):
        self.leaks, self.searched = [], 0
        self.make_agent(RIGHT + WRONG)
        self.start_agent()
        wait_for("listener", lambda: self.say(b"nothing"), 30, self.running)
        sent = 2
        for message in messages():
            sent += 2
            answer = self.say(message)
            # Answers repeat of a header what they must; no header here holds a person but where one replaces `|`.
            if not message.startswith(b"MSH" + ANY.family.encode()[:2]):
                self.search(f"the answer to {message[:60]!r}", answer)

        def right_was_read():
            return all(self.status()["sources"][name]["wards"] > 0 for name in RIGHT)

        def everything_was_read():
            status = self.status()
            sources = status["sources"]
            return (
                all(sources[name]["wards"] > 0 for name in RIGHT)
                and all(sources[name]["spoiled"] or sources[name]["unmapped"] or sources[name]["error"] for name in WRONG)
                and sources["adt"]["adt"]["messages"] >= sent
                and status["outbox"]["released"] > 0
                and status
            )

        status = wait_for("all sources", everything_was_read, 60, self.running)
        self.assertEqual(status["sources"]["adt"]["adt"]["messages"], sent)
        for name, words in [("pg-name", 'relation "…'), ("pg-denied", "permission denied for …"), ("my-raise", "1644: …"), ("ms-denied", "permission was denied on the object '…"), ("ms-cast", "failed with code 245")]:
            self.assertIn(words, status["sources"][name]["error"])
        self.assertGreater(len(status["sources"]["adt"]["adt"]["unmapped"]), 3, "places that nobody mapped are told apart")
        feed = lambda: get(self.http, f"/api/v1/hospitals/{HOSPITAL}")["coverage"]["fresh"] == 1  # noqa: E731
        wait_for("fresh hospital", feed, 30, self.centre)
        self.search_answers()
        # What the agent has open lies in its own folder, or is an input.
        for link in pathlib.Path(f"/proc/{self.running.process.pid}/fd").iterdir():
            target = os.readlink(link)
            if target.startswith("/") and not target.startswith(("/dev/", str(self.folder))):
                self.fail(f"the agent has {target} open")
        # Again after a restart: what was kept is read, and written, once more.
        self.assertEqual(self.running.stop(), 0)
        self.search("what its outbox holds", self.asked("status", "--json"))
        self.start_agent()
        wait_for("all sources again", right_was_read, 60, self.running)
        self.search_answers()
        self.assertEqual(self.running.stop(), 0)
        self.assertEqual(self.centre.stop(), 0)
        wait_for("the broker's file", lambda: (self.folder / "mosquitto/mosquitto.db").exists(), 30, self.broker)
        self.broker.stop()
        said = [line for line in self.running.log().splitlines() if "not vouched" in line and 'source="json-wrong"' in line]
        self.assertEqual(len(said), 2, "a fault that stays is told once after each start")
        self.search_payloads()
        self.search_files()
        self.assertGreater(self.searched, 500_000, "little was searched")
        self.assertEqual(self.leaks, [])

    def test_a_leak_is_seen(self):
        """What the config itself says of a ward is sent: a person's name there is found wherever it goes."""
        self.leaks, self.searched = [], 0
        self.make_agent(["csv", "adt", "pg-cast"], names={"csv": f"{ANY.given} {ANY.family}"})
        self.start_agent()
        wait_for("listener", lambda: self.say(adt("A01", 1, "V1").encode()), 30, self.running)
        wait_for("receipt", lambda: self.status()["outbox"]["released"] > 0, 60, self.running)
        wait_for("feed", lambda: any("/json/feed/hospital/" in topic for topic in self.payloads), 30, self.centre)
        wait_for("fresh", lambda: get(self.http, f"/api/v1/hospitals/{HOSPITAL}")["coverage"]["fresh"] == 1, 30, self.centre)
        self.search_answers()
        self.assertEqual(self.running.stop(), 0)
        self.assertEqual(self.centre.stop(), 0)
        self.broker.stop()
        self.search_payloads()
        self.search_files()
        for where in [
            f"vardpuls/v1/roster/{HOSPITAL}", f"vardpuls/v1/json/feed/hospital/{HOSPITAL}", "vardpuls-agent preview", f"GET /api/v1/hospitals/{HOSPITAL}",
            "agent/agent.toml", "centre/vardpuls.db", "mosquitto/mosquitto.db",
        ]:
            self.assertTrue([leak for leak in self.leaks if leak.startswith(f"{where}: ")], f"{where}: {self.leaks}")

    def test_the_search_sees_every_form(self):
        for value, what in canaries.values():
            for form in canaries.planted(value):
                self.assertTrue(canaries.found(b"\x00before" + form + b"after\xff"), f"{what}: {form!r}")
        self.assertEqual(canaries.found(b"Ward;Staffed;Occupied\nA1;10;7\n" + os.urandom(100_000)), [])

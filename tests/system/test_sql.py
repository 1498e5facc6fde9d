"""SQL sources against a real PostgreSQL and a real MariaDB: counts, a kill in the middle, a wrong password, a missing
column, a query that hangs, and an attempt to write. The agent is the built program; nothing is ever sent."""

import json
import os
import pathlib
import pwd
import shutil
import subprocess

from testbed import BINARIES, TestCase, free_port, run, wait_for

AGENT = BINARIES / "vardpuls-agent"
PASSWORD = "s3cret-of-the-test"
CONFIG = """
hospital = "SE0000000000-0001"
name = "Test hospital"
region = "01"
state-dir = "state"
key-file = "agent.key"
centre-key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
broker = {{ url = "mqtt://127.0.0.1:1" }}
[report]
valid-for = "10m"
[[ward]]
index = 1
id = "iva"
name = "IVA"
care = "icu"
[[ward]]
index = 2
id = "med"
name = "Medicine"
care = "general"
[[source]]
name = "beds"
kind = "sql"
url = "{url}"
username = "reader"
password-file = "{password}"
tls = "off"
every = "1s"
timeout = "2s"
query = "{query}"
[source.columns]
ward = "ward"
staffed = "staffed"
occupied = "occupied"
[source.wards]
ICU = "iva"
M1 = "med"
"""
QUERY = "SELECT code AS ward, open AS staffed, used AS occupied FROM beds"
TABLE = f"""
CREATE TABLE beds (code varchar(9), open integer, used decimal(5,0), note varchar(99));
INSERT INTO beds VALUES ('ICU', 10, 7, '19121212-1212'), ('M1', 20, 18, NULL);
"""


class Database:
    """A server of its own folder, killed and started at will. `say` runs SQL as its owner."""

    def kill(self):
        self.process.process.kill()
        self.process.process.wait()


class Postgres(Database):
    hangs = "SELECT 'ICU' AS ward, 1 AS staffed, 1 AS occupied FROM pg_sleep(60)"
    writes = ("DELETE FROM beds RETURNING code AS ward, open AS staffed, used AS occupied", "25006")
    missing = ("SELECT code AS ward, open AS staffed FROM beds", "no column \\\"occupied\\\" among the 2 of the result")
    converts = "SELECT note::integer AS ward, open AS staffed, used AS occupied FROM beds"

    def __init__(self, test):
        self.test, self.port = test, free_port()
        self.data = test.folder / "postgres"
        self.data.mkdir()
        shutil.chown(self.data, "nobody")
        os.chmod(test.folder, 0o755)
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        self.bin = found[-1]
        run(self.owned(self.bin / "initdb", "-D", self.data / "d", "-U", "owner", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"))
        self.start()
        self.say(TABLE + f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT ALL ON beds TO reader;")
        self.url = f"postgres://127.0.0.1:{self.port}/postgres"

    def owned(self, *command):
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]

    def start(self):
        command = self.owned(
            self.bin / "postgres", "-D", self.data / "d", "-p", self.port, "-c", "listen_addresses=127.0.0.1",
            "-c", f"unix_socket_directories={self.data}", "-c", "fsync=off",
        )

        def up():
            # A killed server's children live on for a moment, and no other starts beside them.
            if not self.process.running():
                self.process.spawn()
            return self.say("SELECT 1")

        self.process = self.test.start("postgres", command)
        wait_for("PostgreSQL", up)

    def say(self, sql):
        return run(["psql", "-h", self.data, "-p", self.port, "-U", "owner", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", sql])


class MariaDb(Database):
    hangs = "SELECT 'ICU' AS ward, 1 AS staffed, SLEEP(60) AS occupied"
    writes = ("DELETE FROM beds RETURNING code AS ward, open AS staffed, used AS occupied", "1792")
    missing = ("SELECT code AS ward, open AS staffed FROM beds", "no column \\\"occupied\\\" among the 2 of the result")
    converts = None

    def __init__(self, test):
        self.test, self.port = test, free_port()
        self.data = test.folder / "maria"
        self.data.mkdir()
        user = pwd.getpwuid(os.getuid()).pw_name
        run(["mariadb-install-db", "--no-defaults", f"--datadir={self.data}/d", f"--user={user}", "--auth-root-authentication-method=normal", "--skip-test-db"])
        self.user = user
        self.start()
        self.say(f"CREATE DATABASE hospital; USE hospital; {TABLE} CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON hospital.* TO reader@'127.0.0.1';")
        self.url = f"mariadb://127.0.0.1:{self.port}/hospital"

    def start(self):
        command = [
            "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.data}/d", f"--port={self.port}", f"--user={self.user}",
            "--bind-address=127.0.0.1", f"--socket={self.data}/sock", "--skip-name-resolve",
        ]
        self.process = self.test.start("mariadb", command)
        wait_for("MariaDB", lambda: self.say("SELECT 1"), process=self.process)

    def say(self, sql):
        return run(["mariadb", "--no-defaults", "-u", "root", f"--socket={self.data}/sock", "-e", sql])


class Sql(TestCase):
    def config(self, database, query=QUERY, password=PASSWORD):
        (self.folder / "password").write_text(password + "\n")
        file = self.folder / "agent.toml"
        file.write_text(CONFIG.format(url=database.url, query=query.replace('"', '\\"'), password="password"))
        return file

    def check(self, file):
        """What `check` says about the source, as text."""
        done = subprocess.run([AGENT, "check", "--json", "--config", file], capture_output=True, text=True, timeout=60)
        self.assertNotIn(PASSWORD, done.stdout + done.stderr)
        self.assertNotIn("1912", done.stdout + done.stderr)
        return done.stdout

    def status(self, file):
        done = subprocess.run([AGENT, "status", "--json", "--config", file], capture_output=True, text=True, timeout=30)
        if done.returncode == 1 and not done.stdout.startswith("{"):
            raise ValueError("the agent does not answer yet")
        return json.loads(done.stdout)["sources"]["beds"]

    def everything(self, database):
        file = self.config(database)
        (self.folder / "state").mkdir(exist_ok=True)
        run([AGENT, "keygen", "--config", file])
        self.assertIn("2 wards, observed at", self.check(file))

        self.assertIn("refused us", self.check(self.config(database, password="wrong")))
        query, said = database.missing
        self.assertIn(said, self.check(self.config(database, query)))
        query, said = database.writes
        refused = self.check(self.config(database, query))
        self.assertIn("refused to write", refused)
        self.assertIn(said, refused)
        self.assertIn("2", database.say("SELECT count(*) FROM " + ("hospital." if isinstance(database, MariaDb) else "") + "beds"))
        self.assertIn("no result within the 2 s of timeout", self.check(self.config(database, database.hangs)))
        if database.converts:
            self.assertIn("failed with code 22P02", self.check(self.config(database, database.converts)))

        file = self.config(database)
        agent = self.start("agent", [AGENT, "run", "--config", file])
        wait_for("counts", lambda: self.status(file)["wards"] == 2, process=agent)
        database.kill()
        wait_for("a fault", lambda: "cannot be reached" in (self.status(file)["error"] or ""), process=agent)
        database.start()
        wait_for("counts again", lambda: self.status(file)["error"] is None, process=agent)
        self.assertEqual(agent.stop(), 0)
        self.assertNotIn(PASSWORD, agent.log())
        self.assertNotIn("1912", agent.log())

    def test_postgresql(self):
        self.everything(Postgres(self))

    def test_mariadb(self):
        self.everything(MariaDb(self))

"""SQL sources against a real PostgreSQL and a real MariaDB: counts, a kill in the middle, a wrong password, a missing
column, a query that hangs, and an attempt to write."""

import os
import pathlib
import pwd
import shutil

from sql_source import PASSWORD, TABLE, SqlTestCase
from testbed import free_port, run, wait_for


class Database:
    """A server of its own folder, killed and started at will. `say` runs SQL as its owner."""

    def kill(self):
        self.process.process.kill()
        self.process.process.wait()


class Postgres(Database):
    hangs = "SELECT 'ICU' AS ward, 1 AS staffed, 1 AS occupied FROM pg_sleep(60)"
    writes = ("DELETE FROM beds RETURNING code AS ward, open AS staffed, used AS occupied", "25006")
    missing = ("SELECT code AS ward, open AS staffed FROM beds", 'no column "occupied" among the 2 of the result')
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
    missing = ("SELECT code AS ward, open AS staffed FROM beds", 'no column "occupied" among the 2 of the result')
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


class Sql(SqlTestCase):
    def everything(self, database):
        file = self.config(database.url)
        agent = self.runs(file)
        self.assertIn("2 wards, observed at", self.check(file))

        self.assertIn("refused us", self.check(self.config(database.url, password="wrong")))
        query, said = database.missing
        self.assertIn(said, self.check(self.config(database.url, query)))
        query, said = database.writes
        refused = self.check(self.config(database.url, query))
        self.assertIn("refused to write", refused)
        self.assertIn(said, refused)
        self.assertIn("2", database.say("SELECT count(*) FROM " + ("hospital." if isinstance(database, MariaDb) else "") + "beds"))
        self.assertIn("no result within the 2 s of timeout", self.check(self.config(database.url, database.hangs)))
        if database.converts:
            self.assertIn("failed with code 22P02", self.check(self.config(database.url, database.converts)))

        file = self.config(database.url)
        database.kill()
        wait_for("a fault", lambda: "cannot be reached" in (self.status(file)["error"] or ""), process=agent)
        database.start()
        wait_for("counts again", lambda: self.status(file)["error"] is None, process=agent)
        self.ends(agent)

    def test_postgresql(self):
        self.everything(Postgres(self))

    def test_mariadb(self):
        self.everything(MariaDb(self))

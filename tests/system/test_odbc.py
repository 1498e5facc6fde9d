"""ODBC as a source, with an agent that was built for it: a real PostgreSQL and SQLite by their drivers give what the agent reads from them without,
as does the stand-in for SQL Server by Microsoft's driver. Then logins, drivers and values that do not fit, and a driver that hangs."""

import json
import os
import pathlib
import signal
import sqlite3

import tds
from sql_source import LOGIN, PASSWORD, QUERY, TABLE, SqlTestCase
from tds_certificates import Certificates
from test_mssql import DRIVER
from test_sql import Postgres
from testbed import BINARIES, run, wait_for

NATIVE = BINARIES / "vardpuls-agent"


class Odbc(SqlTestCase):
    agent = BINARIES.parent / "system" / "odbc" / "vardpuls-agent"

    def odbc(self, text, query=QUERY, password=PASSWORD, login=LOGIN):
        return self.config(f"odbc:{text}", query, password, login)

    def told(self, *arguments, **options):
        return self.check(self.odbc(*arguments, **options))

    def counts(self, agent, file, environment=None):
        """The counts that would be sent."""
        if not (self.folder / "agent.key").exists():
            run([agent, "keygen", "--config", file])
        return json.loads(run([agent, "preview", "--json", "--config", file], env=environment))["report"]["diagnostic"].rsplit("[[", 1)[1]

    @staticmethod
    def postgres(database):
        return f"Driver={{PostgreSQL Unicode}};Server=127.0.0.1;Port={database.port};Database=postgres"

    def test_postgresql(self):
        database = Postgres(self)
        text = self.postgres(database)
        read = self.counts(self.agent, self.odbc(text))
        self.assertEqual(read, "1, 10, 7], [2, 20, 18]]]")
        self.assertEqual(read, self.counts(NATIVE, self.config(database.url)))

        self.assertIn("password authentication failed for user", self.told(text, password="wrong"))
        self.assertIn("cannot be reached (08001", self.told(text.replace(str(database.port), "1")))
        self.assertIn('no column "occupied" among the 2 of the result', self.told(text, Postgres.missing[0]))
        self.assertIn("refused the query (42", self.told(text, "SELECT code AS ward FROM wards"))
        self.assertIn("failed with code 22P02", self.told(text, Postgres.converts))
        self.assertIn("no result within the 2 s of timeout", self.told(text, Postgres.hangs))
        self.assertIn("the query gives no row", self.told(text, QUERY + " WHERE false"))
        self.assertIn("more than the 10000 rows", self.told(text, "SELECT 'ICU' AS ward, 1 AS staffed, 1 AS occupied FROM generate_series(1, 10001)"))
        long = "SELECT code AS ward, open AS staffed, used AS occupied, repeat('x', {}) AS note FROM beds"
        self.assertIn("2 wards, observed", self.told(text, long.format(1000)))
        self.assertIn("a value of column 4 has more than 1000 characters", self.told(text, long.format(1001)))
        # A password may hold what has a meaning in a connection string.
        odd = "a;b{c}d=+%41 'ö"
        database.say("ALTER ROLE reader PASSWORD '{}'".format(odd.replace("'", "''")))
        self.assertIn("2 wards, observed", self.told(text, password=odd))
        database.say(f"ALTER ROLE reader PASSWORD '{PASSWORD}'")
        # What is written is rolled back.
        self.assertIn("2 wards, observed", self.told(text, Postgres.writes[0]))
        self.assertIn("2", database.say("SELECT count(*) FROM beds"))

        # Letters beyond ASCII in the query, a name and a value.
        file = self.odbc(text, """SELECT CASE 'Å' WHEN U&'\\00C5' THEN 'Kir Å' END AS "avdelning å", 10 AS staffed, 7 AS occupied""")
        file.write_text(file.read_text().replace('ward = "ward"', 'ward = "avdelning å"').replace("ICU =", '"Kir Å" ='))
        self.assertIn("1 wards, observed", self.check(file))

    def test_logins_and_drivers_that_do_not_fit(self):
        self.assertIn("no such ODBC driver or data source (IM002 (0): [unixODBC][Driver Manager]Data source name not found", self.told("DSN=none"))
        self.assertIn("Can't open lib '/none.so'", self.told("Driver=/none.so;Server=x"))
        for text, login, said in [
            ("DSN=beds;PWD=x", LOGIN, "holds a user or a password"), ("beds", LOGIN, "is no ODBC connection string"), ("DSN=beds", LOGIN + 'tls = "off"\n', "has no effect on ODBC"), ("DSN=beds", LOGIN + 'tls = "verify"\n', "has no effect on ODBC"),
        ]:
            self.assertIn(said, self.told(text, login=login))
        refused = self.check(self.odbc("DSN=beds"), agent=NATIVE)
        self.assertIn("source.url: needs an agent with ODBC; install vardpuls-agent-odbc", refused)

    def test_sqlite(self):
        file = self.folder / "beds.db"
        database = sqlite3.connect(file)
        database.executescript(TABLE)
        database.close()
        text = f"Driver=SQLite3;Database={file}"
        read = self.counts(self.agent, self.odbc(text, login=""))
        self.assertEqual(read, "1, 10, 7], [2, 20, 18]]]")
        self.assertEqual(read, self.counts(NATIVE, self.config(f"sqlite:{file}", login="")))
        self.assertIn("failed with code HY000 (1)", self.told(text, "SELECT * FROM wards", login=""))
        self.assertIn("has no columns", self.told(text, "DELETE FROM beds RETURNING code AS ward, open AS staffed, used AS occupied", login=""))
        self.assertEqual(self.counts(self.agent, self.odbc(text, login="")), read)

    def test_microsofts_driver(self):
        certificates = Certificates(self.folder)
        server = tds.Server(TABLE, {"reader": PASSWORD}, certificates.pair("server"))
        self.addCleanup(server.kill)
        environment = {**os.environ, "SSL_CERT_FILE": str(certificates.ca("hospital"))}
        text = f"Driver={DRIVER};Server=localhost,{server.port};Database=ehr;Encrypt=yes"
        self.assertEqual(self.counts(self.agent, self.odbc(text), environment), "1, 10, 7], [2, 20, 18]]]")
        self.assertTrue(server.logins[-1]["encrypted"])
        self.assertIn("Login failed for user", self.check(self.odbc(text, password="wrong"), environment))
        self.assertIn("certificate verify failed", self.told(text))
        self.reads_one_result(text, environment)
        self.assertIn("ended the query for a deadlock (40001 (1205))", self.check(self.odbc(text, "EXEC deadlock"), environment))
        for statement in ["EXEC cut", "EXEC lost"]:
            lost = self.check(self.odbc(text, statement), environment)
            self.assertIn("cannot be reached (08S01", lost)
            self.assertNotIn("panicked", lost)
        self.assertIsNone(server.failure)

    def test_a_result_that_breaks_off_is_none(self):
        server = tds.Server(TABLE, {"reader": PASSWORD}, Certificates(self.folder).pair("server"))
        self.addCleanup(server.kill)
        text = f"Driver=libtdsodbc.so;Server=127.0.0.1;Port={server.port};TDS_Version=7.4;Encryption=require;Database=ehr"
        self.assertEqual(self.counts(self.agent, self.odbc(text)), "1, 10, 7], [2, 20, 18]]]")
        # FreeTDS gives the rows before an error as a success, where several are asked for at once.
        self.assertIn("refused the query (42000", self.told(text, "EXEC broken"))
        self.assertIn("failed with code 01000", self.told(text, "EXEC lost"))
        self.reads_one_result(text)
        self.assertIsNone(server.failure)

    def reads_one_result(self, text, environment=None):
        for procedure, said in [("counted", "2 wards, observed"), ("counts_first", "begin query with SET NOCOUNT ON"), ("two", "gives 2 results"), ("late", "refused the query (42000")]:
            self.assertIn(said, self.check(self.odbc(text, f"EXEC {procedure}"), environment), procedure)

    def test_a_driver_that_refuses_ends_no_thread_and_is_not_quoted(self):
        driver = self.folder / "driver.so"
        run(["cc", "-shared", "-fPIC", "-o", driver, pathlib.Path(__file__).with_name("odbc_driver.c")])
        self.assertEqual(self.counts(self.agent, self.odbc(f"Driver={driver}")), "1, 10, 7], [2, 20, 18]]]")
        for refused, said in [
            ("disconnect", "2 wards, observed"), ("autocommit", "cannot be reached (HY000 (7)"), ("autocommit,disconnect", "cannot be reached (HY000 (7)"),
            ("unbind", "failed with code HY000 (7)"), ("unbind,disconnect", "failed with code HY000 (7)"),
        ]:
            with self.subTest(refused):
                self.assertIn(said, self.told(f"Driver={driver};Refuses={refused}"))

    def test_a_driver_that_hangs_costs_one_thread(self):
        database = Postgres(self)
        file = self.odbc(self.postgres(database))
        agent = self.runs(file)
        self.assertEqual(self.threads(agent), 1)
        # A server that stands still answers nothing and ends nothing: the driver waits, whatever time-out it has.
        parent = database.process.process.pid
        processes = [int(pid) for pid in pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        self.assertTrue(processes)
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        wait_for("a time-out", lambda: "no result within" in (self.status(file)["error"] or ""), process=agent)
        wait_for("a refusal to wait twice", lambda: "has not come back" in (self.status(file)["error"] or ""), process=agent)
        self.assertEqual(self.threads(agent), 1)
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        wait_for("counts again", lambda: self.status(file)["error"] is None, process=agent)
        database.kill()
        wait_for("a fault", lambda: self.status(file)["error"], process=agent)
        database.start()
        wait_for("counts after a restart", lambda: self.status(file)["error"] is None, process=agent)
        self.assertEqual(self.threads(agent), 1)
        self.ends(agent)

    @staticmethod
    def threads(agent):
        names = [file.read_text().strip() for file in pathlib.Path(f"/proc/{agent.process.pid}/task").glob("*/comm")]
        return names.count("odbc")

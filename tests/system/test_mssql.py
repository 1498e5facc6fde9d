"""SQL Server as a source. The server is a stand-in (`tds.py`); Microsoft's own ODBC driver and FreeTDS log in to it first, so that what the agent
reads from it is more than an agreement between the two of us. Then TLS that must fail, and a server that misbehaves in every way."""

import json
import pathlib
import subprocess
import sys
import time

import mssql_python_odbc
import tds
from sql_source import LOGIN, PASSWORD, QUERY, TABLE, SqlTestCase
from tds_certificates import Certificates
from testbed import run, wait_for

USERS = {"reader": PASSWORD}
DRIVER = sorted(pathlib.Path(mssql_python_odbc.__file__).parent.glob("libs/linux/debian_ubuntu/*/lib/libmsodbcsql-*"))[-1]
# In a process of its own: it reads its trust from the environment when it starts.
CLIENT = """
import json, sys, pyodbc
connection = pyodbc.connect(sys.argv[1], autocommit=True, timeout=10)
print(json.dumps([list(map(str, row)) for row in connection.execute(sys.argv[2])]))
"""
TYPES = [
    ("tinyint", "7", "7"), ("smallint", "7", "7"), ("int", "7", "7"), ("bigint", "7", "7"), ("bit", "1", "1"), ("decimal(5,0)", "7", "7"), ("numeric(38,2)", "7.00", "7.00"),
    ("float", "7", "7"), ("real", "7", "7"), ("money", "7", "7"), ("varchar(9)", "'7'", "7"), ("nvarchar(9)", "'7'", "7"), ("nvarchar(max)", "'7'", "7"), ("char(9)", "'7'", "7"),
    ("nchar(9)", "'7'", "7"),
]
TIMES = ["datetime2", "datetime", "smalldatetime", "datetimeoffset"]


class Mssql(SqlTestCase):
    def setUp(self):
        super().setUp()
        self.certificates = Certificates(self.folder)
        self.servers = []

    def tearDown(self):
        for server in self.servers:
            server.kill()
            self.assertIsNone(server.failure)

    def server(self, certificate="server", **options):
        server = tds.Server(TABLE, USERS, self.certificates.pair(certificate), **options)
        self.servers.append(server)
        return server

    def url(self, server):
        return f"mssql://localhost:{server.port}/ehr"

    def login(self, ca="hospital"):
        return LOGIN + f'ca-file = "{self.certificates.ca(ca)}"\n'

    def told(self, server, query=QUERY, password=PASSWORD, login=None):
        """What `check` says of it."""
        return self.check(self.config(self.url(server), query, password, login or self.login()))

    def test_microsofts_driver_and_freetds_read_the_same(self):
        server = self.server()
        cast = ", ".join(f"CAST({value} AS {kind}) AS t{at}" for at, (kind, value, _) in enumerate(TYPES))
        query = f"{QUERY.replace(' FROM', f', {cast} FROM')} WHERE code = 'ICU'"
        expected = [["ICU", "10", "7", *("True" if kind == "bit" else shown for kind, _, shown in TYPES)]]

        def microsoft(ca, encrypt="yes"):
            text = f"Driver={DRIVER};Server=localhost,{server.port};Database=ehr;UID=reader;PWD={PASSWORD};Encrypt={encrypt}"
            environment = {"SSL_CERT_FILE": str(self.certificates.ca(ca))}
            return subprocess.run([sys.executable, "-c", CLIENT, text, query], capture_output=True, text=True, timeout=60, env=environment)

        read = microsoft("hospital")
        self.assertEqual(read.returncode, 0, read.stderr)
        simple = [[value.strip().removesuffix(".0").removesuffix(".0000") for value in row] for row in json.loads(read.stdout)]
        self.assertEqual(simple, expected)
        self.assertTrue(server.logins[-1]["encrypted"])
        self.assertIn("certificate verify failed", microsoft("stranger").stderr)

        done = subprocess.run(["tsql", "-H", "localhost", "-p", str(server.port), "-U", "reader", "-P", PASSWORD, "-D", "ehr", "-o", "fhq"],
                              input=QUERY + "\ngo\nexit\n", capture_output=True, text=True, timeout=60, env={"TDSVER": "7.4"})
        self.assertEqual([row.split("\t") for row in done.stdout.splitlines()], [["ICU", "10", "7"], ["M1", "20", "18"]], done.stderr)
        self.assertTrue(server.logins[-1]["encrypted"])

    def test_counts_and_faults(self):
        server = self.server()
        self.assertIn("2 wards, observed at", self.told(server))
        self.assertEqual(server.logins, [{"user": "reader", "database": "ehr", "application": "vardpuls-agent", "intent": "ReadOnly", "encrypted": True, "known": True}])
        self.assertEqual(server.batches[1:], ["BEGIN TRANSACTION", QUERY, "ROLLBACK TRANSACTION"])
        run([self.agent, "keygen", "--config", self.folder / "agent.toml"])
        preview = run([self.agent, "preview", "--json", "--config", self.folder / "agent.toml"])
        self.assertIn("[[1, 10, 7], [2, 20, 18]]", json.loads(preview)["report"]["diagnostic"])

        for kind, value, _ in TYPES:
            with self.subTest(kind):
                told = self.told(server, f"SELECT 'ICU' AS ward, 10 AS staffed, CAST({value} AS {kind}) AS occupied")
                self.assertIn("1 ward", told)
                self.assertNotIn("is not a count", told)
        self.assertIn("refused us (18456: Login failed for user 'reader'.)", self.told(server, password="wrong"))
        self.assertIn('no column "occupied" among the 2', self.told(server, "SELECT code AS ward, open AS staffed FROM beds"))
        self.assertIn("refused the query (208: Invalid object name 'wards'.)", self.told(server, "SELECT code AS ward FROM wards"))
        self.assertIn("refused the query (207:", self.told(server, "SELECT 'x' AS ward, ward AS staffed, used AS occupied FROM beds"))
        self.assertIn("the query gives no row", self.told(server, QUERY + " WHERE code = 'X'"))
        self.assertIn("refused to write (3903:", self.told(server, QUERY + " COMMIT"))
        self.assertIn("a value of column 3 is neither text nor a number", self.told(server, "SELECT 'ICU' AS ward, 1 AS staffed, x'0102' AS occupied"))
        self.assertIn("ended the query for a deadlock (1205)", self.told(server, "EXEC deadlock"))
        for procedure in ["counted", "counts_first"]:
            self.assertIn("2 wards, observed", self.told(server, f"EXEC {procedure}"))
        begun = time.monotonic()
        self.assertIn("no result within the 2 s of timeout", self.told(server, "WAITFOR DELAY '00:01:00'"))
        wait_for("an end of the statement", lambda: not server.sessions)
        self.assertLess(time.monotonic() - begun, 30)

    def test_times_are_read(self):
        server = self.server()
        for kind in TIMES:
            zone = "+01:00" if kind == "datetimeoffset" else ""
            query = f"SELECT code AS ward, open AS staffed, used AS occupied, CAST('2026-11-29T01:30:00{zone}' AS {kind}) AS at FROM beds"
            file = self.config(self.url(server), query, login=self.login())
            text = file.read_text().replace('occupied = "occupied"\n', 'occupied = "occupied"\ntime = "at"\n')
            file.write_text(text + '[source.time]\nzone = "Europe/Stockholm"\n')
            self.assertIn("observed at 2026-11-29T00:30:00.000Z", self.check(file), kind)

    def test_only_the_right_server_gets_the_password(self):
        self.assertIn("TLS failed (invalid peer certificate: UnknownIssuer)", self.told(self.server(), login=self.login("stranger")))
        self.assertIn("not valid for name", self.told(self.server("elsewhere")))
        silent = self.server(encryption=tds.NOT_SUPPORTED)
        self.assertIn("does not offer encryption", self.told(silent))
        off = LOGIN + 'tls = "off"\n'
        strict = self.server(encryption=tds.REQUIRED)
        self.assertIn("demands encryption", self.told(strict, login=off))
        for server in self.servers:
            self.assertEqual(server.logins, [], "a password has gone out")
        self.assertIn("2 wards, observed at", self.told(strict))
        # In clear only where the config says so.
        for server in [silent, self.server()]:
            self.assertIn("2 wards, observed at", self.told(server, login=off))
            self.assertFalse(server.logins[-1]["encrypted"])

    def test_a_listener_sends_us_on(self):
        replica = self.server()
        listener = self.server(route=("localhost", replica.port))
        self.assertIn("2 wards, observed at", self.told(listener))
        self.assertEqual([len(listener.logins), len(replica.logins)], [1, 1])
        # Where no replica may be read, we read the one that there is.
        for number in (979, 982):
            primary = self.server(no_replica=number)
            self.assertIn("2 wards, observed at", self.told(primary))
            self.assertEqual([login["intent"] for login in primary.logins], ["ReadOnly", "ReadWrite"])
        # Where the next one has another name, it is not believed; and nobody is led in circles.
        misled = self.server(route=("localhost", self.server("elsewhere").port))
        self.assertIn("not valid for name", self.told(misled))
        circle = self.server()
        circle.route = ("localhost", circle.port)
        self.assertIn("sends us on again and again", self.told(circle))
        self.assertLess(len(circle.logins), 5)

    def test_a_server_that_misbehaves_is_survived(self):
        for name, answer in [("nothing", b""), ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n"), ("long", b"\x04\x01\xff\xff" + b"\x00" * 70000), ("zeros", b"\x00" * 4096)]:
            with self.subTest(name):
                self.assertIn("cannot be reached", self.told(self.server(prelogin=answer)))
                if answer:
                    self.assertIn("cannot be reached", self.told(self.server(login=answer)))

        server = self.server()
        file = self.config(self.url(server), login=self.login())
        agent = self.runs(file)
        resident = self.resident(agent)
        for procedure, said in [
            ("endless", "more than the 10000 rows of max-rows"), ("huge", "too large to be counts"), ("cut", "cannot be reached"), ("garbage", "cannot be reached"),
            ("lies", "cannot be reached"), ("two", "gives 2 results"), ("fatal", "error 596"),
        ]:
            with self.subTest(procedure):
                self.assertIn(said, self.told(server, f"EXEC {procedure}"))
                self.asks(agent, server, f"EXEC {procedure}")
                wait_for(said, lambda said=said: said in (self.status(file)["error"] or ""), process=agent)
                # Several say the same: the next must not find the words of this one.
                self.asks(agent, server, QUERY)
                wait_for("counts again", lambda: self.status(file)["error"] is None and self.status(file)["wards"] == 2, process=agent)
        # But for the one that serves those counts.
        wait_for("no other connection", lambda: len(server.sessions) == 1)
        self.assertLess(self.resident(agent), resident + 100_000_000)

        server.kill()
        wait_for("a fault", lambda: "cannot be reached" in (self.status(file)["error"] or ""), process=agent)
        server.start()
        wait_for("counts after a restart", lambda: self.status(file)["error"] is None, process=agent)
        self.ends(agent)

    def asks(self, agent, server, query):
        """Has a running agent ask this."""
        self.config(self.url(server), query, login=self.login())
        agent.process.send_signal(1)

    @staticmethod
    def resident(agent):
        pages = int(pathlib.Path(f"/proc/{agent.process.pid}/statm").read_text().split()[1])
        return pages * 4096

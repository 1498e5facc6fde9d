"""A server that speaks the protocol of Microsoft SQL Server (MS-TDS 7.4) well enough that Microsoft's own driver logs in to it: PRELOGIN, TLS
inside the protocol, LOGIN7 and SQL batches, which run in SQLite. It stands in for the real one, which cannot be had here;
`test_mssql.py` has independent clients say that it is no friend of our agent only. It also misbehaves, when told to.
"""

import contextlib
import re
import socket
import sqlite3
import ssl
import struct
import threading

import tds_types as types
from tds_tls import HEADER, PACKET, PRELOGIN, TlsInside

BATCH, RPC, ATTENTION, TRANSACTION, LOGIN, RESULT = 0x01, 0x03, 0x06, 0x0E, 0x10, 0x04
# What a request about transactions asks for (MS-TDS 2.2.6.9), as the statement of the same effect.
TRANSACTIONS = {5: "BEGIN TRANSACTION", 7: "COMMIT TRANSACTION", 8: "ROLLBACK TRANSACTION"}
LAST = 0x01
OFF, ON, NOT_SUPPORTED, REQUIRED = 0, 1, 2, 3
READ_ONLY_INTENT = 0x20
DONE_MORE, DONE_ERROR, DONE_COUNT, DONE_ATTENTION = 0x01, 0x02, 0x10, 0x20
SELECT, UPDATE = 0xC1, 0xC5


class Gone(Exception):
    """The client hung up."""


class SqlError(Exception):
    """What the server says is wrong with a statement."""

    def __init__(self, number, text, severity=16):
        super().__init__(text)
        self.number, self.text, self.severity = number, text, severity


class Server:
    """Listens on 127.0.0.1, a thread a connection. `setup` is the SQL of its database; `users` are names and passwords.

    `encryption` is what it is configured for: OFF (of logins, on request), NOT_SUPPORTED or REQUIRED. `prelogin` and `login` are
    bytes that are sent in place of an answer, after which it hangs up. `route` is where a login is sent on to.
    """

    def __init__(self, setup, users, certificate=None, encryption=OFF, prelogin=None, login=None, route=None, no_replica=None, port=0):
        self.setup, self.users, self.encryption, self.route = setup, users, encryption, route
        self.prelogin, self.login, self.no_replica = prelogin, login, no_replica
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)
            # Inside the protocol there is no place for what TLS 1.3 sends after its handshake.
            self.tls.maximum_version = ssl.TLSVersion.TLSv1_2
        self.sessions, self.logins, self.batches = set(), [], []
        self.failure = None
        self.port = port
        self.start()

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=[self.listener], daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            session = Session(self, connection)
            self.sessions.add(session)
            threading.Thread(target=session.run, daemon=True).start()

    def kill(self):
        """Ends everything at once, as a crash does."""
        # A thread in accept() keeps a closed socket open.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for session in list(self.sessions):
            session.hang_up()


class Session:
    def __init__(self, server, connection):
        self.server, self.connection = server, connection
        self.tls = None
        self.descriptor = 0
        self.transactions = 0
        self.said = None

    def run(self):
        try:
            self.serve()
        except (Gone, ssl.SSLError, ConnectionError, TimeoutError):
            pass
        except OSError:
            pass  # hung up from another thread
        except Exception as failure:  # a fault of this server: the test has to see it
            self.server.failure = failure
            raise
        finally:
            self.server.sessions.discard(self)
            self.connection.close()

    def hang_up(self):
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    # --- bytes ------------------------------------------------------------------------------------------------------------

    def received(self, count):
        data = b""
        while len(data) < count:
            more = self.connection.recv(count - len(data)) if self.tls is None else self.tls.recv(count - len(data))
            if not more:
                raise Gone
            data += more
        return data

    def send(self, data):
        self.connection.sendall(data) if self.tls is None else self.tls.send(data)

    def read_message(self):
        """The kind and the whole content of a client's next message."""
        content = b""
        while True:
            kind, status, length = struct.unpack(">BBH", self.received(HEADER)[:4])
            content += self.received(length - HEADER)
            if status & LAST:
                return kind, content

    def answer(self, tokens):
        for at in range(0, max(len(tokens), 1), PACKET - HEADER):
            part = tokens[at : at + PACKET - HEADER]
            self.packet(part, last=at + len(part) >= len(tokens))

    def packet(self, content, last=True, kind=RESULT):
        self.send(struct.pack(">BBHHBB", kind, LAST if last else 0, HEADER + len(content), 0, 1, 0) + content)

    # --- the way to a login -------------------------------------------------------------------------------------------------

    def serve(self):
        kind, content = self.read_message()
        assert kind == PRELOGIN, kind
        if self.server.prelogin is not None:
            self.send(self.server.prelogin)
            return
        agreed = self.agree(self.option(content, 1)[0])
        self.packet(self.offer(agreed))
        if agreed != NOT_SUPPORTED:
            assert self.server.tls, "encryption was agreed on without a certificate"
            self.tls = TlsInside(self)
        kind, content = self.read_message()
        if kind != LOGIN:
            raise Gone
        if self.log_in(content, agreed):
            self.work()

    @staticmethod
    def option(content, wanted):
        """The value of a PRELOGIN option (MS-TDS 2.2.6.5)."""
        at = 0
        while content[at] != 0xFF:
            token, offset, length = struct.unpack_from(">BHH", content, at)
            if token == wanted:
                return content[offset : offset + length]
            at += 5
        raise AssertionError(f"PRELOGIN without option {wanted}")

    def agree(self, client):
        """The table of MS-TDS 2.2.6.5: what client and server make of their wishes."""
        if self.server.encryption == NOT_SUPPORTED:
            return NOT_SUPPORTED
        if self.server.encryption == REQUIRED:
            return REQUIRED if client in (OFF, NOT_SUPPORTED, REQUIRED) else ON
        return {OFF: OFF, ON: ON, NOT_SUPPORTED: NOT_SUPPORTED, REQUIRED: ON}[client]

    @staticmethod
    def offer(encryption):
        values = [(0, bytes([16, 0, 0x10, 0x00, 0, 0])), (1, bytes([encryption])), (2, b"\x00"), (3, b""), (4, b"\x00")]
        offset, table, data = len(values) * 5 + 1, b"", b""
        for token, value in values:
            table += struct.pack(">BHH", token, offset + len(data), len(value))
            data += value
        return table + b"\xff" + data

    def log_in(self, content, agreed):
        """LOGIN7 (MS-TDS 2.2.6.4)."""
        encrypted = self.tls is not None
        if agreed == OFF:
            self.tls = None  # only the login is encrypted
        text = lambda at: content[slice(*self.extent(content, at))].decode("utf-16-le")  # noqa: E731
        start, end = self.extent(content, 44)
        password = bytes((b ^ 0xA5) >> 4 | ((b ^ 0xA5) & 0x0F) << 4 for b in content[start:end]).decode("utf-16-le")
        user, database, application = text(40), text(68), text(48)
        intent = "ReadOnly" if content[26] & READ_ONLY_INTENT else "ReadWrite"
        known = self.server.users.get(user) == password
        self.server.logins.append({"user": user, "database": database, "application": application, "intent": intent, "encrypted": encrypted, "known": known})
        if self.server.login is not None:
            self.send(self.server.login)
            return False
        if not known:
            self.answer(types.message(0xAA, 18456, 14, f"Login failed for user '{user}'.") + types.done(DONE_ERROR))
            return False
        if self.server.no_replica and intent == "ReadOnly":
            said = f"Unable to access the '{database}' database because no online secondary replicas are enabled for read-only access."
            self.answer(types.message(0xAA, self.server.no_replica, 14, said) + types.done(DONE_ERROR))
            return False
        tokens = types.changed(1, types.counted(database or "master"), types.counted("master"))
        tokens += types.message(0xAB, 5701, 0, f"Changed database context to '{database or 'master'}'.")
        tokens += types.changed(7, bytes([5]) + types.COLLATION)
        tokens += types.changed(2, types.counted("us_english"), types.counted(""))
        body = b"\x01\x74\x00\x00\x04" + types.counted("Microsoft SQL Server\0\0") + bytes([16, 0, 0x10, 0x00])
        tokens += b"\xad" + struct.pack("<H", len(body)) + body
        tokens += types.changed(4, types.counted(str(PACKET)), types.counted(str(PACKET)))
        if self.server.route:
            host, port = self.server.route
            place = struct.pack("<BH", 0, port) + types.counted(host, "H")
            tokens += types.changed(20, struct.pack("<H", len(place)) + place, b"\x00\x00")
        self.answer(tokens + types.done())
        return not self.server.route

    @staticmethod
    def extent(content, at):
        offset, length = struct.unpack_from("<HH", content, at)
        return offset, offset + length * 2

    # --- statements ---------------------------------------------------------------------------------------------------------

    def work(self):
        self.database = sqlite3.connect(":memory:", isolation_level=None, detect_types=sqlite3.PARSE_DECLTYPES)
        self.database.executescript(self.server.setup)
        self.database.create_function("fails", 1, lambda text: self.fail(50000, f"no bed for {text}"))
        self.database.create_function("denies", 1, lambda text: self.fail(229, f"The SELECT permission was denied on the object '{text}', database 'ehr', schema 'dbo'."))
        self.database.create_function("typed", 2, lambda value, name: None if value is None else f"\0{name}\0{value}")
        with contextlib.closing(self.database):
            while True:
                kind, content = self.read_message()
                if kind == ATTENTION:
                    self.answer(types.done(DONE_ATTENTION))
                    continue
                headers = struct.unpack_from("<I", content)[0]
                descriptor = struct.unpack_from("<Q", content, 10)[0]
                try:
                    if kind == RPC:
                        raise SqlError(2812, "Could not find stored procedure.")
                    if kind == TRANSACTION:
                        statement = TRANSACTIONS[struct.unpack_from("<H", content, headers)[0]]
                    else:
                        assert kind == BATCH, f"a message of kind {kind}"
                        statement = content[headers:].decode("utf-16-le").strip()
                    self.server.batches.append(statement)
                    if descriptor != self.descriptor:
                        raise SqlError(3989, "New request is not allowed to start because it should come with valid transaction descriptor.")
                    self.batch(statement)
                except SqlError as error:
                    self.answer(types.message(0xAA, error.number, error.severity, error.text) + types.done(DONE_ERROR))

    def batch(self, statement):
        if re.match(r"SET\s", statement, re.I) or not statement:
            self.answer(types.done())
        elif re.fullmatch(r"BEGIN TRAN(SACTION)?", statement, re.I):
            self.transactions += 1
            self.database.execute("BEGIN")
            self.descriptor = self.transactions
            self.answer(types.changed(8, bytes([8]) + struct.pack("<Q", self.descriptor)) + types.done())
        elif re.fullmatch(r"(ROLLBACK|COMMIT)( TRAN(SACTION)?)?", statement, re.I):
            word = statement.split()[0].upper()
            if not self.descriptor:
                number = {"ROLLBACK": 3903, "COMMIT": 3902}[word]
                raise SqlError(number, f"The {word} TRANSACTION request has no corresponding BEGIN TRANSACTION.")
            self.answer(self.end_transaction(word) + types.done())
        elif re.match(r"WAITFOR\s", statement, re.I):
            self.wait()
        elif at := re.fullmatch(r"EXEC (\w+)", statement, re.I):
            getattr(self, f"exec_{at.group(1)}")()
        else:
            self.select(statement)

    def end_transaction(self, word):
        old, self.descriptor = self.descriptor, 0
        self.database.execute(word)
        kind = {"COMMIT": 9, "ROLLBACK": 10}[word]
        return types.changed(kind, b"\x00", bytes([8]) + struct.pack("<Q", old))

    def wait(self):
        """Says nothing until the client asks to be let go, or is gone."""
        kind, _ = self.read_message()
        if kind == ATTENTION:
            self.answer(types.done(DONE_ATTENTION))

    def fail(self, number, text):
        """An error inside a function; what it printed before goes out as a message of its own."""
        self.said = types.message(0xAB, 0, 0, text), SqlError(number, text)
        raise self.said[1]

    def select(self, statement):
        ends = re.search(r"\s(COMMIT|ROLLBACK)$", statement)
        statement = statement[: ends.start()] if ends else statement
        written = re.sub(r"CAST\((.+?) AS (\w+(?:\(\w+(?:,\s*\d+)?\))?)\)", r"typed(\1, '\2')", statement, flags=re.I)
        try:
            cursor = self.database.execute(written)
            rows = [[untagged(value) for value in row] for row in cursor]
        except sqlite3.Error as error:
            if self.said:
                (printed, own), self.said = self.said, None
                self.packet(printed, last=False)
                raise own from error
            raise sql_error(str(error)) from error
        names = [column[0] for column in cursor.description or []]
        kinds = []
        for at in range(len(names)):
            given = [row[at] for row in rows]
            tagged = next((value.type for value in given if isinstance(value, Tagged)), None)
            first = next((value for value in given if value is not None), None)
            kinds.append(types.named(tagged) if tagged else types.of(first))
        plain = [[value.value if isinstance(value, Tagged) else value for value in row] for row in rows]
        tokens = types.columns(names, kinds) if names else b""
        for row in plain:
            try:
                tokens += types.row(kinds, row)
            except ArithmeticError as error:
                raise SqlError(8114, "Error converting data type varchar to numeric.") from error
            except ValueError as error:
                raise SqlError(245, f"Conversion failed when converting the varchar value '{error}' to data type int.") from error
        tokens += self.end_transaction(ends.group(1)) if ends else b""
        self.answer(tokens + types.done(DONE_COUNT, SELECT, len(rows)))

    # --- procedures that misbehave --------------------------------------------------------------------------------------------

    KINDS = [types.named("nvarchar(max)"), types.PLAIN["int"], types.PLAIN["int"]]
    HEAD = types.columns(["ward", "staffed", "occupied"], KINDS)

    def exec_endless(self):
        """Rows without end."""
        row = types.row(self.KINDS, ["ICU", 10, 7])
        self.packet(self.HEAD, last=False)
        while True:
            self.packet(row * 20, last=False)

    def exec_huge(self):
        """One value without end, which says that it is two thousand million bytes long."""
        self.packet(self.HEAD + b"\xd1" + struct.pack("<QI", 2**31 - 1, 2**31 - 1), last=False)
        while True:
            self.packet(b"I\x00" * 2000, last=False)

    def exec_cut(self):
        """Half a row, and the end of the connection."""
        self.packet(self.HEAD + b"\xd1" + struct.pack("<QI", 6, 6) + b"I\x00", last=False)
        self.hang_up()

    def exec_lost(self):
        """Rows, half of one more, and the end of the connection."""
        row = types.row(self.KINDS, ["ICU", 10, 7])
        self.packet(self.HEAD + row * 20 + b"\xd1" + struct.pack("<QI", 6, 6) + b"I\x00", last=False)
        self.hang_up()

    def exec_broken(self):
        """Rows, and then the server gives up."""
        row = types.row(self.KINDS, ["ICU", 10, 7])
        self.packet(self.HEAD + row * 40, last=False)
        raise SqlError(8114, "Error converting data type varchar to numeric.")

    def exec_garbage(self):
        """What is no token."""
        self.packet(bytes(range(1, 120)))

    def exec_lies(self):
        """A packet that is shorter than its own header."""
        self.send(struct.pack(">BBHHBB", RESULT, LAST, 3, 0, 1, 0))

    def exec_two(self):
        """Two results."""
        kind = [types.PLAIN["int"]]
        result = types.columns(["ward"], kind) + types.row(kind, [1])
        self.answer(result + types.done(DONE_MORE | DONE_COUNT, SELECT, 1) + result + types.done(DONE_COUNT, SELECT, 1))

    WARDS = types.row(KINDS, ["ICU", 10, 7]) + types.row(KINDS, ["M1", 20, 18]) + types.done(DONE_MORE | DONE_COUNT, SELECT, 2)
    CHANGED = types.done(DONE_MORE | DONE_COUNT, UPDATE, 7)

    def exec_counted(self):
        """Two wards, and then how many rows were changed, twice."""
        self.answer(self.HEAD + self.WARDS + self.CHANGED + types.done(DONE_COUNT, UPDATE, 1))

    def exec_counts_first(self):
        """The same after two more of such counts."""
        self.packet(self.CHANGED + self.CHANGED, last=False)
        self.exec_counted()

    def exec_late(self):
        """Two wards, and then a statement that fails."""
        self.packet(self.HEAD + self.WARDS, last=False)
        raise SqlError(8114, "Error converting data type varchar to numeric.")

    def exec_deadlock(self):
        raise SqlError(1205, "Transaction (Process ID 52) was deadlocked on lock resources with another process and has been chosen as the deadlock victim.", 13)

    def exec_fatal(self):
        raise SqlError(596, "Cannot continue the execution because the session is in the kill state.", 21)


class Tagged:
    """A value and the T-SQL name of its type."""

    def __init__(self, type_, value):
        self.type, self.value = type_, value


def untagged(value):
    if isinstance(value, str) and value.startswith("\0"):
        _, name, text = value.split("\0", 2)
        return Tagged(name, text)
    return value


# Columns are declared with types that SQLite does not have.
for name, declared in [("decimal", "decimal(5,0)"), ("varchar", "varchar(99)"), ("char", "char(9)")]:
    sqlite3.register_converter(name, lambda data, declared=declared: Tagged(declared, data.decode()))


def sql_error(said):
    """What SQL Server says where SQLite says this."""
    if found := re.match(r"no such table: (.+)", said):
        return SqlError(208, f"Invalid object name '{found.group(1)}'.")
    if found := re.match(r"no such column: (.+)", said):
        return SqlError(207, f"Invalid column name '{found.group(1)}'.")
    return SqlError(102, "Incorrect syntax near 'FROM'.", 15)

"""TLS inside TDS, the server's side (MS-TDS 3.3.5.2): records of the handshake in packets, later ones bare."""

import ssl

HEADER = 8
PACKET = 4096
PRELOGIN = 0x12


class TlsInside:
    """TLS whose handshake travels in PRELOGIN packets and whose later records travel bare."""

    def __init__(self, session):
        self.session = session
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = session.server.tls.wrap_bio(self.incoming, self.outgoing, server_side=True)
        try:
            while not self.shaken():
                kind, content = session.read_message()
                assert kind == PRELOGIN, kind
                self.incoming.write(content)
        finally:
            self.wrapped()

    def shaken(self):
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            self.wrapped()
            return False
        return True

    def wrapped(self):
        data = self.outgoing.read()
        for at in range(0, len(data), PACKET - HEADER):
            part = data[at : at + PACKET - HEADER]
            self.session.packet(part, last=at + len(part) == len(data), kind=PRELOGIN)

    def recv(self, count):
        while True:
            try:
                return self.object.read(count)
            except ssl.SSLWantReadError:
                data = self.session.connection.recv(65536)
                if not data:
                    return b""
                self.incoming.write(data)
            except ssl.SSLZeroReturnError:
                return b""

    def send(self, data):
        self.object.write(data)
        self.session.connection.sendall(self.outgoing.read())

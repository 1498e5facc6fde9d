"""Certificates for the tests of SQL Server: two CAs that do not know each other, and servers of the first."""

from testbed import run


class Certificates:
    """`server` is named localhost, `elsewhere` otherwise; the CAs are `hospital` and `stranger`."""

    def __init__(self, folder):
        self.folder = folder / "certificates"
        self.folder.mkdir()
        for name in ["hospital", "stranger"]:
            self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -addext basicConstraints=critical,CA:TRUE "
                         f"-subj /CN={name} -keyout {name}-ca.key -out {name}-ca.pem")
        for name, whom in [("server", "DNS:localhost"), ("elsewhere", "DNS:elsewhere.hospital.example")]:
            (self.folder / f"{name}.ext").write_text(f"subjectAltName={whom}\n")
            self.openssl(f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
            self.openssl(f"x509 -req -in {name}.csr -CA hospital-ca.pem -CAkey hospital-ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem")

    def openssl(self, arguments):
        run(["openssl", *arguments.split()], cwd=self.folder)

    def ca(self, name):
        return self.folder / f"{name}-ca.pem"

    def pair(self, name):
        """Certificate and key."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

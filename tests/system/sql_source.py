"""What the tests of SQL sources stand on: an agent with one such source, what it says of it, and a table of two wards with a
person's number beside the counts. The agent is the built program; nothing is ever sent."""

import json
import subprocess

from testbed import BINARIES, TestCase, run, wait_for

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
{login}every = "1s"
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



LOGIN = 'username = "reader"\npassword-file = "password"\n'


class SqlTestCase(TestCase):
    """`agent` is the program that is tried."""

    agent = BINARIES / "vardpuls-agent"

    def config(self, url, query=QUERY, password=PASSWORD, login=LOGIN + 'tls = "off"\n'):
        (self.folder / "password").write_text(password + "\n")
        file = self.folder / "agent.toml"
        quoted = query.replace("\\", "\\\\").replace('"', '\\"')
        file.write_text(CONFIG.format(url=url.replace('"', '\\"'), query=quoted, login=login))
        return file

    def check(self, file, environment=None, agent=None):
        """What `check` says about the config and the source, and what to do."""
        done = subprocess.run([agent or self.agent, "check", "--json", "--config", file], capture_output=True, text=True, timeout=60, env=environment)
        self.assertNotIn(PASSWORD, done.stdout + done.stderr)
        self.assertNotIn("19121212", done.stdout + done.stderr)
        steps = [step for step in json.loads(done.stdout) if step["step"] in ("config", "source beds")]
        return "\n".join(f"{step['what']}; {step['remedy']}" for step in steps)

    def status(self, file):
        done = subprocess.run([self.agent, "status", "--json", "--config", file], capture_output=True, text=True, timeout=30)
        if done.returncode == 1 and not done.stdout.startswith("{"):
            raise ValueError("the agent does not answer yet")
        return json.loads(done.stdout)["sources"]["beds"]

    def runs(self, file, **options):
        """A running agent whose source gives both wards."""
        (self.folder / "state").mkdir(exist_ok=True)
        run([self.agent, "keygen", "--config", file])
        agent = self.start("agent", [self.agent, "run", "--config", file], **options)
        # Before that `status` would read the outbox by itself, and an agent that starts finds it in use.
        wait_for("status socket", (self.folder / "state/status.sock").exists, process=agent)
        wait_for("counts", lambda: self.status(file)["wards"] == 2, process=agent)
        return agent

    def ends(self, agent):
        self.assertEqual(agent.stop(), 0)
        self.assertNotIn(PASSWORD, agent.log())
        self.assertNotIn("19121212", agent.log())

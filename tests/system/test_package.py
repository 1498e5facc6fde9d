"""The packages on a Debian with a real systemd: every command of packaging/README.md and packaging/OPERATING.md as it stands
there, and what they promise: confinement, journal, watchdog, upgrades and moves without a lost report, a purge that leaves
nothing. One container has the centre and the hospital; `broker.example` is itself.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

from container import Container
from testbed import PUBLIC_KEY, ROOT, TestCase, run, wait_for

PACKAGES = pathlib.Path(os.environ["CARGO_TARGET_DIR"]) / "packages"
HOSPITAL = "SE2321000016-1003"
DAEMONS = ["vardpuls-agent", "vardpuls-aggregator"]
NAMES = [*DAEMONS, "vardpuls-agent-odbc"]
STORE = "/var/lib/vardpuls-aggregator/vardpuls.db"
CENSUS = "Ward;Staffed;Occupied;Blocked\nICU;10;{icu};1\nMED1;22;{med};0\n"

# What the people at the editors would do to the files that ship.
EDIT_CENTRE = r"""
s/^# \(\[broker.network\]\)/\1/
s/^# \(listen = "0.0.0.0:8883"\)/\1/
s/^# \(cert-file = "broker.pem"\)/\1/
s/^# \(key-file = "broker.key"\)/\1/
s/^# \(logins-file = "logins.toml"\)/\1/
s/^# \(operators-file = "operators.toml"\)/\1/
"""
EDIT_AGENT = r"""
s/^hospital = .*/hospital = "SE2321000016-1003"/
s/^name = "Example hospital"/name = "Karolinska"/
s|^centre-key = .*|centre-key = "CENTRE_KEY"|
s/^client-\(cert\|key\)-file/# &/
s/^# username = "SE0.*/username = "SE2321000016-1003"/
s/^# \(password-file = "credential:password"\)/\1/
s/^heartbeat = .*/heartbeat = "2s"/
s/^min-gap = .*/min-gap = "0s"/
s/^settle = .*/settle = "0ms"/
s/^scan = .*/scan = "100ms"/
"""
ODBC_SOURCE = """[[source]]
name = "ehr"
kind = "sql"
url = "odbc:Driver=SQLite3;Database=/srv/drops/ehr.db"
query = "SELECT ward, staffed, occupied FROM vardpuls_beds"
every = "1s"
columns = { ward = "ward", staffed = "staffed", occupied = "occupied" }
wards = { "ICU" = "iva", "MED1" = "med-1" }
"""


def page(name):
    """The `sh` blocks of a page under each of its headings."""
    blocks, heading = {}, None
    text = (ROOT / "packaging" / name).read_text()
    for block, title in re.findall(r"^```sh\n(.*?)^```$|^#+ ([^\n]+)$", text, re.M | re.S):
        if title:
            heading = title
        else:
            blocks.setdefault(heading, []).append(block)
    return blocks


class Package(TestCase):
    pages = {name: page(name) for name in ["README.md", "OPERATING.md"]}
    followed = set()

    def setUp(self):
        super().setUp()
        self.machine = None

    def machine_with_packages_at_hand(self, kind="deb"):
        self.kind = kind
        self.machine = Container("hospital", self.folder)
        self.processes.callback(self.machine.close)
        for package in PACKAGES.glob(f"*.{kind}"):
            shutil.copy(package, self.machine.root / "root")
        with (self.machine.root / "etc/hosts").open("a") as hosts:
            hosts.write("127.0.0.1 localhost broker.example\n")
        self.machine.boot()
        self.sh = self.machine.sh

    def follow(self, name, heading, number=0):
        """Runs a block of a page word for word; what it says."""
        self.followed.add((name, heading, number))
        return self.sh(self.pages[name][heading][number])

    def install(self, name, heading):
        """What a page says, or the same with RPM. Debian's `rpm` wants to be forced, and knows nothing of what dpkg installed."""
        if self.kind == "deb":
            self.assertIn("does not run yet", self.follow(name, heading, 0))
        else:
            unit = {"README.md": DAEMONS[0], "OPERATING.md": DAEMONS[1]}[name]
            self.rpm(f"--install {unit}-[0-9]*.rpm")

    def rpm(self, arguments):
        return self.sh(f"rpm --force-debian --nodeps {arguments}")

    def editor(self, script):
        """Whoever sits at the editor does this next."""
        self.machine.write("/root/edit", script)
        self.machine.write("/root/editor", '#!/bin/sh\nexec sed -i -f /root/edit "$1"\n', 0o755)

    # --- what the pages lead to --------------------------------------------------------------------------------------

    def start_centre(self):
        start = "Start a centre"
        self.install("OPERATING.md", start)
        self.assertIn("ok       config", self.machine.ask("vardpuls-aggregator check").stdout)
        self.follow("OPERATING.md", start, 1)
        self.follow("OPERATING.md", start, 2)
        self.editor(EDIT_CENTRE)
        self.follow("OPERATING.md", start, 3)
        self.centre_key = PUBLIC_KEY.search(self.follow("OPERATING.md", start, 4)).group()
        found = self.follow("OPERATING.md", start, 5)
        self.assertIn("no hospital is enrolled", found)
        wait_for("ready centre", lambda: self.follow("OPERATING.md", "Is it healthy?", 0), 30)

    def five_minutes(self):
        five = "Five minutes"
        said = self.follow("OPERATING.md", "Enrol a hospital", 1)
        self.machine.write("/root/password", re.search(r"^vp_[A-Za-z0-9_-]{43}$", said, re.M).group(), 0o600)
        in_force = lambda: "logins were read again" in self.sh("journalctl --no-pager -u vardpuls-aggregator")  # noqa: E731
        wait_for("login in force", in_force, 20)
        self.install("README.md", five)
        # The config as it ships is right in itself; what it lacks is the hospital's own.
        as_shipped = json.loads(self.machine.ask("vardpuls-agent check --json").stdout)
        self.assertEqual((as_shipped[0]["step"], as_shipped[0]["level"]), ("config", "ok"))
        self.follow("README.md", five, 1)
        self.editor(EDIT_AGENT.replace("CENTRE_KEY", self.centre_key))
        self.follow("README.md", five, 2)
        # The hospital's export, of a group of its own.
        self.sh("groupadd ehr && install -d -m 2750 -g ehr /srv/drops")
        self.count(7)
        self.follow("README.md", five, 3)
        self.follow("README.md", five, 4)
        self.assertIn(HOSPITAL, self.follow("OPERATING.md", "Enrol a hospital", 0))
        wait_for("enrolled hospital", lambda: self.sh(f"curl -fsS http://127.0.0.1:8080/api/v1/hospitals/{HOSPITAL}"))
        checked = self.follow("README.md", five, 5)
        self.assertNotRegex(checked, r"(?m)^(failed|warning)", checked)
        self.follow("README.md", five, 6)
        self.until_receipted()

    def both(self, kind="deb"):
        self.machine_with_packages_at_hand(kind)
        self.start_centre()
        self.five_minutes()

    def count(self, icu):
        text = CENSUS.format(icu=icu, med=20)
        self.sh(f"umask 027; printf %s {shlex.quote(text)} > /srv/drops/new && mv /srv/drops/new /srv/drops/beds.csv")

    # --- what they would see -----------------------------------------------------------------------------------------

    def status(self):
        return json.loads(self.sh("vardpuls-agent status --json"))

    def until_receipted(self, more=1):
        """Waits until that many more reports are receipted than the centre has now."""
        wanted = self.stored()[0] + more
        wait_for("receipt", lambda: self.status()["outbox"]["released"] and self.stored()[0] >= wanted, 60)

    def until_drained(self):
        wait_for("empty outbox", lambda: self.status()["outbox"]["held"] == 0, 60)

    def stored(self):
        """How many reports the store has, its first and last sequence, how many epochs; read without any code of ours."""
        query = f"SELECT count(*), min(sequence), max(sequence), count(DISTINCT epoch) FROM report WHERE hospital = '{HOSPITAL}'"
        row = self.sh(f'sqlite3 -readonly {STORE} "{query}"').strip().split("|")
        return tuple(int(value or 0) for value in row)

    def nothing_is_missing(self):
        """Every report that was ever made is in the store, once."""
        self.until_drained()
        outbox = self.status()["outbox"]
        self.assertEqual((outbox["refused"], outbox["dropped"]), (0, 0))
        number, first, last, epochs = self.stored()
        self.assertEqual((first, epochs, number), (1, 1, last))
        # It goes on meanwhile.
        self.assertGreaterEqual(last, outbox["next"] - 1)

    def shown(self, unit, *names):
        lines = self.sh(f"systemctl show {unit} " + " ".join(f"-p {name}" for name in names)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, *matches):
        text = self.sh("journalctl --no-pager -o json " + " ".join(shlex.quote(match) for match in matches))
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def load(self):
        """The census changes all the time, until the machine ends or the file /root/enough is there."""
        script = (
            "rm -f enough; n=0; umask 027; while [ ! -e enough ]; do n=$((n + 1));"
            " printf 'Ward;Staffed;Occupied;Blocked\\nICU;9999;%d;1\\nMED1;22;20;0\\n' $n > /srv/drops/new;"
            " mv /srv/drops/new /srv/drops/beds.csv; sleep 0.1; done"
        )
        return self.start("load", self.machine.command(script))

    # --- the tests ---------------------------------------------------------------------------------------------------

    def test_the_packages_are_well_formed(self):
        debs = [next(PACKAGES.glob(f"{name}_*.deb")) for name in NAMES]
        rpms = [next(PACKAGES.glob(f"{name}-[0-9]*.rpm")) for name in NAMES]
        self.assertEqual({*debs, *rpms}, set(PACKAGES.iterdir()))
        done = subprocess.run(
            ["lintian", "--fail-on", "error,warning,info", "--no-tag-display-limit", *map(str, debs)],
            capture_output=True, text=True, timeout=300,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        places = [("zsh/vendor-completions", "zsh/site-functions")]
        only = {"deb": ("/usr/share/lintian/", "changelog.Debian.gz", "/copyright"), "rpm": ("/usr/share/licenses/",)}
        for deb, rpm in zip(debs, rpms):
            listed = run(["dpkg-deb", "--contents", deb]).splitlines()
            in_deb = {line.split(None, 5)[5][1:] for line in listed if not line.startswith("d")}
            in_deb = {p.replace(*places[0]).removesuffix(".gz") for p in in_deb if not any(o in p for o in only["deb"])}
            in_rpm = {p.removesuffix(".gz") for p in run(["rpm", "-qlp", "--nosignature", rpm]).splitlines()}
            self.assertEqual(in_deb, {p for p in in_rpm if not any(o in p for o in only["rpm"])})
            scripts = run(["rpm", "-qp", "--nosignature", "--scripts", rpm])
            for word in ["systemd-sysusers", "try-restart", "disable --now"]:
                self.assertIn(word, scripts)

    def test_from_the_package_to_a_receipt_in_five_minutes(self):
        self.both()
        for unit in DAEMONS:
            shown = self.shown(unit, "ActiveState", "Type", "NRestarts", "StatusText", "UnitFileState")
            self.assertEqual((shown["ActiveState"], shown["Type"], shown["NRestarts"]), ("active", "notify", "0"))
            self.assertEqual(shown["UnitFileState"], "enabled")
            self.assertEqual(self.shown(unit, "WatchdogUSec")["WatchdogUSec"], "1min")
            verified = self.machine.ask(f"systemd-analyze verify --man=no /usr/lib/systemd/system/{unit}.service")
            self.assertEqual((verified.returncode, verified.stdout + verified.stderr), (0, ""))
            # Fails above 1.5.
            self.sh(f"systemd-analyze security --no-pager --threshold=15 {unit}.service")
            process = self.sh(f"cat /proc/$(systemctl show -P MainPID {unit})/status")
            self.assertRegex(process, r"CapEff:\s+0{16}\n")
            self.assertRegex(process, r"Seccomp:\s+2\n")
            listed = self.sh(f"stat -c '%a %U' /var/lib/{unit} /etc/{unit}/*.key").splitlines()
            self.assertEqual(listed[0], f"700 {unit}")
            self.assertLessEqual(set(listed[1:]), {f"600 {unit}"})
        self.assertEqual(self.shown(DAEMONS[1], "LimitNOFILE")["LimitNOFILE"], "65536")
        wait_for("status text", lambda: "every report is receipted" in self.shown(DAEMONS[0], "StatusText")["StatusText"])
        self.assertEqual(self.sh("stat -c '%a %U %G' /run/vardpuls-agent/status.sock").strip(),
                         "660 vardpuls-agent vardpuls-agent")
        self.assertIn(f"vardpuls-agent {self.version()}", self.sh("vardpuls-agent --version"))

        # What an administrator asks while it runs.
        for number in range(2):
            self.follow("README.md", "Is it healthy?", number)
        self.follow("OPERATING.md", "Is it healthy?", 1)
        self.sh("useradd --system nagios")
        self.assertRegex(self.follow("README.md", "Icinga, Nagios"), r"^VARDPULS OK - .*\| receipt_age=")
        self.sh("mkdir -p /var/lib/prometheus/node-exporter")
        self.follow("README.md", "Prometheus")
        metrics = "/var/lib/prometheus/node-exporter/vardpuls-agent.prom"
        wait_for("metrics", lambda: "vardpuls_agent_up 1" in self.sh(f"cat {metrics}"))
        self.assertIn("broker logins", self.sh("runuser -u vardpuls-aggregator -- vardpuls-aggregator check"))
        self.follow("OPERATING.md", "Take trust back", 5)
        self.nothing_is_missing()

    def version(self):
        return re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]

    def test_the_journal_says_what_happened_and_what_to_do(self):
        self.both()
        self.sh("mv /srv/drops/beds.csv /srv/drops/away")
        wait_for("event", lambda: self.journal("_SYSTEMD_UNIT=vardpuls-agent.service", "EVENT=source-not-read"))
        text = "Ward;Staffed;Occupied;Blocked\nICU;10;many;1\nMED1;22;20;0\n"
        self.sh(f"umask 027; printf %s {shlex.quote(text)} > /srv/drops/beds.csv")
        wait_for("event", lambda: self.journal("WARD=iva"))
        entry = self.journal("WARD=iva")[0]
        self.assertEqual((entry["HOSPITAL"], entry["SYSLOG_IDENTIFIER"]), (HOSPITAL, "vardpuls-agent"))
        self.assertEqual(entry["MESSAGE_ID"], "66e4060214f745f8ba514c64edba4744")
        self.assertEqual(self.journal(f"HOSPITAL={HOSPITAL}", "WARD=iva", f"REASON={entry['REASON']}")[0], entry)
        explained = self.sh("journalctl --no-pager -x -u vardpuls-agent -p warning")
        self.assertIn("The counts of ward iva cannot be read", explained)
        self.assertIn(f"The reason: {entry['REASON']}", explained)
        self.assertIn("name it in `not-reported`", explained)
        self.assertIn("iva", self.follow("README.md", "Is it healthy?", 1))
        # Every event that the catalog explains is in the machine's database of catalogs.
        for unit in DAEMONS:
            catalog = (self.machine.root / f"usr/lib/systemd/catalog/{unit}.catalog").read_text()
            known = self.sh("journalctl --list-catalog")
            for message in re.findall(r"^-- ([0-9a-f]{32})$", catalog, re.M):
                self.assertIn(message, known)

    def test_a_daemon_that_hangs_is_started_again(self):
        self.both()
        for unit in DAEMONS:
            self.sh(f"mkdir -p /etc/systemd/system/{unit}.service.d")
            self.machine.write(f"/etc/systemd/system/{unit}.service.d/soon.conf",
                               "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=3s\n")
        self.sh("systemctl daemon-reload && systemctl restart " + " ".join(DAEMONS))
        self.until_receipted()
        for unit in DAEMONS:
            before = self.shown(unit, "MainPID", "NRestarts")
            self.assertEqual(before["NRestarts"], "0")
            self.sh(f"kill -STOP {before['MainPID']}")
            wait_for("restart", lambda u=unit: self.shown(u, "NRestarts")["NRestarts"] == "1", 60)
            wait_for("work", lambda u=unit: self.shown(u, "ActiveState")["ActiveState"] == "active", 60)
            self.assertIn("Watchdog timeout", self.sh(f"journalctl --no-pager -u {unit}"))
            self.until_receipted()
        self.nothing_is_missing()

    def test_another_config_takes_effect_without_a_restart(self):
        self.both()
        before = self.shown(DAEMONS[0], "MainPID")
        config = "/etc/vardpuls-agent/agent.toml"
        self.sh(f"sed -i 's/^jitter = .*/jitter = \"0s\"/' {config}")
        self.follow("README.md", "Change the config", 0)
        wait_for("event", lambda: self.journal("EVENT=config-reloaded"))
        self.sh(f"sed -i 's/^jitter = .*/jiter = \"0s\"/' {config}; kill -HUP {before['MainPID']}")
        wait_for("refusal", lambda: self.journal("EVENT=reload-refused", "_SYSTEMD_UNIT=vardpuls-agent.service"))
        refusal = self.journal("EVENT=reload-refused", "_SYSTEMD_UNIT=vardpuls-agent.service")[0]
        self.assertIn("jiter", refusal["ERROR"])
        self.sh(f"sed -i 's/^jiter = .*/jitter = \"0s\"/' {config}")
        self.sh("systemctl reload vardpuls-aggregator")
        wait_for("event", lambda: self.journal("EVENT=reloading", "_SYSTEMD_UNIT=vardpuls-aggregator.service"))
        self.assertEqual(self.shown(DAEMONS[0], "MainPID", "ActiveState"), {**before, "ActiveState": "active"})

        # A group by drop-in, as the page says for one that usermod cannot change.
        self.sh("gpasswd --delete vardpuls-agent ehr && mkdir -p /etc/systemd/system/vardpuls-agent.service.d")
        self.sh("systemctl restart vardpuls-agent")
        unread = lambda: (self.status()["sources"]["beds"]["error"] or "")  # noqa: E731
        wait_for("a file that it may not read", lambda: "Permission denied" in unread())
        self.assertIn("Permission denied", self.machine.ask("runuser -u vardpuls-agent -- vardpuls-agent check").stdout)
        self.assertNotIn("failed", self.sh("runuser -u vardpuls-agent -G ehr -- vardpuls-agent check"))
        self.machine.write("/etc/systemd/system/vardpuls-agent.service.d/groups.conf", "[Service]\nSupplementaryGroups=ehr\n")
        self.sh("systemctl daemon-reload && systemctl restart vardpuls-agent")
        self.until_receipted()
        self.assertEqual(unread(), "")

        # A source that lies in a home.
        self.sh(f"install -d -o vardpuls-agent /home/export; mv /srv/drops/beds.csv /home/export/;"
                f" sed -i 's|^path = .*|path = \"/home/export/beds.csv\"|' {config}; systemctl reload vardpuls-agent")
        wait_for("a home that is not seen", lambda: "cannot be read" in unread())
        self.follow("README.md", "Change the config", 1)
        self.until_receipted()
        self.assertEqual(unread(), "")

    def test_upgrades_under_load_lose_nothing(self):
        self.both()
        load = self.load()
        self.until_receipted(20)
        for _ in range(2):
            before = {unit: self.shown(unit, "MainPID")["MainPID"] for unit in DAEMONS}
            self.follow("OPERATING.md", "Upgrade")
            self.follow("README.md", "Upgrade")
            for unit in DAEMONS:
                self.assertNotEqual(self.shown(unit, "MainPID")["MainPID"], before[unit])
                wait_for("work", lambda u=unit: self.shown(u, "ActiveState")["ActiveState"] == "active", 30)
            self.until_receipted(20)
        self.sh("touch enough")
        self.assertEqual(load.ends(10), 0, load.log())
        self.nothing_is_missing()
        self.assertGreater(self.stored()[0], 60)
        # What is stopped stays so.
        self.sh("systemctl disable --now vardpuls-agent")
        self.follow("README.md", "Upgrade")
        self.assertEqual(self.shown(DAEMONS[0], "ActiveState")["ActiveState"], "inactive")

    def test_the_rpms_lead_to_a_receipt_too(self):
        self.both("rpm")
        load = self.load()
        self.until_receipted(20)
        before = {unit: self.shown(unit, "MainPID")["MainPID"] for unit in DAEMONS}
        self.rpm("--upgrade --replacepkgs " + " ".join(f"{unit}-[0-9]*.rpm" for unit in DAEMONS))
        for unit in DAEMONS:
            self.assertNotEqual(self.shown(unit, "MainPID")["MainPID"], before[unit])
            wait_for("work", lambda u=unit: self.shown(u, "ActiveState")["ActiveState"] == "active", 30)
        self.until_receipted(20)
        self.sh("touch enough")
        self.assertEqual(load.ends(10), 0, load.log())
        self.nothing_is_missing()
        # A removal stops them, and leaves what the pages say.
        self.rpm("--erase " + " ".join(DAEMONS))
        for unit in DAEMONS:
            self.assertEqual(self.shown(unit, "LoadState", "ActiveState"), {"LoadState": "not-found", "ActiveState": "inactive"})
            self.assertTrue(self.sh(f"ls /etc/{unit}/*.key /var/lib/{unit}/*"))
            self.assertNotEqual(self.machine.ask(f"command -v {unit}").returncode, 0)

    def test_an_agent_with_odbc_takes_the_place_of_the_other(self):
        self.both()
        self.sh("apt-get install -y ./vardpuls-agent-odbc_*.deb")
        self.assertEqual(self.sh("dpkg-query -W -f '${db:Status-Abbrev}' vardpuls-agent").strip(), "rc")
        # What the other leaves is this one's, also when it goes for good.
        for command in ["true", "apt-get purge -y vardpuls-agent"]:
            self.sh(f"{command}; systemctl enable --now vardpuls-agent")
            self.until_receipted(2)
        self.sh("""sqlite3 /srv/drops/ehr.db "CREATE TABLE vardpuls_beds(ward, staffed, occupied);
                   INSERT INTO vardpuls_beds VALUES ('ICU', 10, 3), ('MED1', 22, 17)" && chmod 640 /srv/drops/ehr.db""")
        config = "/etc/vardpuls-agent/agent.toml"
        by_file = (self.machine.root / config[1:]).read_text()
        by_driver = re.sub(r"^\[\[source\]\]$.*?^$\n(?=# Other kinds)", ODBC_SOURCE, by_file, flags=re.M | re.S)
        self.machine.write(config, by_driver)
        self.sh("systemctl reload vardpuls-agent")
        hospital = f"curl -fsS http://127.0.0.1:8080/api/v1/hospitals/{HOSPITAL}"
        wait_for("counts by a driver", lambda: json.loads(self.sh(hospital))["total"]["occupied"] == 20, 30)
        self.nothing_is_missing()
        self.sh("apt-get install -y ./vardpuls-agent_*.deb")
        self.assertIn("vardpuls-agent-odbc", self.machine.ask("vardpuls-agent check").stdout)
        self.machine.write(config, by_file)
        self.sh("systemctl enable --now vardpuls-agent")
        self.until_receipted(2)
        self.nothing_is_missing()
        self.sh("apt-get purge -y vardpuls-agent vardpuls-agent-odbc")
        self.assertEqual(self.sh("find /etc /var/lib /usr -path '*vardpuls-agent*' ! -path '/var/lib/dpkg/*'"), "")

    def test_keys_are_rotated_encrypted_and_revoked(self):
        self.both()
        trust, file = "Take trust back", f"/etc/vardpuls-aggregator/hospitals.d/{HOSPITAL}.toml"
        refused = lambda reason: any(r["reason"] == reason for r in self.status()["refused"])  # noqa: E731
        secrets = "The key and other secrets"
        old = self.status()["fingerprint"]
        self.follow("README.md", secrets, 1)
        self.follow("OPERATING.md", trust, 2)
        self.assertEqual(self.sh(f"grep -c '^public-key' {file}").strip(), "2")
        self.until_receipted()
        self.assertEqual(self.status()["fingerprint"], old)
        self.follow("README.md", secrets, 2)
        self.until_receipted()
        self.assertNotEqual(self.status()["fingerprint"], old)
        self.nothing_is_missing()
        self.editor('0,/^from = /s//revoked = "2026-01-01T00:00:00Z"\\nfrom = /')
        self.follow("OPERATING.md", trust, 3)
        read = lambda: self.journal("EVENT=enrolment-read", "KEYS=2")  # noqa: E731
        wait_for("the centre to read it", lambda: len(read()) >= 2)
        self.until_receipted(2)
        self.nothing_is_missing()

        self.follow("README.md", secrets, 0)
        self.until_receipted()
        self.follow("OPERATING.md", "The centre's key", 0)
        new_key = PUBLIC_KEY.search(self.sh("vardpuls-aggregator check || true")).group()
        self.assertNotEqual(new_key, self.centre_key)
        wait_for("reports that wait", lambda: self.status()["outbox"]["held"] >= 2, 60)
        self.sh(f"sed -i 's|{self.centre_key}|{new_key}|' /etc/vardpuls-agent/agent.toml; systemctl reload vardpuls-agent")
        self.nothing_is_missing()
        self.follow("OPERATING.md", "The centre's key", 1)
        self.until_receipted()
        self.nothing_is_missing()

        self.follow("OPERATING.md", trust, 0)
        wait_for("refusal", lambda: refused("suspended"))
        self.follow("OPERATING.md", trust, 1)
        self.until_receipted(2)
        self.follow("OPERATING.md", trust, 4)
        wait_for("refusal", lambda: refused("revoked_key"))
        self.assertIn("revoked", self.follow("OPERATING.md", "Is it healthy?", 1))

    def test_a_lost_centre_is_restored_from_its_backup(self):
        self.both()
        self.until_receipted(3)
        self.follow("OPERATING.md", "Back up")
        kept = int(self.sh("sqlite3 /var/backups/vardpuls/store.db 'SELECT max(sequence) FROM report'"))
        self.until_receipted(3)
        self.sh("systemctl stop vardpuls-aggregator")
        lost = self.stored()[2]
        self.sh("rm -r /var/lib/vardpuls-aggregator/vardpuls.db* /etc/vardpuls-aggregator/*")
        restored = self.follow("OPERATING.md", "Restore")
        self.assertNotRegex(restored, r"(?m)^failed")
        wait_for("a new report", lambda: self.stored()[2] > lost, 60)
        number, first, last, _ = self.stored()
        # Only what was receipted between the backup and the loss is not there any more.
        self.assertEqual((first, number >= kept + 1, number <= last), (1, True, True))
        picture = lambda: json.loads(self.sh("curl -fsS http://127.0.0.1:8080/api/v1/status"))["nation"]  # noqa: E731
        wait_for("the live picture", lambda: picture()["coverage"]["fresh"] == 1)

    def test_a_hospital_moves_and_goes(self):
        self.machine_with_packages_at_hand()
        before = self.machine.files()
        self.start_centre()
        self.five_minutes()
        move = "Move to another machine"
        self.until_receipted(2)
        self.follow("README.md", move, 0)
        self.follow("README.md", "Remove")
        self.follow("README.md", "Five minutes", 0)
        self.follow("README.md", "Five minutes", 3)
        self.follow("README.md", move, 1)
        self.until_receipted(2)
        self.nothing_is_missing()

        self.follow("README.md", "Remove")
        self.follow("OPERATING.md", "Remove")
        # The hospital's own.
        self.sh("rm -r /srv/drops; groupdel ehr; systemctl daemon-reload")
        changed = self.machine.files() ^ before
        self.assertEqual({path for path in changed if not path.endswith("-")}, set())
        for command in ["getent passwd", "getent group", "dpkg -l", "journalctl --list-catalog", "systemctl list-unit-files"]:
            self.assertNotIn("vardpuls", self.sh(command).lower(), command)

    def test_zz_every_command_of_the_pages_was_run(self):
        there = {(name, heading, number) for name, blocks in self.pages.items()
                 for heading, texts in blocks.items() for number in range(len(texts))}
        self.assertEqual(there - self.followed, set())

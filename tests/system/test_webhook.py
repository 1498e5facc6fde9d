"""A webhook read by the Standard Webhooks library: signatures verify, each change comes once, in order."""

import base64
import os

from alarming import CALM, FULL, Alarming, Hook
from standardwebhooks import Webhook, WebhookVerificationError
from testbed import wait_for


class Webhooks(Alarming):
    def receivers(self):
        self.hook = Hook()
        self.processes.callback(lambda: self.hook.close())
        self.secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
        secret = self.centre_folder / "hook.secret"
        secret.touch(mode=0o600)
        secret.write_text(self.secret + "\n")
        url = f"http://127.0.0.1:{self.hook.port}/alarms"
        return f'[[webhook]]\nname = "hook"\nurl = "{url}"\nsecret-file = "hook.secret"\n'

    def wait_for_posts(self, count):
        wait_for(f"{count} posts", lambda: len(self.hook.posts) >= count, 60, self.centre)
        return [self.verified(headers, body) for headers, body in self.hook.posts]

    def verified(self, headers, body):
        return headers["webhook-id"], Webhook(self.secret).verify(body, headers)

    def test_each_change_comes_once_signed_and_in_order(self):
        hospital = next(iter(self.hospitals))
        self.count(hospital, FULL)
        alarm = self.wait_for_alarms(hospital)[hospital]
        self.wait_for_posts(1)
        headers, body = self.hook.posts[0]
        with self.assertRaises(WebhookVerificationError):
            Webhook(self.secret).verify(body.replace(b"severe", b"notice"), headers)
        # Away for a while, over a restart of the centre.
        port = self.hook.port
        self.hook.close()
        self.act("POST", f"/api/v1/alerts/{alarm}/acknowledge")
        self.count(hospital, CALM)
        self.wait_for_alarms()
        self.centre.kill()
        self.centre.spawn()
        self.hook = Hook(port)
        first = self.verified(headers, body)
        posts = [first, *self.wait_for_posts(2)]
        self.assertEqual([body["type"] for _, body in posts], ["alert.raised", "alert.updated", "alert.cancelled"])
        self.assertEqual([body["data"]["id"] for _, body in posts], [alarm] * 3)
        numbers = [int(name.split(".")[0]) for name, _ in posts]
        self.assertEqual([name for name, _ in posts], [f"{number}.{alarm}" for number in numbers])
        self.assertEqual(numbers, sorted(set(numbers)))

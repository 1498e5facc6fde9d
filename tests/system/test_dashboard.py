"""The dashboard in a real Chromium, before a real centre: what an operator sees and does at three in the morning."""

import os
import shutil

from alarming import CALM, FULL, Alarming
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

# Without these Chromium asks its maker's hosts for updates.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]
# How long a change may take until it is on the screen.
SOON = 30_000


class Dashboard(Alarming):
    def setUp(self):
        chromium = shutil.which("chromium")
        self.assertTrue(chromium, "tests/system/run installs it")
        super().setUp()
        playwright = sync_playwright().start()
        self.addCleanup(playwright.stop)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        self.addCleanup(browser.close)
        self.context = browser.new_context(viewport={"width": 1250, "height": 900}, locale="en-GB")
        self.context.add_init_script("localStorage.setItem('language', 'en')")
        self.page = self.context.new_page()
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"http://127.0.0.1:{self.http}/")
        self.panel = self.page.locator("#alarms")
        expect(self.panel.get_by_text("No alarms")).to_be_visible(timeout=SOON)

    def tearDown(self):
        self.assertEqual(self.errors, [], "no script failed")

    def test_an_alarm_is_seen_acknowledged_shelved_and_gone(self):
        first, second = self.hospitals
        self.count(first, FULL)
        alarm = self.panel.locator("li.alarm.severe")
        expect(alarm).to_have_count(1, timeout=SOON)
        expect(alarm).to_contain_text("Call the bed coordinator.")
        expect(alarm).to_contain_text("not acknowledged")
        expect(alarm.get_by_role("button")).to_have_count(0)  # nobody is known yet

        token = self.panel.get_by_label("Token to acknowledge and shelve with")
        token.fill(self.token)
        token.press("Tab")
        alarm.get_by_role("button", name="Acknowledge").click()
        expect(alarm).not_to_contain_text("not acknowledged", timeout=SOON)
        expect(alarm).to_contain_text("acknowledged")

        # A second alarm comes while somebody writes why the first is put aside: it is shown, and the words stay.
        alarm.get_by_role("button", name="Shelve").click()
        reason = alarm.get_by_label("Reason")
        reason.fill("Beds are being ")
        self.count(second, FULL)
        expect(alarm).to_have_count(2, timeout=SOON)
        expect(reason).to_be_focused()
        self.page.keyboard.type("opened")
        expect(reason).to_have_value("Beds are being opened")
        self.page.keyboard.press("Enter")
        expect(alarm).to_have_count(1, timeout=SOON)
        self.panel.get_by_role("button", name="Show 1 hidden").click()
        expect(alarm).to_have_count(2)
        expect(self.panel.get_by_text("shelved until")).to_be_visible()
        self.panel.get_by_role("button", name="Conceal the hidden").click()
        expect(alarm).to_have_count(1)

        self.count(second, CALM)
        expect(alarm).to_have_count(0, timeout=SOON)

    def test_what_people_declare_stands_beside_what_is_computed(self):
        self.act("PUT", "/api/v1/declared/region.01", {"level": "forstarkning", "why": "test"})
        row = self.page.locator("tr.region", has_text="Stockholm")
        expect(row.locator(".level")).to_have_text("förstärkningsläge", timeout=SOON)
        expect(self.page.locator("tr.region .level:visible")).to_have_count(1)
        self.act("DELETE", "/api/v1/declared/region.01", {"why": "over"})
        expect(row.locator(".level")).to_be_hidden(timeout=SOON)

    def test_a_centre_that_is_gone_is_not_taken_for_calm(self):
        self.centre.kill()
        expect(self.page.locator("#lost-words")).to_contain_text("CONNECTION LOST", timeout=SOON)
        expect(self.page).to_have_title("✕ Connection lost · Vardpuls")
        expect(self.panel.get_by_text("Alarms are unknown")).to_be_visible(timeout=SOON)
        expect(self.panel.get_by_text("No alarms")).to_have_count(0)

    def test_everybody_can_read_it(self):
        """WCAG's rules as axe holds them, by day and by night, wide and narrow, with an alarm and a drill on."""
        self.count(next(iter(self.hospitals)), FULL)
        self.act("POST", "/api/v1/exercise", {"name": "Samö", "minutes": 30})
        expect(self.panel.locator("li.alarm")).not_to_have_count(0, timeout=SOON)
        expect(self.panel.get_by_text("EXERCISE: Samö")).to_be_visible(timeout=SOON)
        self.page.locator("tr.region", has_text="Stockholm").get_by_role("button").click()
        expect(self.page.locator("tr.hospital")).to_have_count(len(self.hospitals), timeout=SOON)
        for scheme in ("light", "dark"):
            for width in (1250, 400):
                self.page.emulate_media(color_scheme=scheme)
                self.page.set_viewport_size({"width": width, "height": 900})
                found = Axe().run(self.page)
                self.assertEqual(found.violations_count, 0, f"{scheme}, {width} px:\n{found.generate_report()}")
        self.keep_pictures()

    def keep_pictures(self):
        """For whoever wants to look: VARDPULS_PICTURES names a folder."""
        if folder := os.environ.get("VARDPULS_PICTURES"):
            self.page.screenshot(path=f"{folder}/dashboard.png", full_page=True)

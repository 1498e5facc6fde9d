"""A recorded week of Quebec's emergency departments through 115 real agents, against the official totals."""

import csv
import shutil
import subprocess

from testbed import BINARIES, DATA, TestCase, free_port

WEEK = DATA / "quebec_er_hourly/raw_csv_drops_2023-03-06_week.tar.xz"


class Replay(TestCase):
    def week(self, hours=None):
        """The recorded week, or its first hours."""
        folder = self.folder / "week"
        folder.mkdir()
        subprocess.run(["tar", "-xJf", WEEK, "-C", folder], check=True)
        if hours:
            for drop in sorted((folder / "drops").iterdir())[hours:]:
                drop.unlink()
        return folder

    def replay(self, folder):
        command = [BINARIES / "demo", "--replay", folder, "--verify", "--dir", self.folder / "demo"]
        command += ["--http", f"127.0.0.1:{free_port()}", "--mqtt", f"127.0.0.1:{free_port()}"]
        done = subprocess.run(
            [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900
        )
        shutil.rmtree(self.folder / "demo", ignore_errors=True)
        return done

    def test_every_hour_and_region_of_the_week_agrees_with_the_official_figure(self):
        done = self.replay(self.week())
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        print("\n      " + "\n      ".join(done.stdout.strip().splitlines()[-3:]))
        # All 1713 region-hours that have an official figure were held against it, not a few of them.
        self.assertRegex(done.stdout, r"\b1[ ,.]?713\b")
        self.assertRegex(done.stdout, r"\b47\b")

    def test_one_wrong_official_figure_is_found(self):
        folder = self.week(hours=8)
        official = folder / "official.csv"
        with official.open(newline="") as file:
            rows = list(csv.DictReader(file))
        last = sorted((folder / "drops").iterdir())[-3]
        moment = last.stem.replace("T", "")
        row = max(
            (r for r in rows if r["region"] == "06" and r["occupied"].isdigit()
             and r["fetched_utc"].translate(str.maketrans("", "", "-:TZ")) <= moment.translate(str.maketrans("", "", "-:"))),
            key=lambda r: r["fetched_utc"],
        )
        row["occupied"] = str(int(row["occupied"]) + 1)
        with official.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        done = self.replay(folder)
        self.assertNotEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertIn(row["occupied"], done.stdout + done.stderr)
        self.assertIn("06", done.stdout + done.stderr)

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
        # All region-hours that have an official figure were held against it, not a few of them.
        self.assertIn("1713 region-hours agreed, 47 unknown, 0 different", done.stdout)

    def test_one_wrong_official_figure_is_found(self):
        folder = self.week(hours=12)
        official = folder / "official.csv"
        with official.open(newline="") as file:
            rows = list(csv.DictReader(file))
        # The time that each drop says its figures held, from the last column of its first row.
        drops = (drop.read_text(encoding="latin-1").splitlines() for drop in (folder / "drops").iterdir())
        times = {lines[1].rpartition(",")[2] for lines in drops}
        comparable = [row for row in rows if row["mise_a_jour"] in times and row["occupied"].isdigit()]
        row = next(row for row in comparable if row["region"] == "06")
        row["occupied"] = str(int(row["occupied"]) + 1)
        with official.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        done = self.replay(folder)
        self.assertNotEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertIn(f"{len(comparable) - 1} region-hours agreed", done.stdout)
        self.assertIn("1 different", done.stdout)
        self.assertTrue(
            any("06" in line and row["occupied"] in line for line in (done.stdout + done.stderr).splitlines()),
            f"the difference names region 06 and its {row['occupied']}:\n{done.stdout}",
        )

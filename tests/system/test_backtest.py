"""The rules that ship over recorded pressure: Quebec's emergency departments by the hour, Germany's intensive care by
the day. What is promised of them is held here; the tables are in ARCHITECTURE.md."""

import csv
import io
import json
import lzma
import subprocess
import time
import xml.etree.ElementTree as xml

from testbed import BINARIES, DATA, TestCase, run

QUEBEC = DATA / "quebec_er_hourly"
GERMANY = DATA / "germany_divi_states/Intensivregister_Bundeslaender_Kapazitaeten.csv.xz"
BACKTEST = [BINARIES / "vardpuls-aggregator", "backtest", "--history"]
TUNED_TO = "2023-05-01"  # no constant was chosen on what came after


def table(path):
    """The rows of a compressed CSV file."""
    return csv.DictReader(io.StringIO(lzma.decompress(path.read_bytes()).decode()))


def quebec():
    """(time, department, staffed, occupied) as recorded: local time without offset; empty where N says that nothing
    was reported."""
    staffed, occupied = (table(QUEBEC / f"stretchers_{name}.csv.xz") for name in ("functional", "occupied"))
    for one, other in zip(staffed, occupied, strict=True):
        at = one.pop("data_time_local")
        assert at == other.pop("data_time_local")
        one.pop("fetched_at_utc")
        for department, beds in one.items():
            yield at, department, beds.replace("N", ""), other[department].replace("N", "")


class Backtest(TestCase):
    def history(self, rows):
        path = self.folder / "history.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["scope", "time", "staffed", "occupied"])
            writer.writerows(rows)
        return path

    def departments(self):
        return self.history((f"hospital/{of}", at, staffed, occupied) for at, of, staffed, occupied in quebec())

    def regions(self):
        with (QUEBEC / "facilities.csv").open(encoding="utf-8", newline="") as file:
            region = {row["permit_no"]: row["region_code"] for row in csv.DictReader(file)}
        previous, rows = None, []
        for at, department, staffed, occupied in quebec():
            if at != previous:
                previous, sums = at, {}
                rows.append((at, sums))
            if staffed and occupied:
                sums.setdefault(region[department], [0, 0])
                sums[region[department]][0] += int(staffed)
                sums[region[department]][1] += int(occupied)
        return self.history((f"region/{code}", at, *pair) for at, sums in rows for code, pair in sums.items())

    def backtest(self, history, *options):
        """The report, and a print of how each rule did."""
        began = time.monotonic()
        report = json.loads(run([*BACKTEST, history, "--json", *options]))
        print(f"\n      {report['history']['samples']} samples in {time.monotonic() - began:.1f} s")
        for rule in report["rules"]:
            s = rule["score"]
            print(
                f"      {rule['name']}: {s['episodes']} episodes, {100 * s['found_share']:.1f} % found, "
                f"{s['delay_mean_hours']:.2f} h late (median {s['delay_median_hours']:.2f}), "
                f"{s['alarms_per_episode']:.3f} alarms and {s['false_per_episode']:.3f} false an episode, "
                f"standing {s['standing_per_episode_time']:.2f}; beaten by {len(rule['beaten_by'])} of "
                f"{len(rule['baselines'])}, no worse {rule['dominated_by']}"
            )
        return {rule["name"]: rule for rule in report["rules"]}

    def holds(self, rules, names):
        self.assertEqual(set(rules), set(names))
        for name, rule in rules.items():
            score = rule["score"]
            self.assertGreater(score["episodes"], 0, name)
            self.assertGreaterEqual(score["found_share"], 0.98, name)
            self.assertLessEqual(score["alarms_per_episode"], 1.05, name)
            self.assertEqual(score["chattering"], 0, name)
            self.assertEqual(rule["beaten_by"], [], name)

    def test_the_regions_of_quebec(self):
        history = self.regions()
        options = ["--care", "emergency", "--time-zone", "America/Toronto"]
        names = [f"emergency-region-{level}" for level in (110, 130, 150)]
        self.holds(self.backtest(history, *options, "--from", TUNED_TO), names)
        self.holds(self.backtest(history, *options), names)

    def test_the_departments_of_quebec(self):
        history = self.departments()
        options = ["--care", "emergency", "--time-zone", "America/Toronto"]
        names = [f"emergency-hospital-{level}" for level in (120, 150)]
        self.holds(self.backtest(history, *options, "--from", TUNED_TO), names)
        self.holds(self.backtest(history, *options), names)

    def test_the_states_of_germany_and_their_pictures(self):
        adults = (row for row in table(GERMANY) if row["behandlungsgruppe_level_2"] == "ERWACHSENE")
        counts = ((row, int(row["intensivbetten_belegt"]), int(row["intensivbetten_frei"])) for row in adults)
        history = self.history(
            (f"region/{row['bundesland_id']}", row["datum"], occupied + free, occupied)
            for row, occupied, free in counts
        )
        pictures = ["--pictures", self.folder / "pictures", "--series", "region/11"]
        self.holds(self.backtest(history, "--care", "icu", *pictures), ["icu-region-90", "icu-region-95"])
        drawn = sorted(path.relative_to(self.folder / "pictures") for path in self.folder.glob("pictures/*/*.svg"))
        self.assertEqual(
            [str(path) for path in drawn],
            [f"icu-region-{level}/{name}.svg" for level in (90, 95) for name in ("delay-false", "region-11")],
        )
        for path in drawn:
            root = xml.parse(self.folder / "pictures" / path).getroot()
            self.assertEqual([part.tag.partition("}")[2] for part in root[:2]], ["title", "desc"])

    def test_a_history_that_is_wrong_is_refused_with_its_line(self):
        history = self.history([("nation", "2024-01-01T00:00Z", 10, 5), ("nation", "2024-01-01T01:00Z", "ten", 5)])
        done = subprocess.run([*BACKTEST, history], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn('history.csv, line 3, column staffed: "ten" is not a count', done.stderr)

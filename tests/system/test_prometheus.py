"""A real Prometheus (Debian) scrapes /metrics: the target is up, and what it scraped can be queried."""

import shutil
import urllib.parse

from alarming import FULL, Alarming
from testbed import free_port, get, wait_for

CONFIG = """\
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: vardpuls
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


class Prometheus(Alarming):
    def receivers(self):
        # Nobody listens there: the metrics say so.
        return f'[alertmanager]\nurl = "http://127.0.0.1:{free_port()}"\n'

    def setUp(self):
        self.assertTrue(shutil.which("prometheus"), "tests/system/run installs it")
        super().setUp()
        config = self.folder / "prometheus.yml"
        config.write_text(CONFIG.format(port=self.http))
        self.port = free_port()
        self.prometheus = self.start(
            "prometheus",
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/tsdb",
             f"--web.listen-address=127.0.0.1:{self.port}"],
        )

    def value(self, query):
        """The one value that a query gives; none where there is none yet."""
        answer = get(self.port, "/api/v1/query?" + urllib.parse.urlencode({"query": query}))
        self.assertEqual(answer["status"], "success", answer)
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if len(result) == 1 else None

    def wait_for_value(self, query, expected):
        wait_for(f"{query} = {expected}", lambda: self.value(query) == expected, 60, self.prometheus)

    def test_what_the_centre_counts_is_scraped(self):
        self.wait_for_value('up{job="vardpuls"}', 1)
        self.wait_for_value('vardpuls_hospitals{state="fresh"}', len(self.hospitals))
        self.wait_for_value('vardpuls_refused_total{reason="bad_signature"}', 0)
        targets = get(self.port, "/api/v1/targets")["data"]["activeTargets"]
        self.assertEqual([target["lastError"] for target in targets], [""])
        # A receiver that is away is seen here first.
        self.count(next(iter(self.hospitals)), FULL)
        behind = 'vardpuls_receiver_behind{receiver="alertmanager"} > 0'
        wait_for("a receiver that is behind", lambda: self.value(behind), 60, self.prometheus)

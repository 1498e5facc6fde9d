"""A FHIR source over recorded encounters and locations, served page by page over HTTP: the agent's counts equal a count
made here, by other means, of the same records."""

import collections
import http.server
import json
import lzma
import subprocess
import threading
import urllib.parse

from testbed import BINARIES, DATA, TestCase

AGENT = BINARIES / "vardpuls-agent"
PAGE = 50


def records(kind):
    with lzma.open(DATA / "fhir" / "synthea_bulk_10" / f"{kind}.000.ndjson.xz", "rt") as lines:
        return [json.loads(line) for line in lines]


def identifier(reference):
    return urllib.parse.unquote(reference).rsplit("|", 1)[1]


class Fhir(TestCase):
    def serve(self, resources):
        seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                seen.append(self.path)
                found = resources[url.path.rsplit("/", 1)[1]]
                first = int(query.get("from", 0))
                page = found[first : first + PAGE]
                links = []
                if first + PAGE < len(found):
                    query["from"] = str(first + PAGE)
                    links = [{"relation": "next", "url": f"{url.path}?{urllib.parse.urlencode(query)}"}]
                body = json.dumps({"resourceType": "Bundle", "type": "searchset", "link": links,
                                   "entry": [{"resource": resource} for resource in page]}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/fhir+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.processes.callback(server.server_close)
        self.processes.callback(server.shutdown)
        return server.server_address[1], seen

    def test_recorded_encounters(self):
        locations, encounters = records("Location"), records("Encounter")
        # The recording has ended stays only: here they go on.
        for encounter in encounters:
            encounter["status"] = "in-progress"
        classes = {"IMP", "EMER", "AMB"}
        expected = collections.Counter(
            identifier(encounter["location"][0]["location"]["reference"])
            for encounter in encounters
            if encounter["class"]["code"] in classes
        )
        known = [location["identifier"][0]["value"] for location in locations]
        self.assertGreater(sum(1 for value in known if expected[value]), 10, "the recording has several places")
        port, seen = self.serve({"Location": locations, "Encounter": encounters})

        wards = "".join(
            f'[[ward]]\nindex = {at}\nid = "w{at}"\nname = "W"\ncare = "general"\nstaffed = 9\n' for at in range(len(known))
        )
        names = "".join(f'"{value}" = "w{at}"\n' for at, value in enumerate(known))
        file = self.folder / "agent.toml"
        file.write_text(
            'hospital = "h"\nname = "H"\nregion = "01"\nstate-dir = "state"\nkey-file = "agent.key"\n'
            'centre-key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"\nbroker = { url = "mqtt://127.0.0.1:1" }\n'
            + wards
            + f'[[source]]\nname = "ehr"\nkind = "fhir"\nurl = "http://127.0.0.1:{port}/r4"\npage-size = {PAGE}\n'
            + f"classes = {json.dumps(sorted(classes))}\n[source.wards]\n{names}"
        )
        subprocess.run([AGENT, "keygen", "--config", file], check=True, capture_output=True, timeout=30)
        done = subprocess.run([AGENT, "preview", "--json", "--config", file], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        preview = json.loads(done.stdout)
        counted = {
            int(field["name"].split()[1]): int(field["value"].split()[1])
            for field in preview["report"]["fields"]
            if field["name"].startswith("ward ")
        }
        self.assertEqual(counted, {at: expected[value] for at, value in enumerate(known)})
        pages = [path for path in seen if "/Encounter" in path]
        self.assertEqual(len(pages), -(-len(encounters) // PAGE), "every page once")
        names = {encounter["subject"]["display"] for encounter in encounters if "display" in encounter.get("subject", {})}
        self.assertTrue(names)
        self.assertFalse([name for name in names if name in done.stdout + done.stderr], "no name comes out")

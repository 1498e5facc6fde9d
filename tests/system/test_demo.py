"""The demo as a stranger meets it: the country within 15 s, stock MQTT tools, a reader in another language."""

import json
import re
import subprocess

from testbed import (
    BINARIES,
    PUBLIC_KEY,
    ROOT,
    Process,
    TestCase,
    decode_one,
    follows_cddl,
    free_port,
    get,
    opened,
    public_key,
    run,
    wait_for,
)

FEED = "application/vardpuls-feed+cbor"
HOSPITALS = 21


def subscribe(port, *arguments):
    """What a stock mosquitto_sub prints."""
    return run(["mosquitto_sub", "-h", "127.0.0.1", "-p", port, "-q", "1", "-W", "20", *arguments], 30)


def summed(scopes, pick):
    """Figures summed as a reader would: what is unknown everywhere stays unknown."""
    total = {}
    for scope in scopes:
        for name, figure in (pick(scope) or {}).items():
            if figure is not None:
                total[name] = (total.get(name) or 0) + figure
            else:
                total.setdefault(name, None)
    return total


class Demo(TestCase):
    def setUp(self):
        super().setUp()
        self.http, self.mqtt = free_port(), free_port()
        command = [BINARIES / "demo", "--hospitals", HOSPITALS, "--for", 300, "--seed", 7]
        command += ["--http", f"127.0.0.1:{self.http}", "--mqtt", f"127.0.0.1:{self.mqtt}", "--dir", self.folder / "demo"]
        self.demo = self.start("demo", command, cwd=self.folder)

    def status(self):
        return get(self.http, "/api/v1/status")

    def country(self, seconds=15):
        """The status once all hospitals are fresh."""

        def complete():
            status = self.status()
            return status if status["nation"]["coverage"]["fresh"] == HOSPITALS else None

        return wait_for(f"{HOSPITALS} fresh hospitals", complete, seconds, self.demo)

    def key(self):
        return wait_for("public key", lambda: PUBLIC_KEY.search(self.demo.log()), 15, self.demo).group()

    def test_the_country_is_there_within_15_seconds_and_regions_sum_to_the_nation(self):
        status = self.country(15)
        nation, regions = status["nation"], status["regions"]
        self.assertEqual(len(regions), 21)
        self.assertEqual(nation["code"], "SE")
        self.assertEqual(summed(regions, lambda r: r["total"]), nation["total"])
        self.assertEqual(summed(regions, lambda r: r["coverage"]), nation["coverage"])
        self.assertGreater(nation["total"]["occupied"], 0)
        types = {care for region in regions for care in region["care"]}
        self.assertEqual(types, set(nation["care"]))
        for care in types:
            self.assertEqual(summed(regions, lambda r, care=care: r["care"].get(care)), nation["care"][care], care)
        self.assertEqual(summed(nation["care"].values(), lambda figures: figures), nation["total"])
        for region in regions:
            detail = get(self.http, f"/api/v1/regions/{region['code']}")
            self.assertIn(region["name"], json.dumps(detail, ensure_ascii=False))

    def test_the_signed_feed_verifies_and_says_what_the_json_beside_it_says(self):
        self.country()
        key = public_key(self.key())
        for scope in ["nation", "region/01"]:
            json_topic, cbor_topic = f"vardpuls/v1/json/feed/{scope}", f"vardpuls/v1/feed/{scope}"
            json.loads(subscribe(self.mqtt, "-t", json_topic, "-C", "1"))

            def pair():
                """Both forms of one number: two publications apart, they are not of the same."""
                lines = subscribe(self.mqtt, "-t", json_topic, "-t", cbor_topic, "-C", "2", "-F", "%t %x").split()
                payloads = dict(zip(lines[::2], lines[1::2], strict=True))
                if len(payloads) < 2:
                    return None
                as_json = json.loads(bytes.fromhex(payloads[json_topic]))
                payload = opened(bytes.fromhex(payloads[cbor_topic]), key, FEED)
                as_cbor = decode_one(payload)
                return (as_json, as_cbor, payload) if as_json["number"] == as_cbor["number"] else None

            as_json, as_cbor, payload = wait_for("JSON and CBOR of one number", pair)
            self.assertEqual(as_cbor, as_json)
            self.assertEqual(as_cbor["version"], 1)
            follows_cddl("feed", [payload])

    def test_the_readers_of_the_readme_run_as_written(self):
        self.country()
        blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        block = next(block for block in blocks if "read_feed.py" in block)
        block = block.replace("127.0.0.1:1883", f"127.0.0.1:{self.mqtt}")
        block, keys = re.subn(r"ed25519:\S+", self.key(), block)
        self.assertEqual(keys, 1, "the README's command names the centre's key")
        # As written, from the root of a checkout: a folder that has only what the commands may need of it.
        checkout = self.folder / "checkout"
        checkout.mkdir()
        (checkout / "examples").symlink_to(ROOT / "examples")
        *before, read = block.strip().splitlines()
        for line in before:
            run(["bash", "-euc", line], 300, cwd=checkout)
        reader = self.start("reader", ["bash", "-euc", f"exec {read}"], cwd=checkout)
        scopes = {"nation", "region", "hospital"}
        wait_for(
            "verified lines of every scope",
            lambda: scopes <= {line.split()[1] for line in reader.text().splitlines() if len(line.split()) > 1},
            60,
            reader,
        )
        self.assertNotIn("NOT TRUSTED", reader.log())
        # The check can fail: what the centre did not sign is not believed.
        forged = self.folder / "forged"
        signed = bytes.fromhex(
            subscribe(self.mqtt, "-t", "vardpuls/v1/feed/region/01", "-C", "1", "-F", "%x").strip()
        )
        forged.write_bytes(signed[:-1] + bytes([signed[-1] ^ 1]))
        run(["mosquitto_pub", "-h", "127.0.0.1", "-p", self.mqtt, "-q", "1", "-t", "vardpuls/v1/feed/region/01",
             "-f", forged])
        wait_for("refusal of a forged message", lambda: "NOT TRUSTED: vardpuls/v1/feed/region/01" in reader.log(), 30)

    def test_the_json_tools_of_the_readme_run_as_written(self):
        self.country()
        blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        block = next(block for block in blocks if "mosquitto_sub" in block)
        block = block.replace("127.0.0.1:8080", f"127.0.0.1:{self.http}").replace("-p 1883", f"-p {self.mqtt}")
        curl, listen = block.strip().splitlines()
        self.assertIn("nation", json.loads(run(["bash", "-euc", curl])))
        listener = self.start("listener", ["bash", "-euc", f"exec {listen}"])
        wait_for("the nation as JSON", lambda: "\"coverage\"" in listener.text(), 30, listener)

    def test_it_ends_by_itself_and_says_that_the_numbers_are_simulated(self):
        self.demo.kill()
        http, mqtt = free_port(), free_port()
        short = Process(
            "short",
            [BINARIES / "demo", "--hospitals", 3, "--for", 5, "--http", f"127.0.0.1:{http}", "--mqtt",
             f"127.0.0.1:{mqtt}", "--dir", self.folder / "short"],
            self.folder,
            cwd=self.folder,
        )
        self.processes.callback(short.kill)
        try:
            self.assertEqual(short.ends(60), 0, short.log())
        except subprocess.TimeoutExpired:
            self.fail(f"--for 5 did not end:\n{short.log()}")
        self.assertIn("simulated", short.text().lower())

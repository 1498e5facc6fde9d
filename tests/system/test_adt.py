"""693 HL7 v2 messages that others have written, one a file, to an agent's listener over a real socket: each is answered,
and nothing but ADT changes a count; another reader reads the same fields, or the reason is known. Beside it a folder in which hardly anything is a message."""

import os
import re
import subprocess
import tarfile

from testbed import BINARIES, DATA, ROOT, TestCase

LAST = re.compile(
    r"(?P<messages>\d+) messages: answered AA (?P<aa>\d+), AE (?P<ae>\d+), AR (?P<ar>\d+)"
    r"(, (?P<silent>\d+) asked for no answer)?, not answered (?P<unanswered>\d+); by reason: (?P<reasons>.*); "
    r"counts changed (?P<changed>\d+) times, (?P<wrongly>\d+) of them by what is no ADT"
)


class Adt(TestCase):
    def send(self, folder):
        done = subprocess.run(
            [BINARIES / "demo", "--adt-files", folder], capture_output=True, text=True, timeout=300
        )
        last = done.stdout.splitlines()[-1]
        found = LAST.fullmatch(last)
        self.assertTrue(found, done.stdout + done.stderr)
        print(f"\n      {last}")
        numbers = {name: int(text or 0) for name, text in found.groupdict().items() if name != "reasons"}
        reasons = dict(part.rsplit(" ", 1) for part in found["reasons"].split(", "))
        return done.returncode, numbers, {reason: int(number) for reason, number in reasons.items()}

    def unpack(self):
        with tarfile.open(DATA / "hl7v2_adt" / "adt.tar.xz") as archive:
            archive.extractall(self.folder / "messages", filter="data")
        return [path for path in (self.folder / "messages").rglob("*") if path.is_file()]

    def test_another_reader(self):
        self.unpack()
        done = subprocess.run(
            ["cargo", "test", "--locked", "-p", "vardpuls-tests", "--test", "hl7_oracle", "--", "--include-ignored", "--nocapture"],
            cwd=ROOT, env=os.environ | {"VARDPULS_ADT": str(self.folder / "messages")}, capture_output=True, text=True, timeout=1800,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        said = re.search(r"693 messages: .*", done.stdout)
        self.assertTrue(said, done.stdout)
        print(f"\n      {said.group()}")

    def test_recorded_messages(self):
        files = self.unpack()
        status, numbers, reasons = self.send(self.folder / "messages")
        self.assertEqual(status, 0)
        self.assertEqual(numbers["messages"], len(files))
        self.assertEqual(len(files), 693)
        self.assertEqual((numbers["unanswered"], numbers["wrongly"]), (0, 0))
        answered = numbers["aa"] + numbers["ae"] + numbers["ar"] + numbers["silent"]
        self.assertEqual(answered, 693)
        # Most have a visit, a place and a class that counts.
        self.assertGreater(numbers["changed"], 300)
        # Each message has one reason.
        self.assertEqual(sum(reasons.values()), 693)
        # What is answered AE lacks what the census needs: a visit number nearly always.
        self.assertLess(numbers["ae"], 150)

    def test_hostile_folder(self):
        folder = self.folder / "hostile"
        deep = folder.joinpath(*(f"d{n}" for n in range(40)))
        deep.mkdir(parents=True)
        (folder / "empty").write_bytes(b"")
        (folder / "loop").symlink_to(folder, target_is_directory=True)
        (folder / "gone").symlink_to(folder / "nowhere")
        (folder / "marks").write_bytes(b"\x0b\x1c\r" * 1000 + b"\x1c")
        (folder / "zeros").write_bytes(bytes(1 << 20))
        (folder / "huge").write_bytes(b"MSH|^~\\&|" + b"x" * (20 << 20))
        (folder / "binary").write_bytes(bytes(range(256)) * 1000)
        (deep / "no name.hl7").write_bytes(b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\rPV1|1|I|KIR3\r")
        (deep / "å.hl7").write_bytes(b"MSH\r\n\r\nEVN|A01")
        status, numbers, reasons = self.send(folder)
        self.assertEqual(status, 0)
        self.assertEqual(numbers["messages"], 7)
        self.assertEqual((numbers["unanswered"], numbers["wrongly"], numbers["changed"]), (0, 0, 0))
        self.assertEqual(reasons["no-visit"], 1)

"""A sensor that speaks to Hale from a computer with Python: docs/wire.md, with paho-mqtt 1.6 or later.

Every reading is on disk before it is sent and stays there until Hale says that it has it. The line may break, the power may
fail, the program may be killed: what was measured arrives, once.

    python3 device.py < numbers        a heart rate per line, from whatever measures it

Settings come from the environment: HALE (host or host:port, 8883 when there is none), DEVICE and SECRET as they were given
out, CA (a file of certificates; without it the line is not encrypted, which is for tests on one machine only), and BOX (the
file that readings wait in, waiting.db when there is none).
"""

import json
import os
import random
import sqlite3
import sys
import threading
import time
from datetime import datetime, timezone

import paho.mqtt.client as mqtt


def now():
    return datetime.now(timezone.utc).isoformat()


class Box:
    """The readings that Hale does not have yet, in a file of SQLite."""

    def __init__(self, file):
        self.lock = threading.Lock()
        self.db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA synchronous = FULL")  # a reading that is kept survives a power cut
        # AUTOINCREMENT never gives a number twice, also when all rows are gone: it is the device's own count.
        self.db.execute("CREATE TABLE IF NOT EXISTS waiting (seq INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT, value REAL)")

    def keep(self, value):
        with self.lock:
            self.db.execute("INSERT INTO waiting (time, value) VALUES (?, ?)", (now(), value))

    def oldest(self, most=200):
        with self.lock:
            return self.db.execute("SELECT seq, time, value FROM waiting ORDER BY seq LIMIT ?", (most,)).fetchall()

    def newest(self):
        with self.lock:
            return self.db.execute("SELECT seq, time, value FROM waiting ORDER BY seq DESC LIMIT 1").fetchall()

    def drop(self, rows):
        with self.lock:
            self.db.executemany("DELETE FROM waiting WHERE seq = ?", [(row[0],) for row in rows])


class Line:
    """The connection to Hale: it comes back by itself after every break."""

    def __init__(self, address, uid, secret, ca):
        self.uid = uid
        # Since 2.0 paho asks for the version of its callbacks; 1.x knows no such argument.
        versions = getattr(mqtt, "CallbackAPIVersion", None)
        self.client = mqtt.Client(*([versions.VERSION2] if versions else []), client_id=uid)
        self.client.username_pw_set(uid, secret)
        if ca:
            self.client.tls_set(ca)
        self.client.reconnect_delay_set(1, 60)
        self.client.on_connect = self.connected
        host, _, port = address.partition(":")
        self.client.connect_async(host, int(port or 8883), keepalive=60)
        self.client.loop_start()

    def connected(self, client, *_):
        # What our clock shows just now: Hale puts the times of readings right by it when the clock is off.
        client.publish("hale/v1/%s/status" % self.uid, json.dumps({"clock": now()}), qos=1)

    def send(self, rows):
        """Publishes the rows as one message and reports whether Hale has them on disk."""
        readings = [{"metric": "heart_rate", "value": v, "unit": "/min", "time": t, "seq": s} for s, t, v in rows]
        if not rows or not self.client.is_connected():
            return False
        try:
            sent = self.client.publish("hale/v1/%s/readings" % self.uid, json.dumps(readings), qos=1)
            sent.wait_for_publish(60)
        except (RuntimeError, ValueError):  # the line broke in between
            return False
        return sent.is_published()  # the PUBACK is there


def empty(box, line, ended):
    """Sends what waits, the newest first: it may be an emergency. Then what is older, from the oldest on."""
    pause = 1.0
    while True:
        newest = box.newest()
        if not newest and ended.is_set():
            return
        if line.send(newest):
            box.drop(newest)  # and not before: without the PUBACK the same is sent again, which does no harm
            rows = box.oldest()
            if line.send(rows):
                box.drop(rows)
            pause = 1.0
            ended.wait(0.01)
        else:
            time.sleep(pause * random.uniform(0.2, 1.0) if newest else 0.1)  # not all devices at once
            pause = min(pause * 2, 60) if newest else 1.0


def main():
    box = Box(os.environ.get("BOX", "waiting.db"))
    line = Line(os.environ["HALE"], os.environ["DEVICE"], os.environ["SECRET"], os.environ.get("CA"))
    ended = threading.Event()
    sender = threading.Thread(target=empty, args=(box, line, ended))
    sender.start()
    for text in sys.stdin:
        try:
            box.keep(float(text))
        except ValueError:
            print("this is no number: %r" % text.strip(), file=sys.stderr)
    ended.set()
    sender.join()


if __name__ == "__main__":
    main()

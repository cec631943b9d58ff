# A sensor that speaks to Hale from a microcontroller (docs/wire.md), in MicroPython 1.22 or later. It needs nothing but what the
# firmware has: a network, a clock, and some flash. The same text runs in CPython, which is how it is tested.
#
# Every reading is in flash before it is sent and stays there until Hale says that it is on disk. Readings wait in small files, one
# message each. When flash is full the oldest go, and Hale sees by the count how many are missing. Let a watchdog restart what
# hangs: nothing is lost by it.
#
# config.json: {"host": "hale.example.org", "port": 8883, "uid": "cuff-0042", "secret": "...", "ca": "ca.der"}
# Leave out "ca" for a line that is not encrypted: for tests on one machine only. Copy this file and config.json to the board, and
# say in sensor.py what is measured: measure() returns a heart rate, or None when there is nothing new.

import json
import os
import socket
import struct
import time

BOX = "box"  # the folder that readings wait in
MOST_FILES = 400  # of them, at most
IN_A_FILE = 50  # readings: a message of some five kilobytes
KEEP_ALIVE = 60  # seconds


def clock():
    # Set the clock before anything else (ntptime.settime()); a board that wakes in the year 2000 says so in its status, and
    # Hale keeps apart what it measures until the clock is right.
    return "%04d-%02d-%02dT%02d:%02d:%02dZ" % time.gmtime()[:6]


class Box:
    def __init__(self):
        if BOX not in os.listdir():
            os.mkdir(BOX)
        names = sorted(os.listdir(BOX))
        self.file = int(names[-1]) + 1 if names else 0  # a file of the life before is not written to again
        self.lines = 0
        self.seq = self.last()

    def last(self):
        # Two copies, of which a power cut spoils one at most.
        found = [0]
        for name in ("count.a", "count.b"):
            try:
                with open(name) as f:
                    n, again = f.read().split()
                    if n == again:
                        found.append(int(n))
            except (OSError, ValueError):
                pass
        return max(found)

    def keep(self, metric, value, unit):
        self.seq += 1
        with open("count.a" if self.seq % 2 else "count.b", "w") as f:
            f.write("%d %d" % (self.seq, self.seq))
        reading = {"metric": metric, "value": value, "unit": unit, "time": clock(), "seq": self.seq}
        if self.lines == IN_A_FILE:
            self.begin()
        with open("%s/%08d" % (BOX, self.file), "a") as f:
            f.write("\n" + json.dumps(reading) + "\n")  # a line that a power cut tears spoils no other
        self.lines += 1

    def begin(self):
        # The readings from here on go into another file, and the one before may be sent.
        if self.lines:
            self.file += 1
            self.lines = 0
        names = sorted(os.listdir(BOX))
        for name in names[:max(0, len(names) - MOST_FILES)]:
            os.remove(BOX + "/" + name)

    def waiting(self):
        # The newest first: it may be an emergency. Then what is older, from the oldest on.
        self.begin()
        names = sorted(os.listdir(BOX))
        return names[-1:] + names[:-1]

    def message(self, name):
        good = []
        with open(BOX + "/" + name) as f:
            for line in f:
                try:
                    good.append(json.dumps(json.loads(line)))
                except ValueError:  # empty, or torn
                    pass
        return "[" + ",".join(good) + "]"


class Line:
    """As much of MQTT 3.1.1 as a sensor needs."""

    def __init__(self, host, port, uid, secret, ca=None):
        self.topic = "hale/v1/" + uid + "/"
        self.id = 0
        self.socket = socket.socket()
        self.socket.settimeout(KEEP_ALIVE)
        try:
            self.socket.connect(socket.getaddrinfo(host, port)[0][-1])
            if ca:
                import ssl

                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                with open(ca, "rb") as f:
                    context.load_verify_locations(cadata=f.read())
                self.socket = context.wrap_socket(self.socket, server_hostname=host)
            self.stream = self.socket.makefile("rwb", 0)
            head = b"\x00\x04MQTT\x04\xc2" + struct.pack("!H", KEEP_ALIVE)  # user name, password, nothing of an earlier session
            self.write(0x10, head + text(uid) + text(uid) + text(secret))
            code = self.answer(0x20)[1]
            if code:
                raise OSError("Hale refuses the connection with code %d: see docs/wire.md" % code)
        except BaseException:
            self.socket.close()
            raise

    def write(self, kind, body):
        rest, n = bytearray(), len(body)
        while True:
            n, digit = n >> 7, n & 0x7F
            rest.append(digit | (0x80 if n else 0))
            if not n:
                break
        whole = memoryview(bytes((kind,)) + bytes(rest) + body)
        while len(whole):
            whole = whole[self.stream.write(whole) or 0:]

    def read(self, n):
        got = b""
        while len(got) < n:
            more = self.stream.read(n - len(got))
            if not more:
                raise OSError("the line broke")
            got += more
        return got

    def answer(self, kind):
        while True:
            first, n, shift = self.read(1)[0], 0, 0
            while True:
                digit = self.read(1)[0]
                n |= (digit & 0x7F) << shift
                shift += 7
                if not digit & 0x80:
                    break
            body = self.read(n)
            if first & 0xF0 == kind:
                return body

    def publish(self, what, payload):
        # Returns when Hale has it on disk, and not before. It raises when the line breaks: send the same again later.
        self.id = self.id % 65535 + 1
        number = struct.pack("!H", self.id)
        self.write(0x32, text(self.topic + what) + number + payload.encode())
        while self.answer(0x40) != number:
            pass

    def close(self):
        try:
            self.write(0xE0, b"")
        finally:
            self.socket.close()


def text(s):
    b = s.encode()
    return struct.pack("!H", len(b)) + b


def send(box, config):
    line = Line(config["host"], config["port"], config["uid"], config["secret"], config.get("ca"))
    try:
        line.publish("status", json.dumps({"clock": clock()}))
        for name in box.waiting():
            line.publish("readings", box.message(name))
            os.remove(BOX + "/" + name)  # Hale has it
    finally:
        line.close()


def main():
    from sensor import measure

    with open("config.json") as f:
        config = json.load(f)
    box, pause, next_try = Box(), 1, 0
    while True:
        value = measure()
        if value is not None:
            box.keep("heart_rate", value, "/min")
        if time.time() < next_try or box.lines == 0 and not os.listdir(BOX):
            continue
        try:
            send(box, config)
            pause = 1
        except (OSError, ValueError) as no:
            print("cannot send:", no)
            next_try = time.time() + pause
            pause = min(2 * pause, 60)


if __name__ == "__main__":
    main()

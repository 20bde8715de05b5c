"""A SocketCluster client of its own making, for checking the server from outside. Standard library only.

It shares no code with the server or with any client library. Commands come on standard input, one JSON object per
line; what happens goes to standard output in the same form, with the name of the client it happened to.

    {"do": "open", "client": "a", "url": "ws://127.0.0.1:8000/socketcluster/", "protocol": 2}
    {"do": "subscribe", "client": "a", "channels": ["news"]}
    {"do": "publish", "client": "a", "channel": "news", "data": 1}
    {"do": "flood", "client": "a", "label": "one", "channels": [..], "each": 200}
    {"do": "collect", "client": "a", "labels": ["one", "two"], "channels": [..], "each": 200}
    {"do": "pace", "client": "a", "label": "one", "channels": [..], "every": 0.01}
    {"do": "reopen", "client": "a"}
    {"do": "resume", "client": "a", "label": "one"}
    {"do": "progress", "client": "a", "label": "one", "channels": [..]}
    {"do": "stop", "client": "a", "label": "one"}
    {"do": "account", "client": "a", "label": "one", "channels": [..]}
    {"do": "share", "client": "a", "label": "one", "channels": [..], "clients": ["b", "c"]}
    {"do": "text", "client": "a", "text": ".."}      {"do": "bytes", "client": "a", "hex": "88021234"}
    {"do": "close", "client": "a"}

A flood numbers its messages per channel and closes each channel with an end mark. Messages of a channel keep their
order, so when the end marks are there, whatever is not is lost; `collect` then tells what was missing, doubled or out
of order. A client opened with "raw" shows every text it receives and answers nothing by itself.

Publishing at a pace numbers messages in the same way until it is told to stop, one number every so many seconds, and
closes each channel with an end mark. A client that lost its connection is opened again by `reopen`, and goes on with
what it knows; `resume` makes its publishing go on too, with the next number. `progress` tells how far that got, at the
client that publishes (`sent`) and at one that receives (`heard`, in every channel). `account` tells at any time what a
receiver has heard of a label: for each channel the numbers that were answered and did not come (`lost`), those that
passed while the receiver itself was away (`away`), and those that came although nobody knows whether they were taken
(`doubtful`), as ranges, and the number of an end mark that did not come (`end`); and for all channels together what came twice or out of order, and the longest time in
milliseconds in which nothing came. `share` tells the same, in numbers only, of several receivers that share what is
published: what came to none of them is lost, what came more than once, to one or to several, is doubled; and of each,
how many messages of all kinds came by its present connection (`heard`), and the highest number it has (`last`).
"""

import base64
import json
import os
import socket
import struct
import sys
import threading
import time
import urllib.parse

output_lock = threading.Lock()


def tell(**event):
    with output_lock:
        sys.stdout.write(json.dumps(event, separators=(",", ":"), ensure_ascii=False) + "\n")
        sys.stdout.flush()


class Pace:
    """A publisher that goes on until it is stopped, over as many connections as it takes."""

    def __init__(self, client, label, channels, every):
        self.client = client
        self.label = label
        self.channels = channels
        self.every = every
        self.stopped = threading.Event()
        self.sent = 0  # how many numbers, in each channel
        self.lives = [0]  # the first number of each connection
        self.answered = {channel: set() for channel in channels}
        self.errors = []

    def run(self):
        due = time.monotonic()
        while not self.stopped.wait(due - time.monotonic()):
            if self.client.is_open:
                self.publish([(channel, self.sent) for channel in self.channels])
                self.sent += 1
            # What a busy machine missed is not made up for: the pace is a limit.
            due = max(due + self.every, time.monotonic())
        packets = [{"channel": channel, "data": {"from": self.label, "end": self.sent}} for channel in self.channels]
        self.client.call("#publish", None, "stopped", len(packets), packets)

    def publish(self, messages):
        client = self.client
        packets = [{"channel": channel, "data": {"from": self.label, "n": number}} for channel, number in messages]
        records = [[lambda errors, message=message: self.accepted(message, errors), 1, []] for message in messages]
        client.call("#publish", None, None, len(packets), packets, records)

    def accepted(self, message, errors):
        if errors:
            self.errors += errors
        else:
            self.answered[message[0]].add(message[1])


paces = {}  # label -> Pace
common_lock = threading.Lock()
common_arrivals = {}  # label -> [when something came last to any client, the longest time between two arrivals]


def arrived(arrivals, label):
    """Notes an arrival beside the longest time between two of them."""
    now = time.monotonic()
    arrival = arrivals.setdefault(label, [now, 0.0])
    arrival[:] = now, max(arrival[1], now - arrival[0])


def pause(arrivals, label):
    return int(arrivals.get(label, [0, 0.0])[1] * 1000)


def disorder(numbers):
    return sum(1 for one, two in zip(numbers, numbers[1:]) if two < one)


def ranges(numbers):
    found = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


class Client:
    def __init__(self, name, url, protocol=2, raw=False, handshake=True, pong=True):
        self.name = name
        self.options = {"url": url, "protocol": protocol, "raw": raw, "handshake": handshake, "pong": pong}
        self.protocol = protocol
        self.raw = raw
        self.pong = pong
        self.write_lock = threading.Lock()
        self.state = threading.Condition()
        self.calls = 0
        self.waiting = {}  # call -> [event name, how many answers it still needs, errors]
        self.tally = {}  # (label, channel) -> numbers in the order of arrival
        self.ends = {}  # (label, channel) -> how many the flood said there are
        self.arrivals = {}  # label -> [when something came last, the longest time between two arrivals]
        self.absences = []  # for each time it was away, how many numbers each tally held then
        self.pings = 0
        self.heard = 0  # publishes that came by this connection
        self.is_open = True

        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=20)
        self.socket.settimeout(None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            (
                f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        self.buffer = b""
        self.place = 0  # where in the buffer the next frame begins
        self.closure = None
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("closed during the upgrade: " + repr(self.buffer[:200]))
            self.buffer += data
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(head.decode("latin-1").split("\r\n")[0])
        threading.Thread(target=self.read, daemon=True).start()
        if handshake:
            self.call("#handshake", {"authToken": None}, "open")
        else:
            tell(client=name, event="connected")

    # Frames

    def frame(self, payload, opcode=1):
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0xFF, size)
        masked = int.from_bytes(payload, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        return head + mask + masked.to_bytes(size, "big")

    def write(self, data):
        try:
            with self.write_lock:
                self.socket.sendall(data)
        except OSError as error:
            self.lost(str(error))

    def text(self, text):
        self.write(self.frame(text.encode("utf-8", "surrogatepass")))

    def read(self):
        code, reason = 1006, ""
        try:
            while True:
                opcode, payload = self.next_frame()
                if opcode == 1:
                    self.received(payload.decode("utf-8"))
                elif opcode == 8:
                    code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                    reason = payload[2:].decode("utf-8")
                    self.write(self.frame(payload[:2], 8))
                    break
                elif opcode == 9:
                    self.write(self.frame(payload, 10))
        except OSError:
            pass
        self.lost(reason, code)

    def next_frame(self):
        first, second = self.take(2)
        if second & 0x80:
            raise OSError("the server masked a frame")
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.take(8))
        return first & 0x0F, self.take(size)

    def take(self, size):
        while len(self.buffer) - self.place < size:
            data = self.socket.recv(1 << 20)
            if not data:
                raise OSError("end of stream")
            self.buffer, self.place = self.buffer[self.place :] + data, 0
        self.place += size
        return self.buffer[self.place - size : self.place]

    def lost(self, reason, code=1006):
        with self.state:
            if not self.is_open:
                return
            self.is_open = False
            self.closure = f"{code} {reason}"
            self.state.notify_all()
        tell(client=self.name, event="closed", code=code, reason=reason)
        self.socket.close()

    # Packets

    def call(self, event, data, done, count=1, packets=None, records=None):
        """Sends one packet, or the given ones, and tells `done` when all are answered, or each of `records` its own."""
        record = [done, count, []]
        texts = []
        with self.state:
            for index, one in enumerate(packets or [data]):
                self.calls += 1
                self.waiting[self.calls] = records[index] if records else record
                packet = {"event": event, "data": one, "cid": self.calls}
                texts.append(self.frame(json.dumps(packet, separators=(",", ":")).encode()))
        for start in range(0, len(texts), 200):
            self.write(b"".join(texts[start : start + 200]))

    def received(self, text):
        if text in ("", "#1"):
            self.pings += 1
            if self.raw:
                tell(client=self.name, event="text", text=text)
            elif self.pong and text == ("" if self.protocol == 2 else "#1"):
                self.text("" if self.protocol == 2 else "#2")
                tell(client=self.name, event="ping")
            return
        if self.raw:
            tell(client=self.name, event="text", text=text)
            return
        packet = json.loads(text)
        if "rid" in packet:
            self.answered(packet)
        elif packet.get("event") == "#publish":
            self.published(packet["data"]["channel"], packet["data"].get("data"))
        else:
            tell(client=self.name, event="packet", packet=packet)

    def answered(self, packet):
        with self.state:
            record = self.waiting.pop(packet["rid"])
            record[1] -= 1
            if packet.get("error"):
                record[2].append(packet["error"])
            if record[1]:
                return
        if callable(record[0]):
            record[0](record[2])
        elif record[0] or record[2]:
            tell(client=self.name, event=record[0] or "refused", errors=record[2], data=packet.get("data"))

    def published(self, channel, data):
        self.heard += 1
        if not (isinstance(data, dict) and "from" in data):
            tell(client=self.name, event="message", channel=channel, data=data)
            return
        with self.state:
            key = (data["from"], channel)
            arrived(self.arrivals, data["from"])
            with common_lock:
                arrived(common_arrivals, data["from"])
            if "end" in data:
                self.ends[key] = data["end"]
                self.state.notify_all()
            else:
                self.tally.setdefault(key, []).append(data["n"])
                self.state.notify_all()

    def flood(self, label, channels, each):
        packets = [
            {"channel": channel, "data": {"from": label, "n": number}} for number in range(each) for channel in channels
        ]
        packets += [{"channel": channel, "data": {"from": label, "end": each}} for channel in channels]
        self.call("#publish", None, "flooded", len(packets), packets)

    def reopened(self):
        """Another connection in place of this one, which has ended."""
        again = Client(self.name, **self.options)
        with self.state:
            lengths = {key: len(numbers) for key, numbers in self.tally.items()}
            again.tally, again.ends, again.arrivals = self.tally, self.ends, self.arrivals
            again.absences = self.absences + [lengths]
        return again

    def progress(self, label, channels):
        with self.state:
            heard = min(max(self.tally.get((label, channel), [-1])) for channel in channels)
        pace = paces.get(label)
        tell(client=self.name, event="progress", label=label, sent=pace.sent if pace else 0, heard=heard)

    def account(self, label, channels):
        pace = paces[label]
        report = {"sent": 0, "received": 0, "doubled": 0, "disordered": 0, "unfinished": 0}
        details = {}
        with self.state:
            for channel in channels:
                key = (label, channel)
                numbers = self.tally.get(key, [])
                found = set(numbers)
                answered = pace.answered[channel]
                away = set()
                for lengths in self.absences:
                    place = lengths.get(key, 0)
                    before = max(numbers[:place], default=-1)
                    # What is known from before the absence may come again first.
                    after = min((number for number in numbers[place:] if number > before), default=pace.sent)
                    away |= set(range(before + 1, after)) - found
                report["sent"] += len(answered)
                report["received"] += len(numbers)
                report["doubled"] += len(numbers) - len(found)
                report["disordered"] += disorder(numbers)
                report["unfinished"] += key not in self.ends
                details[channel] = {
                    "lost": ranges(answered - found - away),
                    "away": ranges(away & answered),
                    "doubtful": ranges(set(range(pace.sent)) - answered),
                    "doubtful_found": len(found - answered),
                    "end": None if key in self.ends else pace.sent,
                }
            longest = pause(self.arrivals, label)
        tell(
            client=self.name,
            event="accounted",
            label=label,
            lives=pace.lives,
            errors=pace.errors[:3],
            channels=details,
            pause=longest,
            **report,
        )

    def collect(self, labels, channels, each, within, whole=False):
        """Waits for the end marks and, if asked for the whole, for everything before them: by another way it may come later."""
        wanted = [(label, channel) for label in labels for channel in channels]
        deadline = time.monotonic() + within

        def awaited(key):
            return key not in self.ends or (whole and len(set(self.tally.get(key, []))) < each)

        with self.state:
            while self.is_open and any(awaited(key) for key in wanted):
                left = deadline - time.monotonic()
                if left <= 0 or not self.state.wait(left):
                    break
            report = {"received": 0, "missing": 0, "doubled": 0, "disordered": 0, "unfinished": 0}
            examples = []
            for key in wanted:
                numbers = self.tally.pop(key, [])
                found = set(numbers)
                report["received"] += len(numbers)
                report["missing"] += each - len(found)
                report["doubled"] += len(numbers) - len(found)
                report["disordered"] += disorder(numbers)
                if self.ends.pop(key, None) is None:
                    report["unfinished"] += 1
                if len(found) < each and len(examples) < 3:
                    examples.append([key[0], key[1], sorted(set(range(each)) - found)[:5]])
            closure = self.closure
        tell(client=self.name, event="collected", examples=examples, closure=closure, **report)


def share(label, channels, receivers):
    pace = paces[label]
    report = {"sent": 0, "received": 0, "lost": 0, "doubled": 0, "doubled_at_one": 0, "disordered": 0, "unfinished": 0}
    report["unanswered"] = 0
    for channel in channels:
        key = (label, channel)
        found = set()
        finished = False
        for receiver in receivers:
            with receiver.state:
                numbers = list(receiver.tally.get(key, []))
                finished = finished or key in receiver.ends
            distinct = set(numbers)
            report["received"] += len(numbers)
            report["doubled"] += len(numbers) - len(distinct) + len(distinct & found)
            report["doubled_at_one"] += len(numbers) - len(distinct)
            report["disordered"] += disorder(numbers)
            found |= distinct
        answered = pace.answered[channel]
        report["sent"] += len(answered)
        report["lost"] += len(answered - found)
        report["unfinished"] += not finished
        report["unanswered"] += pace.sent - len(answered)
    members = {}
    for receiver in receivers:
        with receiver.state:
            last = max((max(numbers) for key, numbers in receiver.tally.items() if key[0] == label), default=-1)
            members[receiver.name] = {"heard": receiver.heard, "last": last}
    with common_lock:
        longest = pause(common_arrivals, label)
    return {"errors": pace.errors[:3], "members": members, "pause": longest, **report}


def main():
    clients = {}
    for line in sys.stdin:
        command = json.loads(line)
        do, name = command.pop("do"), command.pop("client")
        try:
            if do == "open":
                clients[name] = Client(name, **command)
                continue
            client = clients[name]
            if do == "subscribe":
                packets = [{"channel": channel} for channel in command["channels"]]
                client.call("#subscribe", None, "subscribed", len(packets), packets)
            elif do == "unsubscribe":
                client.call("#unsubscribe", None, "unsubscribed", len(command["channels"]), command["channels"])
            elif do == "publish":
                client.call("#publish", {"channel": command["channel"], "data": command["data"]}, "published")
            elif do == "flood":
                threading.Thread(target=client.flood, kwargs=command, daemon=True).start()
            elif do == "collect":
                threading.Thread(target=client.collect, kwargs=command, daemon=True).start()
            elif do == "pace":
                paces[command["label"]] = Pace(client, **command)
                threading.Thread(target=paces[command["label"]].run, daemon=True).start()
            elif do == "reopen":
                clients[name] = client.reopened()
            elif do == "resume":
                pace = paces[command["label"]]
                pace.lives.append(pace.sent)
                pace.client = client
            elif do == "progress":
                client.progress(**command)
            elif do == "stop":
                paces[command["label"]].stopped.set()
            elif do == "account":
                client.account(**command)
            elif do == "share":
                receivers = [clients[one] for one in command["clients"]]
                tell(client=name, event="shared", **share(command["label"], command["channels"], receivers))
            elif do == "text":
                client.text(command["text"])
            elif do == "bytes":
                client.write(bytes.fromhex(command["hex"]))
            elif do == "close":
                client.write(client.frame(struct.pack("!H", 1000), 8))
            elif do == "vanish":
                client.socket.shutdown(socket.SHUT_RDWR)
            else:
                raise ValueError(do)
        except (OSError, ValueError, KeyError) as error:
            tell(client=name, event="failed", reason=f"{type(error).__name__}: {error}")


main()

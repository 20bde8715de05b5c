"""A SocketCluster client with permessage-deflate over nothing but the standard library. It subscribes, publishes a long
message compressed, and shows what came back, one JSON object per line.

    compressing_client.py HOST PORT WINDOW        WINDOW: bits of window that it offers for both sides; 0 for what browsers offer
"""

import base64
import json
import os
import socket
import struct
import sys
import zlib

host, port, window = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
connection = socket.create_connection((host, port), timeout=60)
offer = "permessage-deflate; client_max_window_bits"
if window:
    offer = f"permessage-deflate; server_max_window_bits={window}; client_max_window_bits={window}"
connection.sendall(
    (
        f"GET /socketcluster/ HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Extensions: {offer}\r\n\r\n"
    ).encode()
)
received = bytearray()


def read(count):
    while len(received) < count:
        more = connection.recv(65536)
        if not more:
            raise SystemExit("the server hung up")
        received.extend(more)
    taken = bytes(received[:count])
    del received[:count]
    return taken


def tell(**event):
    print(json.dumps(event), flush=True)


def send(message):
    deflater = zlib.compressobj(wbits=-(window or 15))
    payload = deflater.compress(json.dumps(message).encode()) + deflater.flush(zlib.Z_SYNC_FLUSH)
    payload = payload[:-4]
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack("!BH", 0x80 | 126, len(payload))
    connection.sendall(b"\xC1" + length + b"\0\0\0\0" + payload)


def receive():
    first, second = read(2)
    length = second
    if length == 126:
        (length,) = struct.unpack("!H", read(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", read(8))
    payload = read(length)
    if first & 0x40:
        # Only as much window as was agreed on: a longer distance is an error of zlib's.
        inflater = zlib.decompressobj(wbits=-(window or 15))
        payload = inflater.decompress(payload + b"\0\0\xFF\xFF")
    return payload.decode(), bool(first & 0x40), length


def answer(call_id):
    while True:
        text, _, _ = receive()
        if text.startswith("{") and json.loads(text).get("rid") == call_id:
            return


head = b""
while not head.endswith(b"\r\n\r\n"):
    head += read(1)
fields = [line.split(": ", 1)[1] for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-ext")]
tell(event="upgraded", extensions=fields)
send({"event": "#handshake", "data": {}, "cid": 1})
answer(1)
send({"event": "#subscribe", "data": {"channel": "long"}, "cid": 2})
answer(2)
data = [{"number": number, "text": f"the same again and again, {number}"} for number in range(2000)]
send({"event": "#publish", "data": {"channel": "long", "data": data}})
while True:
    text, is_compressed, length = receive()
    if "#publish" in text:
        same = json.loads(text)["data"]["data"] == data
        tell(event="message", same=same, compressed=is_compressed, length=length, inflated=len(text))
        break

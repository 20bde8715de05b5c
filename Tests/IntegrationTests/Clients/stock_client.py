"""Runs the unmodified socketclusterclient of PyPI: it connects, subscribes, publishes a greeting, and shows what it
meets, one JSON object per line.

    stock_client.py URL CHANNEL GREETING        lines on standard input are then published as well, as JSON
"""

import json
import logging
import sys
import threading

from socketclusterclient import Socketcluster

logging.disable(logging.CRITICAL)
lock = threading.Lock()


def tell(**event):
    with lock:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def publish(client, channel):
    for line in sys.stdin:
        client.publish(channel, json.loads(line))


def connected(client):
    tell(event="connected")


def authenticated(client, is_authenticated):
    # The library calls this with the answer to its handshake. It notes whom an answer is for only after it has sent the
    # question, so questions are safe to ask in this thread alone, which is the one that reads the answers.
    tell(event="open", authenticated=is_authenticated)
    client.onchannel(channel, lambda name, data: tell(event="message", channel=name, data=data))
    client.subscribeack(channel, subscribed)


def subscribed(name, error, _):
    tell(event="subscribed", channel=name, error=error)
    client.publishack(channel, {"greeting": greeting}, lambda name, error, _: tell(event="published", error=error))
    threading.Thread(target=publish, args=(client, channel), daemon=True).start()


url, channel, greeting = sys.argv[1:4]
client = Socketcluster.socket(url)
client.setBasicListener(
    connected,
    lambda client: tell(event="closed"),
    lambda client, error: tell(event="failed", reason=str(error)),
)
client.setAuthenticationListener(lambda client, token: None, authenticated)
client.setreconnection(False)
client.connect()

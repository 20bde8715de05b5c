"""Runs the unmodified socketclusterclient of PyPI: it connects, subscribes, publishes a greeting, and shows what it
meets, one JSON object per line.

    stock_client.py [--return] URL CHANNEL GREETING
                                lines on standard input are then published as well, as JSON

With --return it connects again when the connection is lost, and subscribes again, as the library does it.
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
    global is_known
    tell(event="open", authenticated=is_authenticated)
    if is_known:
        return  # The library has subscribed again by itself.
    is_known = True
    client.onchannel(channel, lambda name, data: tell(event="message", channel=name, data=data))
    client.subscribeack(channel, subscribed)


def subscribed(name, error, _):
    global is_greeted
    if is_greeted:
        return  # An answer on a later connection that has the number of this one.
    is_greeted = True
    tell(event="subscribed", channel=name, error=error)
    client.publishack(channel, {"greeting": greeting}, lambda name, error, _: tell(event="published", error=error))
    threading.Thread(target=publish, args=(client, channel), daemon=True).start()


is_known = is_greeted = False
returns = sys.argv[1] == "--return"
url, channel, greeting = sys.argv[1 + returns :]
client = Socketcluster.socket(url)
client.setBasicListener(
    connected,
    lambda client: tell(event="closed"),
    lambda client, error: tell(event="failed", reason=str(error)),
)
client.setAuthenticationListener(lambda client, token: None, authenticated)
client.setreconnection(returns)
client.setdelay(1)
client.connect()

"""Runs the unmodified socketclusterclient of PyPI through the example PrivateChannels: strangers are refused, a log-in,
letters by call and channel, a log-out. Shows what it meets, one JSON object per line.

    stock_letters.py URL NAME PASSWORD OTHER [TOKEN]      with a token it is logged in from the start
"""

import json
import logging
import sys

from socketclusterclient import Socketcluster

logging.disable(logging.CRITICAL)


def tell(event, **facts):
    sys.stdout.write(json.dumps(dict(event=event, **facts)) + "\n")
    sys.stdout.flush()


def told(event, proceed=None):
    """A callback that shows an answer and goes on: questions are safe to ask in the thread that reads answers alone."""

    def callback(_, error, data):
        tell(event, error=error, data=data)
        if proceed:
            proceed()

    return callback


def heard(channel, data):
    tell("message", channel=channel, data=data)
    if channel == "seen" and data["by"] == name:
        client.emitack("logout", None, told("logout", lambda: client.subscribeack(mine, told("after"))))


def opened(client, is_authenticated):
    tell("open", authenticated=is_authenticated)
    if token:
        client.onchannel(mine, heard)
        client.subscribeack(mine, told("mine", write))
    else:
        client.subscribeack(mine, told("stranger", guess))


def guess():
    client.emitack("send", {"to": other, "text": "hello"}, told("unsent", lambda: client.emitack(
        "login", {"username": name, "password": "wrong"}, told("guess", log_in))))


def log_in():
    client.emitack("login", {"username": name, "password": password}, told("login", subscribe))


def subscribe():
    client.onchannel(mine, heard)
    client.onchannel("seen", heard)
    client.subscribeack("seen", told("seen", lambda: client.subscribeack(mine, told("mine", pry))))


def pry():
    client.subscribeack("private/" + other, told("pry", lambda: client.publishack(
        "private/" + other, "direct", told("direct", write))))


def write():
    client.emitack("send", {"to": name, "text": "note to self"}, told("sent", confirm))


def confirm():
    # An event without an answer; what comes of it is heard in the channel.
    client.emit("seen", {"text": "note to self"})


url, name, password, other = sys.argv[1:5]
token = sys.argv[5] if len(sys.argv) > 5 else None
mine = "private/" + name
client = Socketcluster.socket(url)
client.setBasicListener(
    lambda client: tell("connected"),
    lambda client: tell("closed"),
    lambda client, error: tell("failed", reason=str(error)),
)
client.setAuthenticationListener(lambda client, token: tell("token", token=token), opened)
client.on("#kickOut", lambda event, data: tell("kicked", data=data))
if token:
    client.setAuthtoken(token)
client.setreconnection(False)
client.connect()

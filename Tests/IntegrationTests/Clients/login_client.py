"""Logs in with the unmodified socketclusterclient of PyPI, and shows what it meets, one JSON object per line.

    login_client.py URL NAME PASSWORD

It calls the procedure `login` with a wrong password and then with the right one, and comes back with the token that it
was given.
"""

import json
import logging
import sys

from socketclusterclient import Socketcluster

logging.disable(logging.CRITICAL)
url, name, password = sys.argv[1:4]
token = None


def tell(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def given(client, value):
    global token
    token = value
    tell(event="token")


def refused(_, error, data):
    tell(event="refused", error=error)
    client.emitack("login", {"name": name, "password": password}, welcomed)


def welcomed(_, error, data):
    tell(event="answered", error=error, data=data)
    client.disconnect()


def first(client, is_authenticated):
    # As in stock_client.py: questions are asked in the thread that reads the answers.
    tell(event="open", authenticated=is_authenticated)
    client.emitack("login", {"name": name, "password": "wrong"}, refused)


def again(client, is_authenticated):
    tell(event="back", authenticated=is_authenticated)
    client.disconnect()


def connect(token, opened):
    client = Socketcluster.socket(url)
    client.setBasicListener(lambda client: None, lambda client: None, lambda client, error: None)
    client.setAuthenticationListener(given, opened)
    client.setreconnection(False)
    if token:
        client.setAuthtoken(token)
    return client


client = connect(None, first)
client.connect()
client = connect(token, again)
client.connect()

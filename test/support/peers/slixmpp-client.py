"""A slixmpp client for tests: one JSON object per line on standard output, one command per line on standard input."""
import asyncio
import json
import logging
import sys

import slixmpp
from slixmpp.xmlstream import tostring


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0092")
        self.register_plugin("xep_0199")
        self.register_plugin("xep_0359")
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("failed_auth", lambda _: say("refused"))
        self.add_event_handler("disconnected", lambda _: say("disconnected"))
        self.add_event_handler("message", self.received)
        self.add_event_handler("message_error", self.received)

    async def started(self, _):
        self.send_presence()
        await self.get_roster()
        say("online", jid=str(self.boundjid))

    def received(self, message):
        fields = {
            "id": message["id"],
            "from": str(message["from"]),
            "type": message["type"],
            "body": message["body"],
            "subject": message["subject"],
            "thread": message["thread"],
            "xml": tostring(message.xml),
        }
        if message["type"] == "error":
            fields["condition"] = message["error"]["condition"]
            fields["text"] = message["error"]["text"]
        say("message", **fields)

    async def obey(self, command):
        name = command["do"]
        if name == "message":
            message = self.make_message(mto=command["to"], mbody=command.get("body"), mtype=command.get("type", "chat"))
            for key in ("id", "subject", "thread"):
                if command.get(key):
                    message[key] = command[key]
            message.send()
        elif name == "ping":
            try:
                await self["xep_0199"].ping(command["to"], timeout=10)
                say("answer", to="ping", ok=True)
            except slixmpp.exceptions.IqError as error:
                say("answer", to="ping", ok=False, condition=error.condition)
        elif name == "disco":
            try:
                info = await self["xep_0030"].get_info(jid=command["to"], timeout=10)
                inner = info["disco_info"]
                say("answer", to="disco", ok=True, features=sorted(inner["features"]),
                    identities=[list(i) for i in inner["identities"]])
            except slixmpp.exceptions.IqError as error:
                say("answer", to="disco", ok=False, condition=error.condition)
        elif name == "version":
            try:
                info = await self["xep_0092"].get_version(command["to"], timeout=10)
                say("answer", to="version", ok=True, name=info["software_version"]["name"])
            except slixmpp.exceptions.IqError as error:
                say("answer", to="version", ok=False, condition=error.condition)
        elif name == "quit":
            await self.disconnect()


async def commands(client):
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_event_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    under_way = set()
    while line := await reader.readline():
        task = asyncio.ensure_future(client.obey(json.loads(line)))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    client.abort()


def main():
    jid, password, host, port = sys.argv[1:5]
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    client = Client(jid, password)
    client["feature_mechanisms"].unencrypted_plain = True
    client.connect((host, int(port)), disable_starttls=True)
    reading = client.loop.create_task(commands(client))  # held: the loop keeps only a weak reference to it
    client.process(forever=True)
    reading.cancel()


main()

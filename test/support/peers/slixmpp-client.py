"""A slixmpp client for tests: one JSON object per line on standard output, one command per line on standard input."""
import asyncio
import base64
import hashlib
import json
import logging
import sys

import slixmpp
from slixmpp.xmlstream import tostring
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password, options):
        super().__init__(jid, password)
        self.options = options
        # Who may watch is for the test to say.
        self.roster.auto_authorize = None
        self.roster.auto_subscribe = False
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0092")
        self.register_plugin("xep_0199")
        self.register_plugin("xep_0359")
        if options.get("gateway"):
            for plugin in ("xep_0004", "xep_0012", "xep_0050", "xep_0054", "xep_0059", "xep_0060", "xep_0077",
                           "xep_0084", "xep_0153", "xep_0202"):
                self.register_plugin(plugin)
            self["xep_0030"].add_feature("http://jabber.org/protocol/rosterx")
            self.register_handler(Callback("suggestions", MatchXPath(
                "{jabber:client}message/{http://jabber.org/protocol/rosterx}x"), self.received))
        if options.get("pep"):
            for plugin in ("xep_0080", "xep_0107", "xep_0108", "xep_0115", "xep_0163", "xep_0172"):
                self.register_plugin(plugin)
            for event in ("user_mood", "user_activity", "user_location", "user_nick"):
                self.add_event_handler(event + "_publish", lambda message, what=event: self.told(what, message))
        self.register_handler(Callback("all presence", MatchXPath("{jabber:client}presence"), self.seen))
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("failed_auth", lambda _: say("refused"))
        self.add_event_handler("disconnected", lambda _: say("disconnected"))
        self.add_event_handler("message", self.received)
        self.add_event_handler("message_error", self.received)

    async def started(self, _):
        await self.get_roster()
        if self.options.get("pep"):
            await self["xep_0115"].update_caps(broadcast=False)
        if self.options.get("available", True):
            self.send_presence()
        say("online", jid=str(self.boundjid))

    def seen(self, presence):
        fields = {
            "from": str(presence["from"]),
            "to": str(presence["to"]),
            "type": presence.xml.get("type", "available"),
            "show": presence["show"],
            "statuses": {
                status.get(XML_LANG, ""): status.text or ""
                for status in presence.xml.findall("{jabber:client}status")
            },
            "priority": int(presence["priority"]),
            "xml": tostring(presence.xml),
        }
        if fields["type"] == "error":
            fields["condition"] = presence["error"]["condition"]
        say("presence", **fields)

    def told(self, what, message):
        items = message.xml.findall(".//{http://jabber.org/protocol/pubsub#event}item/*")
        say("pep", what=what, **{"from": str(message["from"]), "xml": tostring(items[0]) if items else ""})

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
        elif name == "presence":
            self.show(command)
        elif name == "roster":
            # Without a version, which would bring changes alone.
            question = self.make_iq_get()
            question.enable("roster")
            answer = await question.send()
            say("answer", to="roster", ok=True, items=[
                {"jid": str(jid), "subscription": item["subscription"], "ask": item["ask"]}
                for jid, item in answer["roster"]["items"].items()
            ])
        elif name == "remove":
            await self.del_roster_item(command["to"])
            say("answer", to="remove", ok=True)
        elif name == "pep":
            try:
                await self.publish(command)
                say("answer", to="pep", ok=True)
            except slixmpp.exceptions.IqError as error:
                say("answer", to="pep", ok=False, condition=error.condition)
        elif name in ASKING:
            try:
                say("answer", to=name, ok=True, facts=await ASKING[name](self, command))
            except slixmpp.exceptions.IqError as error:
                say("answer", to=name, ok=False, condition=error.condition)
            except Exception as error:
                say("answer", to=name, ok=False, condition=repr(error))
        elif name == "quit":
            await self.disconnect()

    def show(self, command):
        presence = self.make_presence(pto=command.get("to"), ptype=command.get("type"))
        if command.get("show"):
            presence["show"] = command["show"]
        if "priority" in command:
            presence["priority"] = command["priority"]
        for language, text in command.get("statuses", {}).items():
            status = slixmpp.xmlstream.ET.SubElement(presence.xml, "{jabber:client}status")
            status.text = text
            if language:
                status.set(XML_LANG, language)
        presence.send()

    def publish(self, command):
        what = command["what"]
        if what == "mood":
            return self["xep_0107"].publish_mood(command["value"], command.get("text"))
        if what == "activity":
            return self["xep_0108"].publish_activity(command["value"], command.get("specific"), command.get("text"))
        if what == "location":
            return self["xep_0080"].publish_location(**command["value"])
        return self["xep_0172"].publish_nick(command["value"])


async def vcard(client, command):
    answer = await client["xep_0054"].get_vcard(command["to"], timeout=10)
    card = answer["vcard_temp"]
    photo = card["PHOTO"]["BINVAL"]
    return {"name": card["FN"], "email": card.xml.findtext(".//{vcard-temp}USERID"),
            "photo": base64.b64encode(photo).decode() if photo else ""}


async def avatar(client, command):
    items = await client["xep_0060"].get_items(command["to"], "urn:xmpp:avatar:metadata", timeout=10)
    info = items["pubsub"]["items"]["item"].xml.find(".//{urn:xmpp:avatar:metadata}info")
    data = await client["xep_0084"].retrieve_avatar(command["to"], info.get("id"), timeout=10)
    picture = data["pubsub"]["items"]["item"]["avatar_data"]["value"]
    return {"id": info.get("id"), "sha1": hashlib.sha1(picture).hexdigest()}


async def last(client, command):
    answer = await client["xep_0012"].get_last_activity(command["to"], timeout=10)
    return {"seconds": int(answer["last_activity"]["seconds"])}


async def time(client, command):
    answer = await client["xep_0202"].get_entity_time(command["to"], timeout=10)
    # Its own reader takes no `Z`.
    return {"utc": answer.xml.findtext(".//{urn:xmpp:time}utc")}


async def items(client, command):
    answer = await client["xep_0030"].get_items(jid=command["to"], node=command.get("node"), timeout=10)
    return {"items": [[str(jid), node, name] for jid, node, name in answer["disco_items"]["items"]]}


async def adhoc(client, command):
    """Carries a command out, giving each stage the next of `values`: [variable, value], or `prev` or `cancel`."""
    stages = []
    session, payload, action = None, None, "execute"
    values = list(command.get("values", []))
    while True:
        answer = await client["xep_0050"].send_command(
            command["to"], command["node"], action=action, payload=payload, sessionid=session, timeout=10)
        reply = answer["command"]
        session = reply["sessionid"]
        form = reply.xml.find("{jabber:x:data}x")
        fields = [] if form is None else form.findall("{jabber:x:data}field")
        stages.append({
            "status": reply["status"],
            "fields": [field.get("var") for field in fields],
            "texts": [value.text for field in fields for value in field.findall("{jabber:x:data}value")],
        })
        if reply["status"] != "executing" or not values:
            return {"stages": stages}
        value = values.pop(0)
        if isinstance(value, str):
            payload, action = None, value
        else:
            payload = client["xep_0004"].make_form(ftype="submit")
            payload.add_field(var=value[0], value=value[1])
            action = "next"


async def register(client, command):
    question = client.make_iq_get(ito=command["to"])
    question.enable("register")
    before = await question.send(timeout=10)
    registered = before["register"].xml.find("{jabber:iq:register}registered") is not None
    change = client.make_iq_set(ito=command["to"])
    change.enable("register")
    if command.get("remove"):
        change["register"]["remove"] = True
    await change.send(timeout=10)
    return {"registered": registered}


ASKING = {"vcard": vcard, "avatar": avatar, "last": last, "time": time, "items": items, "adhoc": adhoc,
          "register": register}


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
    jid, password, host, port, options = sys.argv[1:6]
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    client = Client(jid, password, json.loads(options))
    client["feature_mechanisms"].unencrypted_plain = True
    client.connect((host, int(port)), disable_starttls=True)
    reading = client.loop.create_task(commands(client))  # held: the loop keeps only a weak reference to it
    client.process(forever=True)
    reading.cancel()


main()

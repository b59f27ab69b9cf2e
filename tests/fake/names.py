#!/usr/bin/env python3
"""names: a name server that misbehaves on order.

	names.py FILE ADDRESS...

It answers on port 53 of each ADDRESS, over UDP and TCP.  FILE says how, one
line for a name and type of record, and is read again for each question, so
that a test can change its mind.  The first line that fits counts; where none
does, there is no such name.

	NAME TYPE WORD...

NAME is a whole name or *; TYPE is A, AAAA or *; a WORD is

	an address		of a record; those of the other family are left out
	cname=NAME		an alias in front of them
	ttl=SECONDS		of all records; 60 when not given
	after=MS		how late the answer is
	silent			no answer
	nxdomain, servfail, refused, formerr, notimp
				the code of the answer
	id			the answer is to another question, by its number
	question		... by what it says was asked
	garbage			bytes instead of an answer, but its number is right
	half			the answer breaks off in the middle
	truncated		over UDP: nothing but "ask over TCP"
	tcp-silent		over TCP: no answer
	on=ADDRESS		the line is for questions to this address only

A line without words is for a name without such records.

One line per question goes to standard output: "udp A db.test 10.0.0.1", the
last being the address that was asked.
"""
import asyncio
import ipaddress
import struct
import sys

TYPES = {1: "A", 28: "AAAA"}
CODES = {"formerr": 1, "servfail": 2, "nxdomain": 3, "notimp": 4, "refused": 5}
TYPE_CNAME, CLASS_IN = 5, 1
QR_RD_RA, TRUNCATED = 0x8180, 0x0200
POINTER_TO_QUESTION = b"\xc0\x0c"


def read_name(packet, at):
    labels = []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1"))
        at += 1 + packet[at]
    return ".".join(labels).lower(), at + 1


def write_name(name):
    labels = name.rstrip(".").encode("latin-1").split(b".")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def words_for(path, name, kind, address):
    """The words of the line that fits; None: there is no such name."""
    with open(path) as lines:
        for line in lines:
            fields = line.split()
            if not fields or fields[0] not in (name, "*"):
                continue
            if fields[1] not in (kind, "*"):
                continue
            on = [w for w in fields if w.startswith("on=")]
            if on and "on=" + address not in on:
                continue
            return fields[2:]
    return None


def addresses(words, kind):
    for word in words:
        try:
            address = ipaddress.ip_address(word)
        except ValueError:
            continue
        if (address.version == 6) == (kind == "AAAA"):
            yield address.packed


def value(words, key, otherwise):
    for word in words:
        if word.startswith(key + "="):
            return word[len(key) + 1:]
    return otherwise


def make_answer(query, words, tcp):
    """The answer to a question for which the file has these words."""
    number, _, questions = struct.unpack("!HHH", query[:6])
    name, end = read_name(query, 12)
    kind, = struct.unpack("!H", query[end:end + 2])
    question = query[12:end + 4]
    flags, records, count = QR_RD_RA, b"", 0
    owner, ttl = POINTER_TO_QUESTION, int(value(words, "ttl", "60"))

    if "truncated" in words and not tcp:
        flags |= TRUNCATED
        words = []
    for word in words:
        flags |= CODES.get(word, 0)
    if "id" in words:
        number ^= 0x5555
    if "question" in words:
        question = write_name("other." + name) + query[end:end + 4]
    alias = value(words, "cname", None)
    if alias:
        target = write_name(alias)
        records += owner + struct.pack("!HHIH", TYPE_CNAME, CLASS_IN, ttl,
                                       len(target)) + target
        owner = target
        count += 1
    for packed in addresses(words, TYPES.get(kind, "")):
        records += owner + struct.pack("!HHIH", kind, CLASS_IN, ttl,
                                       len(packed)) + packed
        count += 1
    answer = struct.pack("!HHHHHH", number, flags, questions, count, 0, 0)
    answer += question + records
    if "garbage" in words:
        answer = query[:2] + b"\xff" * 60
    if "half" in words:
        answer = answer[:len(answer) - len(records) // 2 - 1]
    return answer


class Server:
    def __init__(self, path, address):
        self.path = path
        self.address = address

    def hear(self, query, send, tcp):
        """Takes note of a question and has it answered."""
        if len(query) < 17:
            return
        name, end = read_name(query, 12)
        kind, = struct.unpack("!H", query[end:end + 2])
        kind = TYPES.get(kind, str(kind))
        print("tcp" if tcp else "udp", kind, name, self.address, flush=True)
        words = words_for(self.path, name, kind, self.address)
        if words is None:
            words = ["nxdomain"]
        if "silent" in words or (tcp and "tcp-silent" in words):
            return
        answer = make_answer(query, words, tcp)
        late = int(value(words, "after", "0")) / 1000
        asyncio.get_running_loop().call_later(late, send, answer)

    async def on_tcp(self, reader, writer):
        def send(answer):
            writer.write(struct.pack("!H", len(answer)) + answer)

        try:
            while True:
                size, = struct.unpack("!H", await reader.readexactly(2))
                self.hear(await reader.readexactly(size), send, True)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class Udp(asyncio.DatagramProtocol):
    def __init__(self, server):
        self.server = server

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, peer):
        self.server.hear(query, lambda answer:
                         self.transport.sendto(answer, peer), False)

    def error_received(self, exc):
        """The client is gone: ignored."""


async def main(path, where):
    loop = asyncio.get_running_loop()
    for address in where:
        server = Server(path, address)
        # TCP first: a client that finds the UDP port open may use both.
        await asyncio.start_server(server.on_tcp, address, 53)
        await loop.create_datagram_endpoint(lambda s=server: Udp(s),
                                            local_addr=(address, 53))
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], sys.argv[2:]))

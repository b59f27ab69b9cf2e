"""Peers that lie at random, for stress/fuzz_peers.py.

    liars.py DIRECTORY SEED CERTIFICATE KEY CHAIN RECORDING CA-FILE

Writes DIRECTORY/liars.conf, with a check of each peer, and DIRECTORY/liars.log.
The peers tell the truth until SIGUSR1, and again after SIGUSR2; each signal is
logged when all older connections are closed.  CHAIN begins with CERTIFICATE and
is long; RECORDING is what a Service Bus sends.

Each connection begins as one with the real server would.  At a step that is
drawn from the seed, the kind and the number of the connection, the peer goes
over to one of the tricks below and stays with it until the program has closed
the connection, or LIFE seconds are over.  The step may also lie behind the
first answers, so that connections are idle when it comes.

A check that was told the whole truth may be green: this is logged, with its
time, before the last bytes of an answer are sent.  A trick never tells it.

A connection has a thread of its own and memory for some hundred KB.
"""

import os
import random
import select
import signal
import socket
import ssl
import struct
import sys
import threading
import time

LIFE = 6.0  # of a connection that lies
CONNECTIONS_MAX = 200
CHUNK = 64 * 1024
HONEST = 1 << 30  # a step that never comes


class Over(Exception):
    """The connection has ended, whichever side closed it."""


def linger():
    """A descriptor whose last close waits for five seconds."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ours = socket.create_connection(listening.getsockname())
    theirs, _ = listening.accept()
    listening.close()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(CHUNK))
    except BlockingIOError:
        pass
    ours.setblocking(True)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    return ours, theirs


# ---- what the tricks send, by what it is sent as


def tls_record(kind, body, version=b"\x03\x03"):
    return bytes([kind]) + version + struct.pack("!H", len(body)) + body


def pg_message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def pg_announced(kind, length):
    return kind + struct.pack("!I", length)


def amqp_frame(performative, channel=0, kind=2):
    return struct.pack("!IBBH", len(performative) + 8, 2, kind - 2, channel) + performative


def amqp_list(code, body, count):
    return (b"\0\x53" + bytes([code]) + b"\xd0"
            + struct.pack("!II", len(body) + 4, count) + body)


# Each: (first, again): sent once, and then again and again; b"": silence.
TLS_TRICKS = [
    (b"", tls_record(22, b"\0\0\0\0")),  # HelloRequest, RFC 5246 7.4.1.1
    (b"", tls_record(22, b"\0")),
    (b"", tls_record(22, b"")),
    (b"", tls_record(21, b"\x01\x5a")),  # user_canceled
    (b"", tls_record(21, b"\x01\x64")),  # no_renegotiation
    (b"", tls_record(20, b"\x01")),
    (b"", tls_record(23, b"")),
    (b"", tls_record(23, bytes(64))),
    (tls_record(22, b"\x02\xff\xff\xff"), tls_record(22, bytes(16384))),
    (tls_record(22, b"\x0b\xff\xff\xff"), tls_record(22, b"\0")),
    (b"\x16\x03\x03\xff\xff", bytes(4096)),
    (b"\x80\xff\x01\x03\x03", bytes(64)),
    (tls_record(21, b"\x02\x28"), b""),
    (tls_record(21, b"\x01\x00"), b""),
    (tls_record(24, b"\x01\xff\xff" + bytes(16)), tls_record(24, bytes(20))),
    (b"", tls_record(99, bytes(100))),
]

PG_TRICKS = [
    (b"", pg_message(b"R", struct.pack("!I", 3))),
    (b"", pg_message(b"R", struct.pack("!I", 5) + b"salt")),
    (b"", pg_message(b"R", struct.pack("!I", 7))),
    (pg_message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"),
     pg_message(b"R", struct.pack("!I", 11) + b"r=x,s=c2FsdA==,i=2147483647")),
    (b"", pg_message(b"S", b"a\0b\0")),
    (b"", pg_message(b"N", b"SNOTICE\0Mnothing\0\0")),
    (b"", pg_message(b"E", b"SERROR\0CXX000\0Mno\0\0")),
    (b"", pg_message(b"A", struct.pack("!I", 1) + b"channel\0payload\0")),
    (b"", pg_message(b"Z", b"X")),
    (b"", pg_message(b"K", bytes(8))),
    (b"", pg_message(b"I")),
    (b"", pg_message(b"s")),
    (b"", pg_message(b"G", b"\0\0\0")),
    (pg_message(b"H", b"\0\0\0"), pg_message(b"d", bytes(100))),
    (pg_message(b"W", b"\0\0\0"), pg_message(b"d", b"")),
    (b"", pg_message(b"v", struct.pack("!II", 3, 0x7fffffff))),
    (b"", pg_message(b"V", struct.pack("!I", 0xffffffff))),
    (pg_announced(b"D", 0x3fffffff), bytes(4096)),
    (pg_announced(b"E", 0x7fffffff), b"SERROR\0"),
    (pg_announced(b"S", 0xffffffff), b"x"),
    (pg_announced(b"R", 0), b""),
    (pg_announced(b"T", 3), b"\0"),
    (pg_message(b"T", b"\xff\xff"), bytes(100)),
    (pg_message(b"T", b"\0\1a\0" + bytes(18)),
     pg_message(b"D", b"\0\1\0\0\0\1x")),
    (pg_message(b"T", b"\0\1a\0" + bytes(18)),
     pg_message(b"D", b"\0\1\x7f\xff\xff\xff")),
    (b"", pg_message(b"T", b"\0\0")),
    (b"", b"EFATAL: an error of old\0"),
]

REDIS_TRICKS = [
    (b"", b"*1\r\n"),
    (b"*2147483647\r\n", b":1\r\n"),
    (b"*-9223372036854775808\r\n", b""),
    (b"$536870912\r\n", bytes(4096)),
    (b"$-2\r\n", b""),
    (b"", b"|1\r\n+a\r\n+b\r\n"),
    (b"", b">2\r\n+message\r\n+x\r\n"),
    (b"%1000000\r\n", b"+a\r\n"),
    (b"~1000000\r\n", b"_\r\n"),
    (b"$?\r\n", b";4\r\nabcd\r\n"),
    (b"", b"-ERR no\r\n"),
    (b"", b"-LOADING not yet\r\n"),
    (b"", b":9223372036854775807\r\n"),
    (b"+", b"PONG"),
    (b"(", b"9"),
    (b"", b"\r\n"),
    (b"=15\r\ntxt:", b"x"),
]

HTTP_OK = b"HTTP/1.1 200 OK\r\n"
HTTP_TRICKS = [
    (HTTP_OK, b"X: y\r\n"),
    (HTTP_OK, b" folded\r\n"),
    (HTTP_OK, b"Set-Cookie: a=b\r\n"),
    (HTTP_OK + b"X: ", b"y"),
    (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", bytes(64)),
    (HTTP_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    (HTTP_OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"extension=x;"),
    (HTTP_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    (HTTP_OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", b"x"),
    (HTTP_OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"Trailer: x\r\n"),
    (HTTP_OK + b"Transfer-Encoding: gzip, gzip, gzip, chunked\r\n\r\n", b"1\r\n\x1f\r\n"),
    (HTTP_OK + b"Transfer-Encoding: deflate\r\n\r\n", b"\0\0\0\xff\xff"),
    (HTTP_OK + b"Content-Encoding: gzip\r\n\r\n", b"\x1f\x8b\x08\0"),
    (HTTP_OK + b"Content-Length: 9223372036854775807\r\n\r\n", b"x"),
    (HTTP_OK + b"Content-Length: 99999999999999999999\r\n\r\n", b"x"),
    (HTTP_OK + b"Content-Length: 60000\r\n\r\n[", b""),
    (b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", b"x"),
    (b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    (b"HTTP/1.1 500 No\r\n\r\n", b"x"),
    (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", b""),
    (b"HTTP/1.1 999 ", b"x"),
    (b"HTTP/9.9 200 OK\r\n\r\n", b"x"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes(9)),
    (b"ICY 200 OK\r\n\r\n", b"x"),
    (b"", b"\r\n"),
]

# Whole answers that say something else than what was asked for.
HTTP_BODIES = [
    b"[" * 60000,
    b"[" * 30000 + b"]" * 30000,
    b'{"a":' * 10000 + b"1" + b"}" * 10000,
    b'{"status":"' + b"\\u0000" * 9000 + b'"}',
    b"[" + b"1," * 30000 + b"1]",
    b'{"status":' + b"9" * 60000 + b"}",
    b'{"status":"no","status":"no"}',
    b"",
    bytes(1 << 20),
]

AMQP_TRICKS = [
    (b"", amqp_frame(b"")),
    (b"", b"\0\0\0\x0c\x03\0\0\0\0\0\0\0"),
    (b"\xff\xff\xff\xff\x02\0\0\0", bytes(4096)),
    (b"\0\0\0\0\x02\0\0\0", b""),
    (b"\0\0\0\x08\xff\0\0\0", b""),
    (b"", b"AMQP\0\1\0\0"),
    (b"", b"AMQP\3\1\0\0"),
    (b"", amqp_frame(amqp_list(0x42, b"\xa0\1x", 1), kind=3)),
    (b"", amqp_frame(amqp_list(0x41, b"\xa3\1x", 1), kind=3)),
    (b"", amqp_frame(amqp_list(0x44, b"\x50\3", 1), kind=3)),
    (b"", amqp_frame(amqp_list(0x11, b"\x60\0\0\x43\x70\x7f\xff\xff\xff\x70\x7f\xff\xff\xff", 4), 7)),
    (b"", amqp_frame(amqp_list(0x12, b"\xa1\1x\x43\x42", 3))),
    (b"", amqp_frame(amqp_list(0x13, b"\x43\x70\x7f\xff\xff\xff\x43\x43", 4))),
    (b"", amqp_frame(amqp_list(0x14, b"\x52\1\x43\xa0\1t\x43\x42\x41", 6) + b"x")),
    (b"", amqp_frame(amqp_list(0x14, b"\x52\1\x43\xa0\1t\x43\x42\x42", 6) + b"\0" * 400)),
    (b"", amqp_frame(amqp_list(0x15, b"\x41\x43\x70\xff\xff\xff\xff\x41", 4))),
    (b"", amqp_frame(amqp_list(0x15, b"\x42\x43\x70\x7f\xff\xff\xff\x41", 4))),
    (b"", amqp_frame(amqp_list(0x16, b"\x43\x41", 2))),
    (b"", amqp_frame(amqp_list(0x17, b"", 0))),
    (b"", amqp_frame(amqp_list(0x18, b"", 0))),
    (b"", amqp_frame(b"\0" * 4000)),
    (b"", amqp_frame(b"\0\x53\x10" + b"\xd0\0\0\x0f\xf0\0\0\0\1" * 400)),
    (b"", amqp_frame(b"\0\x53\x10\xd0\0\0\0\x08\x7f\xff\xff\xff")),
    (b"", amqp_frame(b"\0\x53\x12\xf0\0\0\0\x09\x7f\xff\xff\xff\x40")),
]

TRICKS = {"pg": PG_TRICKS, "redis": REDIS_TRICKS, "http": HTTP_TRICKS,
          "amqp": AMQP_TRICKS}


# ---- one connection


class Connection:
    """A connection, and the trick that is played on it."""

    def __init__(self, peer, stream, number):
        self.peer, self.stream, self.number = peer, stream, number
        self.random = random.Random("%s/%s/%d" % (peer.seed, peer.name, number))
        self.tls = self.tls_in = self.tls_out = None
        self.step = self.trick_at = 0
        self.buffer = b""
        self.script = bytearray()
        self.end = time.monotonic() + LIFE
        self.below = False  # is it played below TLS?
        self.tainted = False  # is something missing of the truth?
        self.what = "truth"
        self.lies = peer.lies
        if self.lies:
            self.trick_at = self.random.randrange(peer.steps * 3 // 2 + 1)
            self.below = peer.tls and self.random.random() < .5
            self.eager = self.random.random() < .3
        else:
            self.trick_at = HONEST
            self.end += 3600
            self.below = self.eager = False

    def note(self, words):
        self.peer.note(self, words)

    # -- bytes in and out

    def out(self, data):
        if len(self.script) < 200:
            self.script += data[:200]
        try:
            while data:
                if time.monotonic() > self.end:
                    raise Over
                data = data[self.stream.send(data):]
        except OSError:
            raise Over from None

    def write(self, data):
        """Through TLS where there is some."""
        self.out(self.seal(data) if self.tls else data)

    def seal(self, data):
        try:
            self.tls.write(data)
        except ssl.SSLError:
            raise Over from None
        return self.tls_out.read()

    def wire(self, data, final=0):
        """What is below TLS; final: from where on it tells the whole truth."""
        if data and self.below and self.is_due():
            self.play(data, final, self.out, TLS_TRICKS)
            return
        if final and not self.tainted:
            self.note("true")
        self.out(data)

    def say(self, data, final=0):
        """A message of the dialogue."""
        if not self.below and self.is_due():
            self.play(data, final, self.write, TRICKS[self.peer.kind])
            return
        if self.tls:
            data = self.seal(data)
            final = final and len(data) - 1
        self.wire(data, final)
        # At once, though it is not our turn.
        if self.eager and self.step == self.trick_at:
            self.step += 1
            if self.below:
                self.play(data, final, self.out, TLS_TRICKS)
            self.play(data, final, self.write, TRICKS[self.peer.kind])

    def is_due(self):
        self.step += 1
        return self.step - 1 == self.trick_at

    def receive(self):
        try:
            data = self.stream.recv(16384)
        except OSError:
            raise Over from None
        if not data or time.monotonic() > self.end:
            raise Over
        return data

    def read(self):
        """Some more bytes, which go to the buffer."""
        while True:
            if self.tls:
                try:
                    data = self.tls.read(16384)
                    if not data:
                        raise Over
                    self.buffer += data
                    return
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError:
                    raise Over from None
                self.tls_in.write(self.receive())
            else:
                self.buffer += self.receive()
                return

    def take(self, length):
        while len(self.buffer) < length:
            self.read()
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    def take_until(self, mark):
        while mark not in self.buffer:
            if len(self.buffer) > CHUNK:
                raise Over
            self.read()
        data, self.buffer = self.buffer.split(mark, 1)
        return data

    def handshake(self):
        context = (self.random.choice(self.peer.contexts) if self.lies
                   else self.peer.contexts[0])
        self.tls_in, self.tls_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self.tls_in, self.tls_out, server_side=True)
        # What has been read is a part of it.
        self.tls_in.write(self.buffer)
        self.buffer = b""
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.wire(self.tls_out.read())
                self.tls_in.write(self.receive())
            except ssl.SSLError:
                raise Over from None
        self.wire(self.tls_out.read())
        self.tls = tls

    # -- tricks

    def play(self, data, final, write, tricks):
        """Instead of this message, or in its middle; does not come back, except
        where only a descriptor or a message is out of place."""
        plays = [self.silence, self.deaf, self.repeat, self.confetti,
                 self.slow_repeat, self.trickle, self.cut, self.noise, self.flip]
        plays += [self.special] * 8
        # What has been sent already cannot be left out.
        if not self.eager:
            plays.append(self.skip)
        if self.peer.path:
            plays += [self.descriptor] * 6
        if self.peer.name in ("http_json", "http_contains") and write != self.out:
            plays += [self.other_body] * 4
        play = self.random.choice(plays)
        self.what = "%s at %d%s%s" % (play.__name__, self.trick_at,
                                      " below" if self.below else "",
                                      " eager" if self.eager else "")
        self.note("plays")
        if play == self.special:
            play(write, tricks)
        else:
            play(data, final, write)
        if play not in (self.skip, self.descriptor):
            raise Over

    def silence(self, *_):
        while True:
            self.receive()

    def deaf(self, *_):
        """Nothing is read, either."""
        gone = select.poll()
        gone.register(self.stream, select.POLLRDHUP)
        gone.poll(max(0, self.end - time.monotonic()) * 1000)

    def again(self, data, final, write, pause=0.0):
        """The same message without end; is it the truth?"""
        noted = 0.0
        while True:
            if final and not self.tainted and time.monotonic() - noted > .02:
                self.note("true")
                noted = time.monotonic()
            write(data)
            if pause:
                self.pass_time(pause)

    def pass_time(self, seconds):
        """Ends with the client."""
        gone = select.poll()
        gone.register(self.stream, select.POLLRDHUP)
        if gone.poll(seconds * 1000) or time.monotonic() > self.end:
            raise Over

    def repeat(self, data, final, write):
        self.again(data * max(1, 8192 // max(1, len(data))), final, write)

    def slow_repeat(self, data, final, write):
        self.again(data, final, write, self.random.uniform(.005, .1))

    def confetti(self, data, final, write):
        noted = 0.0
        while True:
            for i in range(len(data)):
                if final and not self.tainted and time.monotonic() - noted > .02:
                    self.note("true")
                    noted = time.monotonic()
                write(data[i:i + 1])
            if not data:
                raise Over

    def limit(self, data, final):
        return final or max(0, len(data) - 1)

    def trickle(self, data, final, write):
        for i in range(self.limit(data, final)):
            write(data[i:i + 1])
            self.pass_time(self.random.uniform(.01, .2))
        self.silence()

    def leave(self):
        how = self.random.choice(["close", "reset", "half", "silence"])
        self.what += ", " + how
        if how == "reset" and not self.peer.path:
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        elif how == "half":
            try:
                self.stream.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            self.silence()
        elif how == "silence":
            self.silence()

    def cut(self, data, final, write):
        write(data[:self.random.randint(0, self.limit(data, final))])
        self.leave()

    def noise(self, _data, _final, write):
        write(self.random.randbytes(self.random.choice([1, 100, 5000])))
        if self.random.random() < .5:
            chunk = self.random.randbytes(4096)
            while True:
                write(chunk)
        self.leave()

    def flip(self, data, final, write):
        wrong = bytearray(data[:self.limit(data, final)])
        for _ in range(self.random.choice([1, 1, 2, 8])):
            if wrong:
                wrong[self.random.randrange(len(wrong))] ^= (
                    1 << self.random.randrange(8))
        write(bytes(wrong))
        self.silence()

    def skip(self, _data, _final, _write):
        """The dialogue goes on without this message."""
        self.trick_at = HONEST

    def special(self, write, tricks):
        first, again = self.random.choice(tricks)
        self.what += " %r %r" % (first[:20], again[:20])
        if self.is_enough(first):
            self.note("true")
        write(first)
        if not again:
            self.leave()
            return
        if self.random.random() < .7:
            again *= max(1, 4096 // len(again))
        while True:
            write(again)

    def is_enough(self, head):
        """Good for a check that does not look at the body."""
        return (self.peer.kind == "http" and head.startswith(HTTP_OK)
                and b"\r\n\r\n" in head)

    def other_body(self, _data, _final, write):
        body = self.random.choice(HTTP_BODIES)
        self.what += " %r" % body[:10]
        write(HTTP_OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.leave()

    def descriptor(self, data, final, write):
        """Passed along with a part of the message; a Unix socket."""
        ours, theirs = (linger() if self.random.random() < .5 else
                        (open(os.devnull, "rb"), None))
        cut = self.random.randint(0, self.limit(data, final))
        try:
            if data[:cut]:
                write(data[:cut])
            socket.send_fds(self.stream, [data[cut:] or b"x"], [ours.fileno()])
        except OSError:
            raise Over from None
        finally:
            # The other side holds the last reference.
            if theirs:
                ours.setblocking(True)
                os.close(ours.detach())
                self.peer.keep(theirs)
            else:
                ours.close()
        self.tainted = True
        self.trick_at = HONEST

    # -- dialogues

    def pg(self):
        while True:
            length, what = struct.unpack("!II", self.take(8))
            if what == 80877103:
                if self.peer.tls:
                    self.out(b"S")
                    self.handshake()
                else:
                    self.say(b"N")
                continue
            if not 8 <= length <= 10000:
                raise Over
            self.take(length - 8)
            break
        if self.number % 2:
            self.say(pg_message(b"R", struct.pack("!I", 3)))
            self.pg_take()
        self.say(pg_message(b"R", bytes(4))
                 + pg_message(b"S", b"server_version\x0016.1\0"))
        self.say(pg_message(b"K", bytes(8)) + pg_message(b"Z", b"I"))
        while self.pg_take() == b"Q":
            self.say(pg_message(b"T", b"\0\1a\0" + bytes(18))
                     + pg_message(b"D", b"\0\1\0\0\0\1" b"1"))
            self.say(pg_message(b"C", b"SELECT 1\0") + pg_message(b"Z", b"I"), 4)

    def pg_take(self):
        kind, length = struct.unpack("!cI", self.take(5))
        if not 4 <= length <= 100000:
            raise Over
        self.take(length - 4)
        return kind

    def redis(self):
        while True:
            words = []
            for _ in range(int(self.take_until(b"\r\n")[1:])):
                words.append(self.take(int(self.take_until(b"\r\n")[1:])))
                self.take(2)
            if words[0] == b"GET":
                self.say(b"$-1\r\n", 4)
            elif words[0] == b"PING":
                self.say(b"+PONG\r\n", 6)
            else:
                self.say(b"+OK\r\n")

    def http(self):
        while True:
            head = self.take_until(b"\r\n\r\n")
            if head.startswith(b"CONNECT "):
                self.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self.handshake()
                continue
            body = b'{"object":"list","status":"fine","data":[]}'
            head = (HTTP_OK + b"Content-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(body))
            # A check that does not look at the body does not wait for it.
            self.say(head + body, len(head) - 1)

    def amqp(self):
        """As recorded, with the names of this client."""
        frames = self.peer.recorded
        names, seen = {}, {}
        self.take(8)
        self.say(frames["header 3"] + frames["mechanisms"])
        self.amqp_take()
        self.say(frames["outcome"])
        self.take(8)
        self.say(frames["header 0"])
        while True:
            channel, code, body = self.amqp_take()
            count = seen[code, channel] = seen.get((code, channel), -1) + 1
            if code == 0x12:
                start = body.index(b"\xa1") + 2
                name = body[start:start + body[start - 1]]
                if name.endswith(b"-1"):
                    names[channel] = name[:-2]
            key = (code, channel, count)
            if code == 0x14:
                self.amqp_answer(channel, count, names.get(channel, b""))
            elif code == 0x18:
                raise Over
            elif key in frames:
                self.say(self.amqp_named(frames[key], channel, names))
                if code == 0x12 and count == 1:
                    self.say(frames[0x13, channel, 0])

    def amqp_named(self, frame, channel, names):
        name = names.get(channel, b"")
        for old in RECORDED_NAMES:
            if len(old) == len(name):
                frame = frame.replace(old, name)
        return frame

    def amqp_answer(self, channel, count, name):
        frame = self.peer.recorded[0x14, channel, 0]
        frame = self.amqp_named(frame, channel, {channel: name})
        frame = frame.replace(b":2\0\x53\x74", b":%d\0\x53\x74" % (count + 2))
        # delivery-id and its tag
        frame = frame.replace(b"\x43\xa0\1t", b"\x52%c\xa0\1t" % count, 1)
        frame = frame.replace(b"\xc0\x08\4", b"\xc0\x09\4", 1)
        frame = struct.pack("!I", len(frame)) + frame[4:]
        self.say(frame, len(frame) - 1 if channel else 0)

    def amqp_take(self):
        length, offset, _, channel = struct.unpack("!IBBH", self.take(8))
        if not 8 <= length <= 100000:
            raise Over
        body = self.take(length - 8)
        return channel, body[2] if len(body) > 2 else 0, body

    def run(self):
        try:
            if self.peer.tls and self.peer.kind != "pg" and not self.peer.proxy:
                self.handshake()
            getattr(self, self.peer.kind)()
        except (Over, ValueError, IndexError, KeyError):
            pass
        finally:
            self.note("ends, sent %s" % bytes(self.script).hex())
            self.stream.close()


# ---- all of them


class Peer:
    """A server: where it listens, and what it pretends to be."""

    def __init__(self, name, kind, steps, tls=False, path=None, proxy=False):
        self.name, self.kind, self.steps = name, kind, steps
        self.tls, self.path, self.proxy = tls, path, proxy
        self.lies, self.log = False, -1
        self.count = 0
        self.open, self.lock, self.kept = set(), threading.Lock(), []
        if path:
            self.listening = socket.socket(socket.AF_UNIX)
            self.listening.bind(path)
            self.listening.listen(64)
        else:
            self.listening = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.port = self.listening.getsockname()[1]

    def note(self, connection, words):
        line = "%.4f %s %d %s: %s\n" % (time.monotonic(), self.name,
                                        connection.number, connection.what, words)
        os.write(self.log, line.encode())

    def keep(self, stream):
        """The other end of what lingers."""
        with self.lock:
            self.kept.append(stream)
            if len(self.kept) > 8:
                self.kept.pop(0).close()

    def start(self, seed, log, contexts, recorded):
        self.seed, self.log = seed, log
        self.contexts, self.recorded = contexts, recorded
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            stream, _ = self.listening.accept()
            if len(self.open) >= CONNECTIONS_MAX:
                stream.close()
                continue
            if not self.path:
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.count += 1
            with self.lock:
                connection = Connection(self, stream, self.count)
                self.open.add(connection)
            stream.settimeout(LIFE if connection.lies else None)
            threading.Thread(target=self.serve, args=(connection,),
                             daemon=True).start()

    def serve(self, connection):
        try:
            connection.run()
        finally:
            with self.lock:
                self.open.discard(connection)

    def turn(self, lies):
        """From now on, for new connections; those that are open are closed."""
        with self.lock:
            self.lies = lies
            for connection in self.open:
                connection.end = 0
                try:
                    connection.stream.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


# What the client of the recording called its links.
RECORDED_NAMES = [b"cbs-5a5a5a5a-5a5a-4a5a-9a5a-5a5a5a5a5a5a",
                  b"5a5a5a5a-5a5a-4a5a-9a5a-5a5a5a5a5a5a"]


def read_recording(path):
    """An honest dialogue of AMQP: its frames by (code, channel, how manieth)."""
    with open(path, "rb") as file:
        data = file.read()[2:]
    frames, count = {}, {}
    while data:
        if data.startswith(b"AMQP"):
            frames["header %d" % data[4]] = data[:8]
            data = data[8:]
            continue
        length, _, kind, channel = struct.unpack("!IBBH", data[:8])
        frame, data = data[:length], data[length:]
        code = frame[10]
        if kind:
            frames["mechanisms" if code == 0x40 else "outcome"] = frame
            continue
        number = count[code, channel] = count.get((code, channel), -1) + 1
        frames[code, channel, number] = frame
    return frames


def make_contexts(certificate, key, chain):
    contexts = []
    for newest, tickets, shown in ((ssl.TLSVersion.TLSv1_3, 2, certificate),
                                   (ssl.TLSVersion.TLSv1_2, 2, certificate),
                                   (ssl.TLSVersion.TLSv1_3, 3000, certificate),
                                   (ssl.TLSVersion.TLSv1_3, 0, chain)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = newest
        context.num_tickets = tickets
        context.load_cert_chain(shown, key)
        contexts.append(context)
    return contexts


# Each: its name, what it speaks, its settings, and about how many messages there
# are until its first answer is given; {port} and {path} are where it listens.
def make_peers(directory, ca_file):
    tls = "ca_file = " + ca_file
    http, pg, redis = "kind = http", "kind = postgres", "kind = redis"
    bus = ("kind = servicebus\nqueue = q\nconnection_string = Endpoint=sb://localhost:{port};"
           "SharedAccessKeyName=n;SharedAccessKey=aw==")
    peers = [
        ("pg", "pg", 5, {}, pg, "url = postgresql://u:p@127.0.0.1:{port}/d?sslmode=disable"),
        ("pg_prefer", "pg", 5, {"tls": True}, pg, "url = postgresql://u:p@127.0.0.1:{port}/d"),
        ("pg_require", "pg", 5, {"tls": True}, pg,
         "url = postgresql://u:p@127.0.0.1:{port}/d?sslmode=require"),
        ("pg_socket", "pg", 4, {"path": "/.s.PGSQL.5432"}, pg,
         "url = postgresql://u:p@/d?host=" + directory),
        ("redis", "redis", 3, {}, redis, "url = redis://:p@127.0.0.1:{port}/1"),
        ("rediss", "redis", 5, {"tls": True}, redis, "url = rediss://127.0.0.1:{port}", tls),
        ("redis_socket", "redis", 2, {"path": "/redis.liar"}, redis, "url = unix://{path}"),
        ("http", "http", 1, {}, http, "url = http://127.0.0.1:{port}/"),
        ("https", "http", 3, {"tls": True}, http, "url = https://127.0.0.1:{port}/", tls),
        ("http_json", "http", 1, {}, http, "url = http://127.0.0.1:{port}/", "json = status",
         "equals = fine"),
        ("http_contains", "http", 1, {}, http, "url = http://127.0.0.1:{port}/",
         "contains = fine"),
        ("http_socket", "http", 1, {"path": "/http.liar"}, http, "url = http://localhost/",
         "socket = {path}"),
        ("http_proxy", "http", 1, {}, http, "url = http://example.test/",
         "proxy = http://127.0.0.1:{port}"),
        ("https_proxy", "http", 4, {"tls": True, "proxy": True}, http,
         "url = https://localhost/", "proxy = http://127.0.0.1:{port}", tls),
        ("openai", "http", 1, {}, "kind = openai", "base_url = http://127.0.0.1:{port}",
         "api_key = k"),
        ("azure", "http", 3, {"tls": True}, "kind = azure-openai",
         "endpoint = https://127.0.0.1:{port}", "api_key = k", tls),
        ("bus", "amqp", 14, {}, bus + ";UseDevelopmentEmulator=true"),
        ("bus_tls", "amqp", 16, {"tls": True}, bus, tls),
    ]
    sections = []
    for name, kind, steps, how, *lines in peers:
        if how.get("path"):
            how["path"] = directory + how["path"]
        peer = Peer(name, kind, steps, **how)
        place = {"path": peer.path, "port": getattr(peer, "port", 0)}
        sections.append((peer, "[%s]\n%s\n" % (name, "\n".join(lines).format(**place))))
    return sections


def main():
    directory, seed, certificate, key, chain, recording, ca_file = sys.argv[1:]
    # The main thread takes them one after another.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])
    log = os.open(directory + "/liars.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    contexts = make_contexts(certificate, key, chain)
    recorded = read_recording(recording)
    sections = make_peers(directory, ca_file)
    for peer, _ in sections:
        peer.start(seed, log, contexts, recorded)
    with open(directory + "/liars.new", "w") as file:
        file.writelines(section for _, section in sections)
    os.rename(directory + "/liars.new", directory + "/liars.conf")
    while True:
        lies = signal.sigwait([signal.SIGUSR1, signal.SIGUSR2]) == signal.SIGUSR1
        for peer, _ in sections:
            peer.turn(lies)
        while any(connection.lies != lies for peer, _ in sections
                  for connection in list(peer.open)):
            time.sleep(.01)
        os.write(log, b"lies\n" if lies else b"truth\n")


main()

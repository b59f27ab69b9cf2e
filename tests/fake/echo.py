#!/usr/bin/env python3
"""echo: a server that repeats what it was sent.

    echo.py PORT [FILE]

It speaks as much of HTTP, of Redis' and of PostgreSQL's protocol as it takes
to be told a password, and repeats in its refusal all that it was sent: at the
beginning, in JSON, in a header, in the address of a redirect.  What it does
not understand it sends back as it is.  Below /answer/ it repeats in the ways
that other programs have (WAYS).

With FILE it understands nothing: it sends each client what follows the first
word of each line of FILE, where a test has put secrets.
"""

import base64
import html
import json
import socketserver
import struct
import sys
import urllib.parse

# How the last part of a path wants to be told.
WAYS = {
    'html': html.escape,
    'repr': ascii,
    'bytes': lambda told: repr(told.encode()),
    'twice': lambda told: urllib.parse.quote(urllib.parse.quote(told)),
    'sql': lambda told: told.replace("'", "''"),
    'hex': lambda told: told.encode().hex(),
    'utf16': lambda told: base64.b64encode(told.encode('utf-16le')).decode(),
    'tail': lambda told: told[-12:],
}


def http_answer(head):
    """What is asked for says how it is told."""
    lines = head.decode('utf-8', 'replace').split('\r\n')
    told = [line.split(': ', 1)[-1] for line in lines[1:]
            if line.lower().startswith(('proxy-auth', 'auth', 'api', 'x-',
                                        'cookie'))]
    where = lines[0].split(' ')[1]
    way = where.rsplit('/', 1)[1]
    if way in WAYS:
        return 200, json.dumps({'told': WAYS[way](' '.join(told))}), ''
    told = ' '.join(told + [where])
    if lines[0].startswith('CONNECT '):
        return 407, told, f'Proxy-Authenticate: Basic realm="{told}"\r\n'
    if '/redirect' in where:
        return 302, '', f'Location: http://other.example/?{told}\r\n'
    if '/answer' in where:
        return 200, json.dumps({'told': told, 'all': {'of': told}}), ''
    return 401, told, f'WWW-Authenticate: Basic realm="{told}"\r\n'


def postgres_error(text):
    """ErrorResponse: severity, SQLSTATE, message, detail."""
    fields = b''.join(kind + value + b'\0' for kind, value in (
        (b'S', b'FATAL'), (b'V', b'FATAL'), (b'C', b'28P01'),
        (b'M', b'no: ' + text), (b'D', text))) + b'\0'
    return b'E' + struct.pack('!i', len(fields) + 4) + fields


class Echo(socketserver.BaseRequestHandler):
    """One connection."""

    def http(self, data):
        """One request, whose header has begun."""
        while b'\r\n\r\n' not in data:
            data += self.more()
        status, body, header = http_answer(data)
        self.request.sendall(
            f'HTTP/1.1 {status} {body[:100]}\r\n{header}Connection: close\r\n'
            f'Content-Length: {len(body.encode())}\r\n\r\n{body}'.encode())

    def redis(self, data):
        """Redis quotes what it does not know."""
        while True:
            words = data.replace(b'\r\n', b' ')
            self.request.sendall(b'-ERR unknown command, with args beginning '
                                 b'with: ' + words + b'\r\n')
            data = self.more()

    def postgres(self, data):
        """Refuses TLS and GSS, wants the password in clear text."""
        while data[4:8] in (b'\x04\xd2\x16\x2f', b'\x04\xd2\x16\x30'):
            self.request.sendall(b'N')
            data = self.more()
        self.request.sendall(b'R' + struct.pack('!ii', 8, 3))
        told = self.more()[5:].rstrip(b'\0')
        self.request.sendall(postgres_error(told))

    def more(self):
        """What comes next; the end of the connection ends the handler."""
        data = self.request.recv(65536)
        if not data:
            raise ConnectionResetError
        return data

    def handle(self):
        try:
            if GARBAGE:
                self.request.sendall(GARBAGE)
                self.more()
                return
            data = self.more()
            if data[:1] == b'*':
                self.redis(data)
            elif data[:4] in (b'GET ', b'HEAD', b'CONN'):
                self.http(data)
            elif data[:2] == b'\0\0':
                self.postgres(data)
            else:
                self.request.sendall(data)
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    """Listens on loopback, and takes many at once."""
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


GARBAGE = b''
if len(sys.argv) > 2:
    with open(sys.argv[2], 'rb') as planted:
        GARBAGE = b''.join(line.split(b' ', 1)[1] for line in planted)

with Server(('127.0.0.1', int(sys.argv[1])), Echo) as server:
    server.serve_forever()

#!/usr/bin/env python3
"""leaks: looks for secrets.

    leaks.py PLANTED FILE...

PLANTED has a line for each secret: a name, a blank, and the secret.  Every
part of it that is long enough to be no accident is looked for in all FILEs, as
it stands, in base64 and in hexadecimal digits.  Secrets are random letters and digits with some
other characters between them, so how those are encoded does not matter.
Prints what was found and where; exits 1 then.
"""

import base64
import re
import sys

PART = 8
# So many characters of base64 hold more than what secrets have in common.
ENCODED_PART = 16


def parts(secret):
    """Everything that shows something of a secret."""
    texts = [(text, PART)
             for text in re.findall(rb'[0-9A-Za-z]{%d,}' % PART, secret)]
    for before in range(3):
        # The first and last characters also encode what stands around.
        encoded = base64.b64encode(b'x' * before + secret)
        texts.append((encoded[(before * 8 + 5) // 6:].rstrip(b'=')[:-1],
                      ENCODED_PART))
    texts.append((secret.hex().encode(), 2 * PART))
    wide = secret.decode('utf-8', 'surrogateescape').encode(
        'utf-16le', 'surrogatepass')
    texts.append((base64.b64encode(wide)[:-4], 2 * ENCODED_PART))
    for text, size in texts:
        for start in range(len(text) - size + 1):
            yield text[start:start + size]


def main():
    """Returns the exit status."""
    status = 0
    found = set()
    files = []
    for name in sys.argv[2:]:
        with open(name, 'rb') as file:
            files.append((name, file.read()))
    with open(sys.argv[1], 'rb') as planted:
        for line in planted:
            label, secret = line.rstrip(b'\n').split(b' ', 1)
            for part in parts(secret):
                for name, text in files:
                    at = text.find(part)
                    if at >= 0 and (label, name) not in found:
                        found.add((label, name))
                        near = text[max(0, at - 60):at + 40]
                        print(f'{label.decode()} in {name}: {near!r}')
                        status = 1
    return status


if __name__ == '__main__':
    sys.exit(main())

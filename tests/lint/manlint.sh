#!/bin/bash
# mandoc(1) finds nothing to warn of in the manuals.

cd "$(dirname "$0")/../.." || exit 1

if ! command -v mandoc >/dev/null; then
	echo "mandoc is not installed"
	exit 77
fi
for manual in man/*.[1-9]; do
	[ -r "$manual" ] || {
		echo "man: there is no manual"
		exit 1
	}
done
mandoc -Tlint -Wwarning man/*.[1-9]

#!/bin/bash
# Comments, messages and manuals say what does what, in the words of the field:
# phrases that made readers stumble stay out.
#
# english.sh [DIRECTORY]: looks at DIRECTORY instead.

cd "${1:-$(dirname "$0")/../..}" || exit 1

# A phrase in small letters, and what to write instead.
phrases='
who	the process, thread, peer or user
whoever	the process, thread, peer or user
whom	the process, thread, peer or user
nobody	no process, no thread, no peer
somebody	another process, thread or peer
anybody	any process, thread or peer
everybody	every caller
he	it
him	it
his	its
himself	itself
is none	is not one
are none	without any
was none	did not count
is no	is not a
are no	are not
were no	were not
to be had	available, or: can be created
for want of	out of, without
of use	used, useful
of no use	useless
of no more use	no longer needed
in vain	without success
come to an end	stop
comes to an end	stops
no telling	unknown
figures	digits, numbers
belongs into	goes into
belong into	go into
folder	directory
'

# shellcheck disable=SC2016 # for awk
bad=$(
	# Text files only; inputs of a fuzzer, old samples and logs are not prose.
	find src tests docs man README.md SECURITY.md CONTRIBUTING.md -type f \
		! -path '*/corpus/*' ! -path 'tests/upgrade/*' \
		! -name '*english.sh' ! -name '*.log' ! -name '*.trs' |
		LC_ALL=C sort | xargs -r grep -lI . |
		xargs -r awk -v phrases="$phrases" '
# Words and blanks only; sentences go over lines, and strings over literals.
function plain(text)
{
	gsub(/ is None/, "", text) # Python
	text = tolower(text)
	gsub(/\\[nrt]/, " ", text)
	gsub(/[^a-z_]+/, " ", text)
	return text
}

function look(now, after,	i, at, text)
{
	text = " " now " " after " "
	gsub(/ +/, " ", text)
	gsub(/ there (is|are|were) (no|none) /, " there exist not ", text)
	gsub(/ (is|are|were) no (longer|more) /, " lasts not ", text)
	for (i = 1; i <= n; i++) {
		at = index(text, " " phrase[i] " ")
		if (at && at <= length(now))
			printf "%s:%d: \"%s\"; say: %s\n", name, line, \
				phrase[i], instead[i]
	}
}

BEGIN {
	m = split(phrases, rows, "\n")
	for (i = 1; i <= m; i++)
		if (split(rows[i], columns, "\t") == 2) {
			phrase[++n] = columns[1]
			instead[n] = columns[2]
		}
}

FNR == 1 {
	if (name)
		look(before, "")
	name = FILENAME
	line = 0
	before = ""
}

{
	now = plain($0)
	if (line)
		look(before, now)
	before = now
	line = FNR
}

END {
	look(before, "")
}'
)
if [ -n "$bad" ]; then
	echo "$bad"
	exit 1
fi

#!/bin/bash
# The directories of src/ are layers: a file includes headers of its own directory
# and of directories above it in this table only.
#
# The words after a directory's name are its public headers; its other headers
# stay inside it.  A subdirectory (kinds/http) is a directory of its own in the
# same layer: it may include what is public in kinds/, and has no public headers.
#
# layers.sh [DIRECTORY]: looks at DIRECTORY/src instead.

cd "${1:-$(dirname "$0")/../..}" || exit 1

layers='
base	cidr clock failure helper log probe result text
conf	conf dialect
io	closer curlio dial loop offload resolve stream wire
check	admit check policy
kinds	kinds
board	board plan share share_watch
prober	prober
asker	asker
answer	answer route
front	listen oneshot responder
app
'

# What a library's headers begin with, and the directories that may include them.
libraries='
fcgi	front
fastcgi.h	front
libpq	kinds/postgres
hiredis/	kinds/redis
proton/	kinds/servicebus
ares	io
openssl/	base io kinds/http kinds/postgres kinds/servicebus app
curl/	io kinds/http
cjson/	kinds/http answer
zlib.h	kinds/http
'

# shellcheck disable=SC2016 # for awk
bad=$(find src -name '*.[ch]' | LC_ALL=C sort | xargs awk -v layers="$layers" \
	-v libraries="$libraries" '
function complain(text)
{
	printf "%s:%d: %s\n", FILENAME, FNR, text
}

function dir_of(path)
{
	return path ~ /\// ? substr(path, 1, match(path, /\/[^\/]*$/) - 1) : ""
}

function look_local(header,	dir, top)
{
	dir = dir_of(header)
	top = dir
	sub(/\/.*/, "", top)
	if (dir == own)
		return
	if (!(top in layer))
		complain(header " is in no directory of the table")
	else if (layer[top] > layer[own_top])
		complain(own " must not include " header ": " top \
			" is a later layer")
	else if (!(header in public))
		complain(header " is private to " dir)
}

function look_library(header,	i)
{
	for (i = 1; i <= n_libraries; i++) {
		if (index(header, library[i]) == 1 && \
		    !((i, own) in allowed)) {
			complain("<" header "> must not be included in " own)
			return
		}
	}
}

BEGIN {
	n = split(layers, rows, "\n")
	for (i = 1; i <= n; i++) {
		m = split(rows[i], words, " ")
		if (m == 0)
			continue
		layer[words[1]] = i
		for (j = 2; j <= m; j++)
			public[words[1] "/" words[j] ".h"] = 1
	}
	n = split(libraries, rows, "\n")
	for (i = 1; i <= n; i++) {
		m = split(rows[i], words, " ")
		if (m == 0)
			continue
		library[++n_libraries] = words[1]
		for (j = 2; j <= m; j++)
			allowed[n_libraries, words[j]] = 1
	}
	for (i = 1; i < ARGC; i++)
		ours[substr(ARGV[i], 5)] = 1
}

FNR == 1 {
	own = dir_of(substr(FILENAME, 5))
	own_top = own
	sub(/\/.*/, "", own_top)
	if (!(own_top in layer)) {
		complain(own ? own " is in no row of the table" \
			: "no file stands directly in src")
		nextfile
	}
}

/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
	header = $0
	sub(/^[^<"]*[<"]/, "", header)
	sub(/[>"].*$/, "", header)
	if (header == "config.h")
		next
	if (header in ours)
		look_local(header)
	else if ($0 ~ /include[ \t]*"/)
		complain("there is no src/" header)
	else
		look_library(header)
}
')

# tsort(1) names the members of a circle.
circle=$(
	find src -name '*.h' | while IFS= read -r header; do
		sed -n 's/^#[ \t]*include[ \t]*"\(.*\)".*/\1/p' "$header" |
			sed "s|^|${header#src/} |"
	done | tsort 2>&1 >/dev/null
)
[ -z "$circle" ] || bad="$bad
src: headers include each other in a circle:
$circle"

[ -z "$bad" ] || printf '%s\n' "$bad"
[ -z "$bad" ]

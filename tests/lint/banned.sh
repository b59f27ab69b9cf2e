#!/bin/bash
# Calls that overrun, depend on hidden state, or block: none of them in src/.
# Comments and strings do not count.

cd "$(dirname "$0")/../.." || exit 1

banned='
strcpy	does not know the size: snprintf()
strcat	does not know the size: snprintf()
stpcpy	does not know the size: snprintf()
strncpy	may leave the text open: snprintf()
strncat	is easily one byte too long: snprintf()
sprintf	does not know the size: snprintf()
vsprintf	does not know the size: vsnprintf()
gets	does not know the size
atoi	cannot report invalid input: strtol()
atol	cannot report invalid input: strtol()
atoll	cannot report invalid input: strtoll()
atof	cannot report invalid input: strtod()
strtok	keeps state for all threads: strsep()
localtime	keeps state for all threads: gmtime_r()
gmtime	keeps state for all threads: gmtime_r()
asctime	keeps state for all threads: strftime()
ctime	keeps state for all threads: strftime()
system	runs a shell
popen	runs a shell
alarm	is one for the whole process: a loop timer
sleep	blocks: a loop timer
usleep	blocks: a loop timer
getaddrinfo	blocks: resolve_start()
gethostbyname	blocks: resolve_start()
PQconnectdb	blocks: PQconnectStartParams()
PQconnectdbParams	blocks: PQconnectStartParams()
PQsetdbLogin	blocks: PQconnectStartParams()
PQexec	blocks: PQsendQuery()
PQexecParams	blocks: PQsendQueryParams()
PQcancel	blocks: PQfinish()
PQreset	blocks: PQfinish() and a new connection
redisConnect	blocks, and looks names up: stream_open()
redisConnectWithTimeout	blocks, and looks names up: stream_open()
redisConnectUnix	blocks: stream_open()
redisCommand	blocks: redisFormatCommandArgv()
redisGetReply	blocks: redisReaderGetReply()
curl_easy_perform	blocks: curlio_start()
curl_multi_wait	blocks: the loop does it
curl_multi_poll	blocks: the loop does it
'

# shellcheck disable=SC2016 # for awk
bad=$(find src -name '*.[ch]' | LC_ALL=C sort | xargs awk -v banned="$banned" '
# What is left of a line without comments, strings and characters.
function bare(line,	out, c, two)
{
	out = ""
	while (line != "") {
		c = substr(line, 1, 1)
		two = substr(line, 1, 2)
		if (inside) {
			if (two != "*/") {
				line = substr(line, 2)
				continue
			}
			inside = 0
			line = substr(line, 3)
			out = out " "
		} else if (two == "/*") {
			inside = 1
			line = substr(line, 3)
		} else if (two == "//") {
			break
		} else if (c == "\"" || c == "\047") {
			if (!match(line, c == "\"" ? string : character))
				RLENGTH = 1
			out = out c c
			line = substr(line, RLENGTH + 1)
		} else {
			out = out c
			line = substr(line, 2)
		}
	}
	return out
}

BEGIN {
	string = "^\"([^\"\\\\]|\\\\.)*\""
	character = "^\047([^\047\\\\]|\\\\.)*\047"
	n = split(banned, rows, "\n")
	for (i = 1; i <= n; i++) {
		if (split(rows[i], words, "\t") == 2)
			why[words[1]] = words[2]
	}
}

FNR == 1 {
	inside = 0
}

{
	line = bare($0)
	while (match(line, /[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
		call = substr(line, RSTART, RLENGTH - 1)
		line = substr(line, RSTART + RLENGTH)
		gsub(/[ \t]/, "", call)
		if (call in why)
			printf "%s:%d: %s() %s\n", FILENAME, FNR, call, why[call]
	}
}
')

[ -z "$bad" ] || printf '%s\n' "$bad"
[ -z "$bad" ]

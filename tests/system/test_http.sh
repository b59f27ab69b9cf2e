#!/bin/bash
# The kind http, on nginx and on peers that misbehave: status, body, TLS,
# redirects, connections that are kept, closed or silent.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need nginx jq openssl

# One server without TLS, and one for each certificate.
serve_pages() {
	: >"$scratch/nginx-server.conf"
	start_nginx <<-END
		default_type text/plain;
		server {
			access_log $scratch/log/access;
			listen 127.0.0.1:$http;
			listen unix:$scratch/http.sock;
			root $scratch/www;
			location = /ok { return 200 "all is well\n"; }
			location = /json {
				default_type application/json;
				return 200 '{"data": {"items": [{"state": "up", "n": 42, "long": 9007199254740993, "share": 100.0, "flag": true, "none": null}]}}';
			}
			location = /packed {
				gzip on;
				gzip_types *;
				gzip_min_length 1;
				default_type application/json;
				alias $scratch/www/packed.json;
			}
			location = /empty { return 204; }
			location = /moved { return 301 /ok; }
			location = /twice { return 302 /moved; }
			location = /round { return 307 /round; }
			location = /elsewhere { return 302 http://127.0.0.1:$refused/; }
			location = /unauthorized { return 401; }
			location = /forbidden { return 403; }
			location = /gone { return 404; }
			location = /many { return 429; }
			location = /broken { return 500 "Secret-said-by-the-server\n"; }
			location = /down { return 503; }
			location = /bearer {
				if (\$http_authorization != "Bearer Secret-bearer") { return 401; }
				return 200;
			}
			location = /basic {
				if (\$http_authorization != "Basic $(printf app:Secret-basic | base64)") { return 401; }
				return 200;
			}
			location = /header {
				if (\$http_x_token != "Secret-header") { return 401; }
				if (\$http_host != "pages.example") { return 400; }
				return 200;
			}
			location = /head {
				if (\$request_method != HEAD) { return 405; }
				return 200;
			}
		}
		server {
			listen 127.0.0.1:$short;
			keepalive_timeout 100ms;
			location / { return 200; }
		}
		$(for name in good other expired; do
			cat <<-SERVER
				server {
					listen 127.0.0.1:${!name} ssl;
					ssl_certificate $tls/$name.pem;
					ssl_certificate_key $tls/$name.key;
					location / { return 200; }
				}
			SERVER
		done)
	END
}

oneTimeSetUp() {
	make_certificates || return
	http=$(free_port)
	short=$(free_port)
	good=$(free_port)
	other=$(free_port)
	expired=$(free_port)
	refused=$(free_port)
	mkdir "$scratch/www"
	head -c 300000 /dev/zero | tr '\0' x >"$scratch/www/big"
	echo END >>"$scratch/www/big"
	jq -n '{state: "up", list: [range(500)], end: "of it"}' \
		>"$scratch/www/packed.json"
	serve_pages || return
	echo here >"$scratch/marker"
}

serve_server() {
	serve <<-END
		[page]
		kind = http
		url = http://127.0.0.1:$http/ok
		timeout = 500ms
		max_age = 0s
		$*
		[beside]
		kind = file
		path = $scratch/marker
		max_age = 0s
	END
	wait_for check_says page ok
}

# pages: reads "name|path|more keys, cut by ;" and prints checks
pages() {
	local name path keys

	while IFS='|' read -r name path keys; do
		printf '[%s]\nkind = http\nurl = http://127.0.0.1:%s%s\n%s\n' \
			"$name" "$http" "$path" "${keys//;/$'\n'}"
	done
}

test_healthy() {
	{
		pages <<-END
			plain|/ok|
			name|/ok|
			status_list|/down|status = 200-299,503
			status_range|/empty|status = 200-399
			redirect_expected|/moved|status = 301
			followed|/moved|follow = yes
			followed_twice|/twice|follow = yes
			contains|/ok|contains = all is
			contains_far|/big|contains = END;max_body = 1M
			json|/json|json = data.items[0].state
			json_string|/json|json = data.items[0].state;equals = up
			json_number|/json|json = data.items[0].n;equals = 42
			json_long|/json|json = data.items[0].long;equals = 9007199254740993
			json_share|/json|json = data.items[0].share;equals = 100
			packed|/packed|contains = of it;json = list[499];equals = 499
			json_true|/json|json = data.items[0].flag;equals = true
			cut|/big|max_body = 10
			head|/head|method = HEAD
			bearer|/bearer|bearer = Secret-bearer
			basic|/basic|user = app;password = Secret-basic
			header|/header|header = X-Token: Secret-header;header = Host: pages.example
		END
		cat <<-END
			[host]
			kind = http
			url = http://localhost:$http/ok
			[socket]
			kind = http
			url = http://pages.example/header
			socket = $scratch/http.sock
			header = X-Token: Secret-header
		END
	} >"$scratch/pages"
	serve <"$scratch/pages"
	probe /health/ready
	assert_status 200
	assert_whole
	assert_json '.checks | map(.healthy) | all' true
	assert_json '.checks | length' 23
	assert_no_secret Secret-
	# nginx sent less than the file to the check that accepts compression.
	assertTrue 'compressed' "awk '/ \/packed / && \$10 < 2000 { seen = 1 }
		END { exit !seen }' '$scratch/log/access'"
}

test_unhealthy() {
	local name code words

	{
		pages <<-END
			unexpected|/empty|
			moved|/moved|
			round|/round|follow = yes
			elsewhere|/elsewhere|follow = yes
			unauthorized|/unauthorized|
			wrong_bearer|/bearer|bearer = Secret-wrong
			wrong_basic|/basic|user = app;password = Secret-wrong
			forbidden|/forbidden|
			gone|/gone|
			many|/many|
			broken|/broken|
			down|/down|status = 200,404
			contains|/ok|contains = nothing of that kind
			contains_cut|/big|contains = END
			json|/json|json = data.items[1].state
			json_null|/json|json = data.items[0].none
			json_value|/json|json = data.items[0].state;equals = down
			json_long|/json|json = data.items[0].long;equals = 9007199254740992
			no_json|/ok|json = data
			json_cut|/big|json = data
		END
		cat <<-END
			[refused]
			kind = http
			url = http://127.0.0.1:$refused/
			[no_socket]
			kind = http
			url = http://localhost/
			socket = $scratch/nowhere.sock
		END
	} >"$scratch/pages"
	serve <"$scratch/pages"
	probe /health/ready
	assert_status 503
	assert_whole
	while IFS='|' read -r name code words; do
		assert_failed "$name" "$code" "$words"
	done <<-END
		unexpected|status|HTTP 204
		moved|status|HTTP 301
		round|status|too many redirects
		elsewhere|status|redirect to another host, port or scheme
		unauthorized|auth|HTTP 401
		wrong_bearer|auth|HTTP 401
		wrong_basic|auth|HTTP 401
		forbidden|auth|HTTP 403
		gone|status|HTTP 404
		many|throttled|HTTP 429
		broken|upstream|HTTP 500
		down|upstream|HTTP 503
		contains|mismatch|text not found in the answer
		contains_cut|mismatch|text not found in the first max_body bytes
		json|mismatch|no such value in the answer
		json_null|mismatch|no such value in the answer
		json_value|mismatch|another value in the answer
		json_long|mismatch|another value in the answer
		no_json|protocol|answer is not JSON
		json_cut|mismatch|answer is longer than max_body
		refused|refused|connection refused
		no_socket|connect|
	END
	assert_json '[.checks[].healthy] | any' false
	assertNotContains 'what the server said' "$body" Secret-
	assert_no_secret Secret-wrong
}

test_peers_that_misbehave() {
	local name code words

	{
		while IFS='|' read -r name words; do
			start_peer "peer_$name" < <(tr ';' '\n' <<<"$words")
			cat <<-END
				[$name]
				kind = http
				url = http://127.0.0.1:$peer_port/
				timeout = 700ms
			END
			case $name in
			half_json) echo 'json = a' ;;
			events | trickle | unseen) echo 'contains = ready' ;;
			esac
		done <<-'END'
			silent|silent
			no_answer|request;silent
			closes|request
			resets|request;reset
			half_header|request;send HTTP/1.1 200 OK\r\nContent-;silent
			cut_header|request;send HTTP/1.1 200 OK\r\nContent-
			half_body|request;send HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf;silent
			half_json|request;send HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a":;silent
			no_body|request;send HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n;silent
			events|request;send HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nready\n\r\n;silent
			trickle|request;send HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nready\n\r\n;drip 1\r\n.\r\n1\r\n.\r\n
			unseen|request;send HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwait\r\n;silent
			cut_body|request;send HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf
			cut_chunk|request;send HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf
			bad_chunk|request;send HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n
			drip|request;drip HTTP/1.1 200 OK\r\n\r\n
			garbage|request;send \x00\x01\x02\x03\r\n\r\n
			redis|request;send -ERR unknown command\r\n
			endless_header|request;send HTTP/1.1 200 OK\r\n;flood X-More: and more\r\n
			endless_body|request;send HTTP/1.1 200 OK\r\n\r\n;flood and more
			slow|request;wait 300;send HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n;silent
		END
		start_hole hole
		cat <<-END
			[hole]
			kind = http
			url = http://127.0.0.1:$peer_port/
			timeout = 700ms
		END
	} >"$scratch/peers"
	serve <"$scratch/peers"
	probe /health/ready
	assert_status 503
	assert_took 0 3500
	while IFS='|' read -r name code words; do
		assert_failed "$name" "$code" "$words"
	done <<-END
		silent|timeout|Timeout after 700ms
		no_answer|timeout|Timeout after 700ms
		closes|connect|connection closed before the answer was complete
		resets|connect|connection closed before the answer was complete
		half_header|timeout|Timeout after 700ms
		cut_header|connect|connection closed before the answer was complete
		half_json|timeout|Timeout after 700ms
		unseen|timeout|Timeout after 700ms
		no_body|upstream|HTTP 503
		cut_body|connect|connection closed before the answer was complete
		cut_chunk|connect|connection closed before the answer was complete
		drip|timeout|Timeout after 700ms
		garbage|protocol|answer is not HTTP
		redis|protocol|answer is not HTTP
		endless_header|protocol|header of the answer is too long
		hole|timeout|Timeout after 700ms
	END
	# All that the check looks at has arrived: it does not wait for the rest.
	assert_healthy endless_body
	for name in half_body events trickle; do
		assert_healthy "$name"
		assert_json ".checks.$name.latency_ms < 400" true
	done
	assert_json '.checks.no_body.latency_ms < 400' true
	assert_healthy slow
	assert_json '.checks.slow.latency_ms >= 290' true
	assert_json '.checks.bad_chunk.healthy' false
	assert_json '.checks.hole.step' connecting
	assert_json '.checks.no_answer.step' 'waiting for the answer'
	assert_json '.checks.half_json.step' 'reading the answer'
	assert_lively
	stop health
	for name in silent no_answer closes resets half_header cut_header \
		half_body half_json no_body events trickle unseen cut_body cut_chunk bad_chunk drip garbage redis \
		endless_header endless_body slow; do
		stop "peer_$name"
	done
	stop hole
}

test_restarted_server() {
	serve_server
	stop nginx
	probe /health/ready
	assert_status 503
	assert_failed page refused 'connection refused'
	assert_healthy beside
	assert_lively
	serve_pages || return
	probe /health/ready
	assert_status 200

	# No request came while it was away: not even one failure is seen.
	stop nginx KILL
	rm -f "$scratch/http.sock"
	serve_pages || return
	probe /health/ready
	assert_status 200
	assertEquals 'failures after the one that was seen' 1 \
		"$(new_log | grep -c 'warn: check=page')"
}

test_frozen_server() {
	serve_server
	freeze nginx
	probe /health/ready
	assert_status 503
	assert_took 490 750
	assert_failed page timeout 'Timeout after 500ms'
	assert_healthy beside
	assert_lively
	probe /health/ready
	assert_status 503
	assert_took 490 750
	thaw nginx
	probe /health/ready
	assert_status 200
}

# One connection for all questions; when the server closes it, no check fails.
test_kept_connections() {
	local round

	start_peer kept <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		loop
	END
	serve <<-END
		[kept]
		kind = http
		url = http://127.0.0.1:$peer_port/
		max_age = 0s
		[short]
		kind = http
		url = http://127.0.0.1:$short/
		max_age = 0s
	END
	for round in 1 2 3 4 5; do
		probe /health/ready
		assertEquals "question $round" 200 "$status"
	done
	# The first is from the test, which waited for it to listen.
	assertEquals 'connections' 2 "$(peer_count kept connection)"
	for round in 1 2 3 4 5; do
		pass_ms 150
		probe /health/ready/short
		assertEquals "after a pause, $round" 200 "$status"
	done
	assertFalse 'a failure in the log' "logged 'warn: check='"
	stop health
	stop kept
}

test_closed_behind_each_answer() {
	local round

	start_peer closing <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
	END
	serve <<-END
		[closing]
		kind = http
		url = http://127.0.0.1:$peer_port/
		max_age = 0s
	END
	for round in 1 2 3 4 5 6 7 8 9 10; do
		probe /health/ready
		assertEquals "question $round" 200 "$status"
	done
	stop health
	stop closing
}

# The server drops a kept connection when the question arrives: reset, closed in the
# middle of an answer, or with 408.  The check asks once more on a new connection.
test_kept_connection_is_given_up() {
	local name words ok='send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

	{
		while IFS='|' read -r name words; do
			start_peer "gone_$name" < <(tr ';' '\n' \
				<<<"request;$ok;request;$words")
			cat <<-END
				[$name]
				kind = http
				url = http://127.0.0.1:$peer_port/
				max_age = 0s
				[named_$name]
				kind = http
				url = http://localhost:$peer_port/
				max_age = 0s
			END
		done <<-'END'
			reset|reset
			closed|close
			half|send HTTP/1.1 200 OK\r\nContent-
			late|send HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n
		END
	} >"$scratch/peers"
	serve <"$scratch/peers"
	probe /health/ready
	assert_status 200
	probe /health/ready
	assert_status 200
	assertFalse 'a failure in the log' "logged 'warn: check='"

	# On a new connection the same is the answer; the check asks once.
	for name in reset closed half late; do
		sed -i 1,2d "$scratch/gone_$name.steps"
		: >"$scratch/log/gone_$name"
	done
	probe /health/ready
	assert_status 503
	assert_failed reset connect
	assert_failed closed connect
	assert_failed half connect
	assert_failed late status 'HTTP 408'
	for name in reset closed half late; do
		# Two checks: the kept connections of both, and a fresh one each.
		assertEquals "connections of $name" 2 \
			"$(peer_count "gone_$name" connection)"
	done
	stop health
	for name in reset closed half late; do
		stop "gone_$name"
	done
}

# A second answer that comes with the first is not the answer to the next question.
test_answer_without_a_question() {
	local before

	start_peer unasked <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		silent
		then
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		silent
	END
	serve <<-END
		[unasked]
		kind = http
		url = http://127.0.0.1:$peer_port/
		max_age = 0s
	END
	wait_for check_says unasked ok
	before=$(peer_count unasked request)
	kill -HUP "$(pid_of unasked)"
	wait_for has_turned unasked
	probe /health/ready
	assert_status 200
	assertEquals 'questions that the peer has taken' $((before + 1)) \
		"$(peer_count unasked request)"
	stop health
	stop unasked
}

# has_turned NAME: a peer, by SIGHUP
has_turned() {
	[ "$(peer_count "$1" changed)" -gt 1 ]
}

# The kept connection accepts the question and is silent: another one answers.
test_silent_connection_is_hedged() {
	start_peer stalled <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		request
		silent
	END
	serve <<-END
		[stalled]
		kind = http
		url = http://127.0.0.1:$peer_port/
		timeout = 1s
		max_age = 0s
	END
	wait_for answers /health/ready 200
	probe /health/ready
	assert_status 200
	assert_took 0 900
	assertFalse 'a failure in the log' "logged 'warn: check='"
	stop health
	stop stalled
}

# The second connection leads to an unhealthy server behind the same address: the
# answer of the first one, a little later, counts.
test_bad_answer_of_the_hedge() {
	start_peer balanced <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		request
		wait 650
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		silent
	END
	serve <<-END
		[balanced]
		kind = http
		url = http://127.0.0.1:$peer_port/
		timeout = 1s
		max_age = 0s
	END
	wait_for answers /health/ready 200
	printf '%s\n' request 'send HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n' \
		silent >"$scratch/balanced.steps"
	probe /health/ready
	assert_status 200
	assert_took 640 990
	# Both connections are silent or bad: the result is the answer, not a timeout.
	probe /health/ready
	assert_status 503
	assert_failed balanced upstream 'HTTP 503'
	assert_took 990 1300
	stop health
	stop balanced
}

test_tls() {
	serve <<-END
		[health]
		trusted = 127.0.0.1
		[name]
		kind = http
		url = https://localhost:$good/
		ca_file = $tls/ca.pem
		[dotted_name]
		kind = http
		url = https://localhost.:$good/
		ca_file = $tls/ca.pem
		[dotted_plain]
		kind = http
		url = http://localhost.:$http/ok
		[address]
		kind = http
		url = https://127.0.0.1:$good/
		ca_file = $tls/ca.pem
		[system]
		kind = http
		url = https://localhost:$good/
		[stranger]
		kind = http
		url = https://localhost:$good/
		ca_file = $tls/stranger.pem
		[other]
		kind = http
		url = https://localhost:$other/
		ca_file = $tls/ca.pem
		[expired]
		kind = http
		url = https://localhost:$expired/
		ca_file = $tls/ca.pem
		[no_tls]
		kind = http
		url = https://localhost:$http/
		ca_file = $tls/ca.pem
	END
	probe /health/ready
	assert_status 503
	assert_healthy name
	assert_healthy dotted_name
	assert_healthy dotted_plain
	assert_healthy address
	assert_failed system tls
	assert_failed stranger tls
	assert_failed other tls 'TLS: certificate is for another host'
	assert_failed expired tls 'TLS: certificate has expired'
	assertContains 'which certificate, and since when' \
		"$(json .checks.expired.detail)" \
		"port $expired: certificate has expired: certificate of /CN=localhost, valid from 20"
	assertContains 'the certificate of another host' \
		"$(json .checks.other.detail)" "port $other: hostname mismatch: certificate of /"
	assert_failed no_tls tls 'TLS: peer does not speak TLS'
	serve <<-END
		[page]
		kind = http
		url = https://localhost:$good/
		ca_file = $tls/ca.pem
		timeout = 500ms
		max_age = 0s
	END
	wait_for check_says page ok
	freeze nginx
	probe /health/ready
	assert_status 503
	assert_failed page timeout
	assert_took 490 750
	thaw nginx
	probe /health/ready
	assert_status 200
}

# A proxy in the environment of the web server is not used.
test_proxy_of_the_environment() {
	export http_proxy=http://127.0.0.1:$refused ALL_PROXY=http://127.0.0.1:$refused
	serve_server
	unset http_proxy ALL_PROXY
	probe /health/ready
	assert_status 200
}

# One question each round, however many requests there are.
test_questions() {
	local round

	serve <<-END
		[page]
		kind = http
		url = http://127.0.0.1:$http/ok
		max_age = 500ms
	END
	wait_for check_says page ok
	: >"$scratch/log/access"
	for round in 1 2 3 4 5; do
		pass_ms 600
		probe /health/ready -n 64
		assertEquals "round $round" "64 0" "$s200 $failed"
	done
	asked_five_times() {
		[ "$(grep -c 'GET /ok' "$scratch/log/access")" = 5 ]
	}
	assertTrue 'questions' 'wait_for asked_five_times'
}

. "$SHUNIT2"

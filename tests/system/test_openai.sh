#!/bin/bash
# The kinds openai and azure-openai: their requests, as a server sees them, and what
# its answers mean.
# shellcheck disable=SC2119,SC2120
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq nginx openssl

# A peer that logs its requests, and always gives the same answer.
ok='HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\r\n{"object": "list", "data":[]}'

# start_api NAME ANSWER
start_api() {
	start_peer "$1" <<-END
		request
		send $2
		loop
	END
}

# request_of NAME: the lines of the last request there, in a row
request_of() {
	awk '/^request /{text = ""} /^(request|header) /{
		sub(/^[a-z]+ /, ""); text = text $0 "\n"} END {printf "%s", text}' \
		"$scratch/log/$1"
}

# assert_asked NAME LINE...: each of them was a line of the request
assert_asked() {
	local name=$1 line

	shift
	for line in "$@"; do
		assertTrue "$name: '$line' in $(request_of "$name")" \
			"request_of $name | grep -qixF -- '$line'"
	done
}

test_what_is_asked() {
	local name

	start_api plain "$ok"
	plain=$peer_port
	start_api version "$ok"
	version=$peer_port
	start_api model 'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"id": "gpt-4o mini"}'
	model=$peer_port
	start_api azure "$ok"
	azure=$peer_port
	start_api azure_old "$ok"
	azure_old=$peer_port
	start_api azure_new "$ok"
	azure_new=$peer_port
	serve <<-END
		[plain]
		kind = openai
		base_url = http://127.0.0.1:$plain
		api_key = sk-Secret-plain
		organization = org-1
		project = proj-2
		[version]
		kind = openai
		base_url = http://127.0.0.1:$version/api/v1/
		api_key = sk-Secret-version
		[model]
		kind = openai
		base_url = http://127.0.0.1:$model
		api_key = sk-Secret-model
		model = gpt-4o mini
		[azure]
		kind = azure-openai
		endpoint = http://127.0.0.1:$azure/
		api_key = Secret-azure
		[azure_old]
		kind = azure-openai
		endpoint = http://127.0.0.1:$azure_old
		api_key = Secret-azure
		path = /openai/deployments
		api_version = 2023-03-15-preview
		[azure_new]
		kind = azure-openai
		endpoint = http://127.0.0.1:$azure_new
		api_key = Secret-azure
		path = /openai/v1/models
		api_version =
	END
	probe /health/ready
	assert_status 200
	assert_whole
	assert_json '.checks | map(.healthy) | all' true
	assert_asked plain 'GET /v1/models HTTP/1.1' \
		'Authorization: Bearer sk-Secret-plain' \
		'OpenAI-Organization: org-1' 'OpenAI-Project: proj-2' \
		"Host: 127.0.0.1:$plain"
	assert_asked version 'GET /api/v1/models HTTP/1.1'
	assert_asked model 'GET /v1/models/gpt-4o%20mini HTTP/1.1'
	assert_asked azure \
		'GET /openai/models?api-version=2024-10-21 HTTP/1.1' \
		'api-key: Secret-azure'
	assertNotContains 'a second credential' "$(request_of azure)" Bearer
	assert_asked azure_old \
		'GET /openai/deployments?api-version=2023-03-15-preview HTTP/1.1'
	assert_asked azure_new 'GET /openai/v1/models HTTP/1.1'
	assert_no_secret Secret-
	stop health
	for name in plain version model azure azure_old azure_new; do
		stop "$name"
	done
}

test_credentials_not_configured() {
	local name

	serve <<-END
		[key]
		kind = openai
		[key_empty]
		kind = openai
		api_key =
		[azure_key]
		kind = azure-openai
		endpoint = https://example.invalid
		[azure_endpoint]
		kind = azure-openai
		api_key = Secret-key
		[azure_both]
		kind = azure-openai
	END
	probe /health/ready
	assert_status 503
	assert_whole
	assert_took 0 200
	for name in key key_empty azure_key azure_endpoint azure_both; do
		assert_failed "$name" config 'credentials not configured'
	done
	assert_no_secret Secret-
	stop health
}

test_answers() {
	local name code words more answer

	{
		while IFS='|' read -r name more answer; do
			start_api "api_$name" "HTTP/1.1 $answer"
			cat <<-END
				[$name]
				kind = openai
				base_url = http://127.0.0.1:$peer_port
				api_key = sk-Secret-$name
				timeout = 1s
			END
			echo "$more"
			[ "$name" = model ] && continue
			cat <<-END
				[azure_$name]
				kind = azure-openai
				endpoint = http://127.0.0.1:$peer_port
				api_key = Secret-azure-$name
				timeout = 1s
			END
		done <<-'END'
			unauthorized||401 No\r\nContent-Length: 27\r\n\r\n{"error": "Secret-answered"}
			forbidden||403 No\r\nContent-Length: 2\r\n\r\n{}
			many||429 Slow\r\nRetry-After: 20\r\nContent-Length: 2\r\n\r\n{}
			broken||500 Oh\r\nContent-Length: 2\r\n\r\n{}
			down||503 Oh\r\nContent-Length: 0\r\n\r\n
			gone||404 No\r\nContent-Length: 2\r\n\r\n{}
			model|model = gpt-none|404 No\r\nContent-Length: 2\r\n\r\n{}
			page||200 OK\r\nContent-Length: 13\r\n\r\n<html></html>
			moved||302 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n
		END
	} >"$scratch/apis"
	serve <"$scratch/apis"
	probe /health/ready
	assert_status 503
	assert_whole
	while IFS='|' read -r name code words; do
		assert_failed "$name" "$code" "$words"
		[ "$name" = model ] && continue
		assert_failed "azure_$name" "$code" "$words"
	done <<-END
		unauthorized|auth|HTTP 401
		forbidden|auth|HTTP 403
		many|throttled|HTTP 429
		broken|upstream|HTTP 500
		down|upstream|HTTP 503
		gone|status|HTTP 404
		model|missing|model not found
		page|protocol|answer is not JSON
		moved|status|HTTP 302
	END
	assertNotContains 'what the service said' "$body" Secret-
	assert_no_secret sk-Secret Secret-azure
	assert_lively
	stop health
	for name in unauthorized forbidden many broken down gone model page \
		moved; do
		stop "api_$name"
	done
}

# The log and trusted callers are told which server it was; others are not.
test_detail_names_the_server() {
	local name detail

	start_api broken 'HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops'
	broken=$peer_port
	start_api empty 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'
	empty=$peer_port
	serve <<-END
		[health]
		trusted = 127.0.0.1
		[broken]
		kind = openai
		base_url = http://127.0.0.1:$broken
		api_key = sk-Secret-broken
		[empty]
		kind = openai
		base_url = http://127.0.0.1:$empty
		api_key = sk-Secret-empty
		[refused]
		kind = azure-openai
		endpoint = http://127.0.0.1:1
		api_key = sk-Secret-refused
	END
	probe /health/ready
	assert_status 503
	while IFS='|' read -r name detail; do
		assertContains "$name" "$(json ".checks.$name.detail")" "$detail"
		assertTrue "the log says '$detail'" "logged '$detail'"
	done <<-END
		broken|127.0.0.1 port $broken: oops
		empty|127.0.0.1 port $empty: {}
		refused|127.0.0.1 port 1: Failed to connect
	END
	probe /health/ready -a 10.1.2.3
	assertNotContains 'a stranger reads' "$body" 127.0.0.1
	assert_no_secret sk-Secret
	stop health
	stop broken
	stop empty
}

# Status 200 alone says nothing: LM Studio answers it for any path, gateways for
# errors of their own.
test_bodies() {
	local name body_of code words n=0

	while IFS='|' read -r name body_of code words; do
		cat >>"$scratch/bodies" <<-END
			location /$name/ { return 200 '$body_of'; }
		END
		cat >>"$scratch/apis_200" <<-END
			[$name]
			kind = openai
			base_url = http://127.0.0.1:PORT/$name/v1
			api_key = sk-Secret-$name
			[azure_$name]
			kind = azure-openai
			endpoint = http://127.0.0.1:PORT/$name
			api_key = Secret-azure-$name
			[model_$name]
			kind = openai
			base_url = http://127.0.0.1:PORT/$name/v1
			api_key = sk-Secret-$name
			model = m
		END
		n=$((n + 3))
		printf '%s|%s|%s\n' "$name" "$code" "$words" \
			"azure_$name" "$code" "$words" \
			"model_$name" "$code" "${words/has no list of models/does not describe a model}"
	done >"$scratch/expected" <<-'END'
		error|{"error":{"message":"Secret-said"}}|upstream|status 200, but the answer is an error
		key|{"error":{"code":"invalid_api_key"}}|auth|status 200, but the key is refused
		empty||protocol|answer is not JSON
		object|{}|protocol|answer has no list of models
		detail|{"detail":"Not Found"}|protocol|answer has no list of models
		null|{"data":null}|protocol|answer has no list of models
		member|{"data":{}}|protocol|answer has no list of models
		number|{"id":1,"data":7}|protocol|answer has no list of models
		array|[]|protocol|answer has no list of models
		cut|{"data":[|protocol|answer is not JSON
	END
	cp "$scratch/bodies" "$scratch/nginx-server.conf"
	start_nginx </dev/null
	serve < <(sed "s/PORT/${url##*:}/" "$scratch/apis_200")
	probe /health/ready
	assert_status 503
	assert_whole
	assert_json '.checks | length' "$n"
	assert_each_failed <"$scratch/expected"
	assertNotContains 'what the service said' "$body" Secret-
	assert_no_secret sk-Secret Secret-azure
	stop health
	stop nginx
}

# A server that has the list only, and one whose list is long.
test_model_in_the_list() {
	local port where

	mkdir -p "$scratch/www/long/v1"
	{
		echo '{"data": ['
		yes '{"id": "one of many models"},' | head -n 20000
		echo '{"id": "the-last"}]}'
	} >"$scratch/www/long/v1/models"
	cat >"$scratch/nginx-server.conf" <<-'END'
		location = /v1/models {
			return 200 '{"object":"list","data":[{"id":"org/m-1","object":"model"}]}';
		}
		location /v1/models/ { return 404 '{"detail":"Not Found"}'; }
		location = /two/v1/models { return 200 '{"data":[{"id":"m"}]}'; }
		location /two/ {
			return 200 '{"error":"Unexpected endpoint or method. (GET /x)"}';
		}
		location = /closes/v1/models { return 200 '{"data":[{"id":"m"}]}'; }
		location /closes/ { keepalive_timeout 0; return 404 ''; }
		location /none/ { return 404 ''; }
		location = /broken/v1/models { return 500 ''; }
		location /broken/ { return 404 ''; }
	END
	start_nginx </dev/null
	port=${url##*:}
	while read -r name where model; do
		cat <<-END
			[$name]
			kind = openai
			base_url = http://127.0.0.1:$port/$where
			api_key = sk-Secret
			model = $model
			max_age = 0s
		END
	done >"$scratch/models" <<-'END'
		there v1 org/m-1
		other v1 org/m
		lmstudio two/v1 m
		closes closes/v1 m
		none none/v1 m
		broken broken/v1 m
		last long/v1 the-last
		lost long/v1 the-lost
	END
	serve <"$scratch/models"
	# The second time on kept connections.
	for _ in 1 2 3; do
		probe /health/ready
		assert_status 503
		for name in there lmstudio closes last; do
			assert_healthy "$name"
		done
		assert_each_failed <<-'END'
			other|missing|model not found
			none|missing|model not found
			broken|upstream|HTTP 500
			lost|missing|model not found
		END
	done
	stop health
	stop nginx
}

# The variable holds the base of an SDK's paths.
test_base_of_a_client() {
	local base

	for base in /v1beta/openai/ /inference '/v1?tenant=a' ''; do
		start_api client "$ok"
		BASE=http://127.0.0.1:$peer_port$base serve <<-'END'
			[client]
			kind = openai
			base_url = ${BASE}
			api_key = sk-Secret
		END
		probe /health/ready
		assert_status 200
		case $base in
		*beta*) assert_asked client 'GET /v1beta/openai/models HTTP/1.1' ;;
		*inf*) assert_asked client 'GET /inference/models HTTP/1.1' ;;
		*ten*) assert_asked client 'GET /v1/models?tenant=a HTTP/1.1' ;;
		*) assert_asked client 'GET /v1/models HTTP/1.1' ;;
		esac
		stop health
		stop client
	done
	start_api azure "$ok"
	serve <<-END
		[azure]
		kind = azure-openai
		endpoint = http://127.0.0.1:$peer_port/openai/v1/
		api_key = Secret
	END
	probe /health/ready
	assert_status 200
	assert_asked azure 'GET /openai/v1/models HTTP/1.1'
	stop health
	stop azure
}

test_restricted_key() {
	local refusal='HTTP/1.1 403 No\r\nContent-Length: 76\r\n\r\n{"error": "You have insufficient permissions. Missing scopes: api.model.read"}'

	start_api restricted "${refusal/76/78}"
	serve <<-END
		[refused]
		kind = openai
		base_url = http://127.0.0.1:$peer_port
		api_key = sk-Secret
		[accepted]
		kind = openai
		base_url = http://127.0.0.1:$peer_port
		api_key = sk-Secret
		accept_restricted = yes
	END
	probe /health/ready
	assert_status 503
	assert_failed refused auth 'key lacks the Models scope'
	assert_healthy accepted
	stop health
	stop restricted
}

test_slow_and_silent() {
	start_peer silent <<-'END'
		request
		silent
	END
	silent=$peer_port
	start_peer slow <<-END
		request
		wait 300
		send $ok
		loop
	END
	serve <<-END
		[silent]
		kind = openai
		base_url = http://127.0.0.1:$silent
		api_key = sk-Secret
		timeout = 500ms
		max_age = 0s
		required = no
		[slow]
		kind = azure-openai
		endpoint = http://127.0.0.1:$peer_port
		api_key = Secret
		max_age = 0s
	END
	probe /health/ready
	assert_status 200
	assert_json .status degraded
	assert_failed silent timeout 'Timeout after 500ms'
	assert_healthy slow
	assert_json '.checks.slow.latency_ms >= 290' true
	probe /health/ready
	assert_took 490 800
	stop health
	stop silent
	stop slow
}

# TLS as with the real services, with a CA of our own; and a list that is longer than
# the part that is read.
test_tls_and_long_list() {
	local port

	make_certificates || return
	port=$(free_port)
	mkdir -p "$scratch/www/v1"
	{
		echo '{"data": ['
		yes '{"id": "one of many models"},' | head -n 20000
		echo '{}]}'
	} >"$scratch/www/v1/models"
	: >"$scratch/nginx-server.conf"
	start_nginx <<-END
		server {
			listen 127.0.0.1:$port ssl;
			ssl_certificate $tls/good.pem;
			ssl_certificate_key $tls/good.key;
			root $scratch/www;
		}
	END
	serve <<-END
		[openai]
		kind = openai
		base_url = https://localhost:$port/v1
		api_key = sk-Secret
		ca_file = $tls/ca.pem
		max_age = 0s
		[stranger]
		kind = openai
		base_url = https://localhost:$port/v1
		api_key = sk-Secret
		max_age = 0s
		required = no
	END
	for _ in 1 2 3; do
		probe /health/ready
		assert_status 200
		assert_healthy openai
		assert_failed stranger tls
	done
	stop nginx
	probe /health/ready
	assert_failed openai refused 'connection refused'
	stop health
}

# Checks made from the usual variables, without a configuration.
test_environment() {
	start_api variable "$ok"
	! running health || stop health
	mark_log
	export OPENAI_API_KEY=sk-Secret-variable
	export OPENAI_BASE_URL=http://127.0.0.1:$peer_port/v1
	install_health
	start health TERM "$health_program" --listen "unix:$health_socket"
	unset OPENAI_API_KEY OPENAI_BASE_URL
	wait_for [ -S "$health_socket" ]
	probe /health/ready
	assert_status 200
	assert_healthy openai
	assert_asked variable 'GET /v1/models HTTP/1.1' \
		'Authorization: Bearer sk-Secret-variable'
	assertFalse 'the key in the environment of the process' \
		"grep -aq Secret-variable /proc/$(pid_of health)/environ"
	assert_no_secret Secret-variable
	stop health
	stop variable
}

# The old name of the base; the key of a gateway goes nowhere else.
test_environment_old_names() {
	start_api gateway "$ok"
	! running health || stop health
	mark_log
	install_health
	OPENAI_API_KEY=sk-Secret-gateway \
		OPENAI_API_BASE=http://127.0.0.1:$peer_port/v1 \
		OPENAI_ORGANIZATION=org-1 OPENAI_PROJECT_ID=proj-1 \
		"$health_program" --once ready >"$scratch/once" 2>&1
	assertEquals 'exit status' 0 $?
	assert_asked gateway 'GET /v1/models HTTP/1.1' \
		'Authorization: Bearer sk-Secret-gateway' \
		'OpenAI-Organization: org-1' 'OpenAI-Project: proj-1'
	OPENAI_API_KEY=sk-Secret-gateway \
		OPENAI_GATEWAY_HOST=127.0.0.1:$peer_port \
		"$health_program" --once ready >"$scratch/once" 2>&1
	assertEquals 'exit status' 1 $?
	assertContains "$(cat "$scratch/once")" '"code":"config"'
	assertContains "$(cat "$scratch/once")" 'OPENAI_GATEWAY_HOST may name'
	stop gateway
	OPENAI_API_KEY='"sk-Secret-quoted"' \
		"$health_program" --once ready >"$scratch/once" 2>&1
	assertEquals 'exit status' 1 $?
	assertContains "$(cat "$scratch/once")" 'is in quotes'
	assertNotContains "$(cat "$scratch/once")" Secret-quoted
}

. "$SHUNIT2"

#!/bin/bash
# The key `proxy` of HTTP checks: through Apache as a forward proxy, and with broken
# proxies.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need apache2 openssl jq

oneTimeSetUp() {
	make_certificates || return
	start_peer origin <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		loop
	END
	origin=127.0.0.1:$peer_port
	secure=127.0.0.1:$(free_port)
	start tls TERM openssl s_server -quiet -www -accept "$secure" \
		-cert "$tls/good.pem" -key "$tls/good.key"
	wait_for listening "${secure#*:}"
	echo "app:$(openssl passwd -apr1 proxy-word)" >"$scratch/users"
	chmod 644 "$scratch/users"
	start_forward
	open=${url#http://}
	start_forward <<-END
		<Proxy "*">
			AuthType Basic
			AuthName proxy
			AuthUserFile $scratch/users
			Require valid-user
		</Proxy>
	END
	closed=${url#http://}
}

# start_forward: Apache as a forward proxy, further directives on standard
# input; sets $url
forwards=0
start_forward() {
	local modules=/usr/lib/apache2/modules port module

	forwards=$((forwards + 1))
	port=$(free_port)
	url=http://127.0.0.1:$port
	{
		cat <<-END
			ServerRoot "$scratch"
			ServerName localhost
			Listen 127.0.0.1:$port
			PidFile "$scratch/forward$forwards.pid"
			DefaultRuntimeDir "$scratch"
			Mutex file:$scratch default
			ErrorLog "$scratch/log/forward$forwards-errors"
		END
		for module in mpm_event authz_core authn_core authn_file \
			auth_basic authz_user proxy proxy_http proxy_connect; do
			echo "LoadModule ${module}_module $modules/mod_$module.so"
		done
		if [ "$(id -u)" = 0 ]; then
			echo "User www-data"
			echo "Group www-data"
		fi
		cat <<-END
			ProxyRequests On
			ProxyVia On
			AllowCONNECT ${secure#*:} 1
		END
		[ -t 0 ] || cat
	} >"$scratch/forward$forwards.conf"
	start "forward$forwards" TERM apache2 -DFOREGROUND \
		-f "$scratch/forward$forwards.conf"
	wait_for listening "$port"
}

# check NAME URL PROXY [LINE...]: a section
check() {
	printf '[%s]\nkind = http\nurl = %s\nproxy = http://%s\nmax_age = 0s\n' \
		"$1" "$2" "$3"
	shift 3
	printf '%s\n' "$@"
}

test_through() {
	{
		check plain "http://$origin/plain" "$open"
		check secure "https://$secure/" "$open" "ca_file = $tls/ca.pem"
		check user "http://$origin/user" "app:proxy-word@$closed"
		check secure_user "https://$secure/" "app:proxy-word@$closed" \
			"ca_file = $tls/ca.pem"
	} >"$scratch/through"
	serve <"$scratch/through"
	wait_for answers /health/ready 200
	for _ in 1 2 3; do
		probe /health/ready
		assert_status 200
		assert_json '.checks | map(.healthy) | all' true
	done
	assertTrue 'by way of Apache' \
		"grep -q '^header Via: ' '$scratch/log/origin'"
	assertEquals 'the password of the proxy goes no further' 0 \
		"$(peer_count origin 'header Proxy-Authorization')"
	assert_no_secret proxy-word "$(printf app:proxy-word | base64)"
}

# The name is looked up by the proxy, and the proxy is asked for the whole URL.
test_name_is_for_the_proxy() {
	start_peer proxy <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		loop
	END
	check page http://known-to-the-proxy.invalid/x?y "127.0.0.1:$peer_port" |
		cat >"$scratch/name"
	serve <"$scratch/name"
	wait_for answers /health/ready 200
	probe /health/ready
	assert_status 200
	assertTrue 'the whole URL' "grep -qF \
		'request GET http://known-to-the-proxy.invalid/x?y HTTP/1.1' \
		'$scratch/log/proxy'"
	assertEquals 'connections' 1 "$(($(peer_count proxy connection) - 1))"
	stop proxy
}

# Which side refuses, and why.
test_out_of_order() {
	local name code words dead silent

	dead=$(free_port)
	start_peer silent <<-'END'
		silent
	END
	silent=$peer_port
	start_peer garbage <<-'END'
		request
		send nonsense\r\n\r\n
	END
	{
		check dead "http://$origin/" "127.0.0.1:$dead"
		check dead_tls "https://$secure/" "127.0.0.1:$dead"
		check silent "http://$origin/" "127.0.0.1:$silent"
		check silent_tls "https://$secure/" "127.0.0.1:$silent"
		check garbage "http://$origin/" "127.0.0.1:$peer_port"
		check garbage_tls "https://$secure/" "127.0.0.1:$peer_port"
		check login "http://$origin/" "$closed"
		check login_tls "https://$secure/" "$closed"
		check wrong "http://$origin/" "app:wrong@$closed"
		check wrong_tls "https://$secure/" "app:wrong@$closed"
		check forbidden "https://$origin/" "$open"
		check behind "http://127.0.0.1:$dead/" "$open"
		check behind_tls "https://127.0.0.1:1/" "$open"
		check stranger "https://$secure/" "$open" \
			"ca_file = $tls/stranger.pem"
		check unknown "http://$origin/" no-such-proxy.invalid:3128
	} | sed 's/^kind.*/&\ntimeout = 1500ms/' >"$scratch/broken"
	serve <"$scratch/broken"
	probe /health/ready
	assert_status 503
	assert_took 0 5000
	while IFS='|' read -r name code words; do
		assert_failed "$name" "$code" "$words"
	done <<-END
		dead|refused|connection refused
		dead_tls|refused|connection refused
		silent|timeout|Timeout after 1500ms
		silent_tls|timeout|Timeout after 1500ms
		garbage|protocol|
		garbage_tls|connect|
		login|auth|HTTP 407
		login_tls|auth|proxy: HTTP 407
		wrong|auth|HTTP 407
		wrong_tls|auth|proxy: HTTP 407
		forbidden|connect|proxy: HTTP 403
		behind|upstream|HTTP 503
		behind_tls|connect|proxy: HTTP 503
		stranger|tls|
		unknown|resolve|
	END
	stop silent
	stop garbage
}

# A proxy that freezes, and goes on.
test_frozen() {
	{
		check plain "http://$origin/" "$open" 'timeout = 500ms'
		check secure "https://$secure/" "$open" 'timeout = 500ms' \
			"ca_file = $tls/ca.pem"
	} >"$scratch/frozen"
	serve <"$scratch/frozen"
	wait_for answers /health/ready 200
	# Again, for a process that was just starting.
	freeze forward1
	freeze forward1
	probe /health/ready
	assert_status 503
	assert_took 490 1500
	assert_failed plain timeout 'Timeout after 500ms'
	assert_failed secure timeout 'Timeout after 500ms'
	assert_lively
	thaw forward1
	wait_for answers /health/ready 200
	stop forward1 KILL
	wait_for check_says plain refused
	url=http://$open
	start forward1 TERM apache2 -DFOREGROUND -f "$scratch/forward1.conf"
	wait_for answers /health/ready 200
}

# A proxy in the environment is not part of our configuration.
test_environment_is_not_asked() {
	local dead

	dead=$(free_port)
	printf '[page]\nkind = http\nurl = http://%s/\n' "$origin" \
		>"$scratch/direct"
	export http_proxy=http://127.0.0.1:$dead ALL_PROXY=http://127.0.0.1:$dead
	serve <"$scratch/direct"
	unset http_proxy ALL_PROXY
	wait_for answers /health/ready 200
}

. "$SHUNIT2"

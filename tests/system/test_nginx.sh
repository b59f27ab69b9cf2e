#!/bin/bash
# nginx in front of a running program: nginx/health.conf as it is shipped, in
# Debian's default site.  test_nginx_keepalive.sh reads this file, too.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need nginx

: "${nginx_sample:=$HEALTH_SRCDIR/nginx/health.conf}"

# nginx_upstream: as shipped, or, for kept connections, as the head says
nginx_upstream() {
	if grep -q '^#	upstream' "$nginx_sample"; then
		sed -n '/^#	upstream/,/^#	}/s/^#//p' "$nginx_sample"
	else
		cat "$HEALTH_SRCDIR/nginx/health-upstream.conf"
	fi | sed "s|/run/health-fcgi/health.sock|$health_socket|"
}

# The other sites, with what the head tells of
nginx_sites() {
	sed 's/#\(auth_basic off;\|allow all;\)/\1/' "$nginx_sample" \
		>"$scratch/opened.conf"
	cat <<-END
		server {
			listen 127.0.0.1:${closed##*:};
			root $scratch/www;
			error_page 401 =302 http://example.org/login;
			auth_basic site;
			auth_basic_user_file /dev/null;
			include $nginx_sample;
		}
		server {
			listen 127.0.0.1:${opened##*:};
			root $scratch/www;
			auth_basic site;
			auth_basic_user_file /dev/null;
			deny all;
			include $scratch/opened.conf;
		}
		server {
			listen 127.0.0.1:${rewritten##*:};
			root $scratch/www;
			location ~ . { rewrite ^ /index.html break; }
			include $nginx_sample;
		}
		server {
			listen 127.0.0.1:${redirected##*:};
			include $nginx_sample;
			$(sed -n 's/^#\t\(location .*return.*\)/\1/p' "$nginx_sample")
		}
	END
}

mount_start() {
	stock nginx nginx-common
	start_health --config "$scratch/health.conf" || return
	nginx_upstream >"$etc/nginx/conf.d/health-upstream.conf"
	closed=http://127.0.0.1:$(free_port)
	opened=http://127.0.0.1:$(free_port)
	redirected=http://127.0.0.1:$(free_port)
	rewritten=http://127.0.0.1:$(free_port)
	nginx_sites >"$etc/nginx/conf.d/sites.conf"
	# The site's rules for errors, caches and paths do not apply to probes.
	cat >"$etc/nginx/conf.d/everywhere.conf" <<-END
		fastcgi_intercept_errors on;
		fastcgi_cache_path $scratch/nginx-cache keys_zone=site:1m;
		fastcgi_cache site;
		fastcgi_cache_key \$request_uri;
		fastcgi_cache_valid any 1h;
		fastcgi_ignore_headers Cache-Control;
		expires 1h;
	END
	cat >"$scratch/site.conf" <<-END
		error_page 404 /error.html;
		error_page 405 500 502 503 504 =302 http://example.org/;
		include $nginx_sample;
	END
	start_stock_nginx "$scratch/site.conf"
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

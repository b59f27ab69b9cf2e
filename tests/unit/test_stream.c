#include "config.h"

#include "io/stream_tls.c"
#include "io/stream.c"

#include "fake_offload.h"
#include "unit.h"

#include <fcntl.h>

#define DAY_S (24 * 60 * 60L)

/* ---- certificates ---- */

struct party {
	X509 *cert;
	EVP_PKEY *key;
	char cert_pem[2048];
	char key_pem[512];
};

static struct party ca, other_ca, server_good, server_expired, server_early,
	server_cn_only, client_good;

static void party_extension(struct party *party, struct party *issuer, int nid,
			    const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer->cert, party->cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	CHECK(extension && X509_add_ext(party->cert, extension, -1));
	X509_EXTENSION_free(extension);
}

static void party_make(struct party *party, const char *name,
		       struct party *issuer, const char *san, long from_s,
		       long to_s)
{
	static long serial;
	X509_NAME *subject;
	BIO *text;

	party->key = EVP_EC_gen("P-256");
	party->cert = X509_new();
	X509_set_version(party->cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(party->cert), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(party->cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(party->cert), to_s);
	X509_set_pubkey(party->cert, party->key);
	subject = X509_get_subject_name(party->cert);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(party->cert, X509_get_subject_name(issuer->cert));
	if (issuer == party)
		party_extension(party, issuer, NID_basic_constraints,
				"critical,CA:TRUE");
	if (san)
		party_extension(party, issuer, NID_subject_alt_name, san);
	CHECK(X509_sign(party->cert, issuer->key, EVP_sha256()) > 0);

	text = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(text, party->cert);
	BIO_read(text, party->cert_pem, sizeof(party->cert_pem) - 1);
	PEM_write_bio_PrivateKey(text, party->key, NULL, NULL, 0, NULL, NULL);
	BIO_read(text, party->key_pem, sizeof(party->key_pem) - 1);
	BIO_free(text);
}

static void party_free(struct party *party)
{
	X509_free(party->cert);
	EVP_PKEY_free(party->key);
}

static void parties_make(void)
{
	const char *san = "DNS:redis.test,IP:127.0.0.1";

	party_make(&ca, "ca", &ca, NULL, -DAY_S, DAY_S);
	party_make(&other_ca, "other", &other_ca, NULL, -DAY_S, DAY_S);
	party_make(&server_good, "good", &ca, san, -DAY_S, DAY_S);
	party_make(&server_expired, "old", &ca, san, -2 * DAY_S, -DAY_S);
	party_make(&server_early, "new", &ca, san, DAY_S, 2 * DAY_S);
	party_make(&server_cn_only, "redis.test", &ca, NULL, -DAY_S, DAY_S);
	party_make(&client_good, "client", &ca, NULL, -DAY_S, DAY_S);
}

static void parties_free(void)
{
	struct party *all[] = { &ca,	       &other_ca,
				&server_good,  &server_expired,
				&server_early, &server_cn_only,
				&client_good };
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(*all); i++)
		party_free(all[i]);
}

static struct stream_trust *trust_in(const struct party *party)
{
	char words[96] = "";
	struct stream_trust *trust;

	trust = stream_trust_create(party->cert_pem, strlen(party->cert_pem),
				    words, sizeof(words));
	CHECK_STR(words, "");
	CHECK(trust);
	return trust;
}

/* ---- peers ---- */

static int listen_on(const char *address, uint16_t *port, int backlog)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = inet_addr(address);
	at.sin_port = htons(*port);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    listen(fd, backlog) ||
	    getsockname(fd, (struct sockaddr *)&at, &len)) {
		close(fd);
		return -1;
	}
	*port = ntohs(at.sin_port);
	return fd;
}

/* One server that accepts one connection, in the same thread. */
struct server {
	int listener, fd;
	uint16_t port;
	const struct party *party; /* NULL: no TLS */
	bool wants_client;
	int max_version; /* 0: any */
	SSL_CTX *ctx;
	SSL *ssl;
	bool secured;
	char sni[64];
};

static int server_on_sni(SSL *ssl, int *alert, void *arg)
{
	struct server *server = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	snprintf(server->sni, sizeof(server->sni), "%s", name ? name : "");
	return SSL_TLSEXT_ERR_OK;
}

static void server_open(struct server *server)
{
	server->fd = -1;
	server->listener = listen_on("127.0.0.1", &server->port, 5);
	CHECK(server->listener >= 0);
	if (!server->party)
		return;
	server->ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(server->ctx, server->party->cert);
	SSL_CTX_use_PrivateKey(server->ctx, server->party->key);
	SSL_CTX_set_tlsext_servername_callback(server->ctx, server_on_sni);
	SSL_CTX_set_tlsext_servername_arg(server->ctx, server);
	if (server->max_version) {
		SSL_CTX_set_min_proto_version(server->ctx, 0);
		SSL_CTX_set_max_proto_version(server->ctx, server->max_version);
		SSL_CTX_set_cipher_list(server->ctx, "ALL:@SECLEVEL=0");
	}
	if (server->wants_client) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(server->ctx),
				    ca.cert);
		SSL_CTX_set_verify(server->ctx,
				   SSL_VERIFY_PEER |
					   SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
				   NULL);
	}
}

static void server_step(struct server *server)
{
	if (server->fd < 0) {
		server->fd = accept4(server->listener, NULL, NULL,
				     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (server->fd >= 0 && server->ctx) {
			server->ssl = SSL_new(server->ctx);
			SSL_set_fd(server->ssl, server->fd);
			SSL_set_accept_state(server->ssl);
		}
	}
	if (server->ssl && !server->secured) {
		server->secured = SSL_do_handshake(server->ssl) == 1;
		ERR_clear_error();
	}
}

static void server_close(struct server *server)
{
	SSL_free(server->ssl);
	SSL_CTX_free(server->ctx);
	if (server->fd >= 0)
		close(server->fd);
	close(server->listener);
}

static struct resolve_answer answer_of(const char *const texts[], size_t n)
{
	struct resolve_answer answer = { .code = RESULT_OK, .n = n };
	size_t i;

	for (i = 0; i < n; i++) {
		struct resolve_addr *addr = &answer.addrs[i];

		snprintf(addr->text, sizeof(addr->text), "%s", texts[i]);
		if (strchr(texts[i], ':')) {
			addr->in6.sin6_family = AF_INET6;
			inet_pton(AF_INET6, texts[i], &addr->in6.sin6_addr);
			addr->len = sizeof(addr->in6);
		} else {
			addr->in.sin_family = AF_INET;
			inet_pton(AF_INET, texts[i], &addr->in.sin_addr);
			addr->len = sizeof(addr->in);
		}
	}
	return answer;
}

/* Steps both sides until the stream is no longer pending, or two seconds. */
static enum stream_state drive(struct stream *stream, struct server *server)
{
	enum stream_state state = STREAM_PENDING;
	struct pollfd polled;
	int i;

	for (i = 0; i < 200; i++) {
		state = stream_advance(stream);
		if (state != STREAM_PENDING)
			break;
		polled.fd = stream_fd(stream);
		polled.events = stream_events(stream);
		CHECK(polled.fd >= 0 && polled.events);
		if (server)
			server_step(server);
		poll(&polled, 1, 10);
	}
	return state;
}

static struct stream *open_to(const char *const texts[], size_t n,
			      uint16_t port, struct stream_trust *trust,
			      const char *host)
{
	struct resolve_answer answer = answer_of(texts, n);
	struct stream_target target = { .addrs = &answer,
					.port = port,
					.trust = trust,
					.host = host,
					.try_ms = 50 };
	struct stream *stream = stream_open(&target);

	CHECK(stream);
	return stream;
}

static struct stream *open_one(struct server *server,
			       struct stream_trust *trust, const char *host)
{
	static const char *const loopback[] = { "127.0.0.1" };

	return open_to(loopback, 1, server->port, trust, host);
}

static enum stream_state read_soon(struct stream *stream, char *to, size_t size,
				   size_t *moved)
{
	enum stream_state state = STREAM_PENDING;
	struct pollfd polled;
	int i;

	for (i = 0; i < 20 && state == STREAM_PENDING; i++) {
		state = stream_read(stream, to, size, moved);
		polled.fd = stream_fd(stream);
		polled.events = stream_events(stream);
		if (state == STREAM_PENDING)
			poll(&polled, 1, 100);
	}
	return state;
}

static void expect_error(struct stream *stream, struct server *server,
			 enum result_code code, const char *words)
{
	CHECK_INT(drive(stream, server), STREAM_ERROR);
	CHECK_INT(stream_failure(stream)->code, code);
	CHECK_STR(stream_failure(stream)->words, words);
	CHECK_INT(stream_advance(stream), STREAM_ERROR);
	stream_close(stream);
}

/* ---- without TLS ---- */

static void test_plain(void)
{
	struct server server = { .port = 0 };
	struct stream *stream;
	char text[16];
	size_t moved = 0;

	server_open(&server);
	stream = open_one(&server, NULL, "redis.test");
	CHECK_STR(stream_step(stream), "connecting");
	CHECK(!stream_peer(stream));
	CHECK_INT(drive(stream, &server), STREAM_DONE);
	CHECK_INT(stream_advance(stream), STREAM_DONE);
	server_step(&server);
	CHECK(stream_peer(stream));
	CHECK_INT(stream_peer(stream)->sa_family, AF_INET);
	CHECK(fcntl(stream_fd(stream), F_GETFD) & FD_CLOEXEC);

	CHECK_INT(stream_read(stream, text, sizeof(text), &moved),
		  STREAM_PENDING);
	CHECK_INT(stream_events(stream), POLLIN);
	CHECK_INT(stream_write(stream, "abc", 3, &moved), STREAM_DONE);
	CHECK_INT(moved, 3);
	CHECK_INT(send(server.fd, "xy", 2, 0), 2);
	CHECK_INT(read_soon(stream, text, sizeof(text), &moved), STREAM_DONE);
	CHECK_INT(moved, 2);
	shutdown(server.fd, SHUT_WR);
	CHECK_INT(read_soon(stream, text, sizeof(text), &moved), STREAM_ERROR);
	stream_close(stream);
	server_close(&server);
	stream_close(NULL);
}

/* Nor does SIGPIPE, whose default is to end the program, come. */
static void test_broken(struct stream_trust *trust, const struct party *party)
{
	struct linger reset = { .l_onoff = 1 };
	struct server server = { .party = party };
	enum stream_state state = STREAM_DONE;
	struct stream *stream;
	char text[4096] = "";
	size_t moved;
	int i;

	server_open(&server);
	stream = open_one(&server, trust, "redis.test");
	CHECK_INT(drive(stream, &server), STREAM_DONE);
	while (server.fd < 0 || (party && !server.secured))
		server_step(&server);
	setsockopt(server.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(server.fd);
	server.fd = -1;
	for (i = 0; i < 1000 && state != STREAM_ERROR; i++)
		state = stream_write(stream, text, sizeof(text), &moved);
	CHECK_INT(state, STREAM_ERROR);
	CHECK_INT(stream_failure(stream)->code, RESULT_CONNECT);
	CHECK(strncmp(stream_failure(stream)->words, "connection ", 11) == 0);
	if (trust)
		CHECK_INT(stream_read(stream, text, sizeof(text), &moved),
			  STREAM_ERROR);
	stream_close(stream);
	server_close(&server);
}

/* What the peer said before it closed, not having read what it was sent. */
static void test_last_words(void)
{
	struct server server = { .port = 0 };
	enum stream_state state = STREAM_DONE;
	struct stream *stream;
	char text[16];
	size_t moved;
	int i;

	server_open(&server);
	stream = open_one(&server, NULL, "redis.test");
	CHECK_INT(drive(stream, &server), STREAM_DONE);
	while (server.fd < 0)
		server_step(&server);
	CHECK_INT(send(server.fd, "no!", 3, 0), 3);
	close(server.fd);
	server.fd = -1;
	for (i = 0; i < 1000 && state != STREAM_ERROR; i++)
		state = stream_write(stream, "question", 8, &moved);
	CHECK_INT(state, STREAM_ERROR);
	CHECK_INT(stream_read(stream, text, sizeof(text), &moved), STREAM_DONE);
	CHECK_INT(moved, 3);
	CHECK(stream_read(stream, text, sizeof(text), &moved) !=
	      STREAM_PENDING);
	stream_close(stream);
	server_close(&server);
}

static void test_refused(void)
{
	static const char *const both[] = { "127.0.0.1", "127.0.0.2" };
	struct server server = { .port = 0 };
	struct stream *stream;
	char detail[64];

	server_open(&server);
	server_close(&server);
	stream = open_one(&server, NULL, "x.test.");
	CHECK_INT(drive(stream, NULL), STREAM_ERROR);
	snprintf(detail, sizeof(detail), "x.test (127.0.0.1) port %u",
		 server.port);
	CHECK_STR(stream_failure(stream)->detail, detail);
	expect_error(stream, NULL, RESULT_REFUSED, "connection refused");
	stream = open_one(&server, NULL, "127.0.0.1");
	CHECK_INT(drive(stream, NULL), STREAM_ERROR);
	snprintf(detail, sizeof(detail), "127.0.0.1 port %u", server.port);
	CHECK_STR(stream_failure(stream)->detail, detail);
	stream_close(stream);
	expect_error(open_to(both, 2, server.port, NULL, "x"), NULL,
		     RESULT_REFUSED, "connection refused");
}

/* Which of several errors is told. */
static void test_note(void)
{
	struct stream_race race = { .error = 0 };

	stream_race_note(&race, &race.places[0], ENETUNREACH);
	CHECK_INT(race.error, ENETUNREACH);
	stream_race_note(&race, &race.places[0], ECONNREFUSED);
	CHECK_INT(race.error, ECONNREFUSED);
	stream_race_note(&race, &race.places[0], EHOSTUNREACH);
	CHECK_INT(race.error, ECONNREFUSED);
}

static void test_second_address(void)
{
	static const char *const addresses[] = { "127.0.0.2", "127.0.0.1" };
	struct server server = { .port = 0 };
	struct stream *stream;

	server_open(&server);
	stream = open_to(addresses, 2, server.port, NULL, "x");
	CHECK_INT(drive(stream, &server), STREAM_DONE);
	CHECK_INT(
		((const struct sockaddr_in *)(const void *)stream_peer(stream))
			->sin_addr.s_addr,
		htonl(INADDR_LOOPBACK));
	stream_close(stream);
	server_close(&server);
}

/* A listener whose backlog is full drops what comes, as a black hole does. */
static void test_black_hole(void)
{
	static const char *const addresses[] = { "127.0.0.2", "127.0.0.1" };
	struct server server = { .port = 0 };
	struct stream *stream, *fill[8];
	int hole, i;

	CHECK_INT(stream_try_ms(2000, 1), 250);
	CHECK_INT(stream_try_ms(300, 2), 100);
	CHECK_INT(stream_try_ms(-5, 8), 10);
	server_open(&server);
	hole = listen_on("127.0.0.2", &server.port, 0);
	CHECK(hole >= 0);
	for (i = 0; i < 8; i++) {
		fill[i] = open_to(addresses, 1, server.port, NULL, "x");
		stream_advance(fill[i]);
	}
	stream = open_to(addresses, 2, server.port, NULL, "x");
	CHECK_INT(drive(stream, &server), STREAM_DONE);
	CHECK_INT(
		((const struct sockaddr_in *)(const void *)stream_peer(stream))
			->sin_addr.s_addr,
		htonl(INADDR_LOOPBACK));
	stream_close(stream);

	/* Both under way: closing takes both along. */
	stream = open_to(addresses, 2, server.port, NULL, "x");
	CHECK_INT(stream_advance(stream), STREAM_PENDING);
	stream_close(stream);
	for (i = 0; i < 8; i++)
		stream_close(fill[i]);
	close(hole);
	server_close(&server);
}

static struct stream *open_unix(const char *path)
{
	struct stream_target target = { .unix_path = path,
					.offload = &fake_offload };
	struct stream *stream = stream_open(&target);

	CHECK(stream);
	return stream;
}

static void test_unix(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct stream *stream, *fill[64];
	char dir[] = "/tmp/test_stream.XXXXXX", path[64], longer[200];
	enum stream_state state = STREAM_DONE;
	int listener, i, n = 0;

	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	expect_error(open_unix(path), NULL, RESULT_CONNECT, "no such socket");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	expect_error(open_unix(longer), NULL, RESULT_CONFIG,
		     "socket path is too long");

	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(at.sun_path, path, sizeof(path));
	CHECK(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0);
	expect_error(open_unix(path), NULL, RESULT_REFUSED,
		     "connection refused");
	CHECK(listen(listener, 1) == 0);
	stream = open_unix(path);
	CHECK_INT(drive(stream, NULL), STREAM_DONE);
	CHECK(!stream_peer(stream));
	stream_close(stream);

	/* Given up while it hangs; then the thread comes back. */
	fake_offload.hangs = true;
	stream = open_unix(path);
	CHECK_INT(stream_advance(stream), STREAM_PENDING);
	CHECK_STR(stream_step(stream), "connecting");
	stream_close(stream);
	stream_unix_work(&fake_offload.left);
	stream_unix_discard(&fake_offload.left);
	fake_offload.hangs = false;

	fake_offload.none = true;
	expect_error(open_unix(path), NULL, RESULT_INTERNAL, "out of memory");
	fake_offload.none = false;

	/* One that accepts nothing says at some time that it is full. */
	for (n = 0; n < 64 && state == STREAM_DONE; n++) {
		fill[n] = open_unix(path);
		state = stream_advance(fill[n]);
	}
	CHECK_INT(state, STREAM_ERROR);
	CHECK_INT(stream_failure(fill[n - 1])->code, RESULT_BUSY);
	for (i = 0; i < n; i++)
		stream_close(fill[i]);
	close(listener);
	unlink(path);
	rmdir(dir);
}

/* ---- with TLS ---- */

static void test_tls(void)
{
	struct stream_trust *trust = trust_in(&ca);
	struct server server = { .party = &server_good };
	struct stream *stream;
	char text[16];
	size_t moved = 0;

	server_open(&server);
	stream = open_one(&server, trust, "redis.test.");
	CHECK_INT(drive(stream, &server), STREAM_DONE);
	CHECK_STR(stream_step(stream), "connected");
	CHECK_STR(server.sni, "redis.test");
	while (!server.secured)
		server_step(&server);
	/* The tickets that came after the handshake are not input. */
	CHECK_INT(stream_read(stream, text, sizeof(text), &moved),
		  STREAM_PENDING);
	CHECK_INT(stream_write(stream, "abc", 3, &moved), STREAM_DONE);
	CHECK_INT(SSL_read(server.ssl, text, sizeof(text)), 3);
	CHECK_INT(SSL_write(server.ssl, "xy", 2), 2);
	CHECK_INT(read_soon(stream, text, sizeof(text), &moved), STREAM_DONE);
	CHECK_INT(moved, 2);
	/* Killed, without a word. */
	close(server.fd);
	server.fd = -1;
	CHECK_INT(read_soon(stream, text, sizeof(text), &moved), STREAM_ERROR);
	stream_close(stream);
	server_close(&server);

	server = (struct server){ .party = &server_good };
	server_open(&server);
	stream = open_one(&server, trust, "127.0.0.1");
	CHECK_INT(drive(stream, &server), STREAM_DONE);
	CHECK_STR(server.sni, "");
	stream_close(stream);
	server_close(&server);
	stream_trust_destroy(trust);
}

/* A server that must not be trusted, and why. */
static void refuse(const struct party *party, const struct party *trusted,
		   const char *host, int max_version, const char *words)
{
	struct stream_trust *trust = trust_in(trusted);
	struct server server = { .party = party, .max_version = max_version };

	server_open(&server);
	expect_error(open_one(&server, trust, host), &server, RESULT_TLS,
		     words);
	server_close(&server);
	stream_trust_destroy(trust);
}

static void test_tls_refused(void)
{
	refuse(&server_expired, &ca, "redis.test", 0,
	       "TLS: certificate has expired");
	refuse(&server_early, &ca, "redis.test", 0,
	       "TLS: certificate is not valid yet");
	refuse(&server_good, &ca, "other.test", 0,
	       "TLS: certificate is for another host");
	refuse(&server_cn_only, &ca, "redis.test", 0,
	       "TLS: certificate is for another host");
	refuse(&server_good, &ca, "127.0.0.9", 0,
	       "TLS: certificate is for another host");
	refuse(&server_good, &other_ca, "redis.test", 0,
	       "TLS: certificate is not trusted: CA unknown, or its "
	       "intermediate not sent");
	refuse(&other_ca, &ca, "redis.test", 0,
	       "TLS: certificate is not trusted");
	refuse(&server_good, &ca, "redis.test", TLS1_1_VERSION,
	       "TLS: no common version");
}

/* A server that says what it says instead of a handshake, then closes. */
static void test_tls_none(const char *says, const char *words)
{
	struct stream_trust *trust = trust_in(&ca);
	struct server server = { .party = NULL };
	struct stream *stream;
	char hello[4096];

	server_open(&server);
	stream = open_one(&server, trust, "redis.test");
	while (server.fd < 0) {
		CHECK_INT(stream_advance(stream), STREAM_PENDING);
		server_step(&server);
	}
	CHECK_INT(stream_advance(stream), STREAM_PENDING);
	CHECK_STR(stream_step(stream),
		  "in the TLS handshake; is it a TLS port?");
	while (recv(server.fd, hello, sizeof(hello), 0) < 0)
		stream_advance(stream);
	send(server.fd, says, strlen(says), MSG_NOSIGNAL);
	shutdown(server.fd, SHUT_WR);
	expect_error(stream, NULL, RESULT_TLS, words);
	server_close(&server);
	stream_trust_destroy(trust);
}

static void test_client_certificate(void)
{
	struct stream_trust *trust = trust_in(&ca);
	struct server server = { .party = &server_good, .wants_client = true };
	struct stream *stream;
	char words[96] = "", text[16];
	size_t moved;
	int i;

	server_open(&server);
	stream = open_one(&server, trust, "redis.test");
	/* In TLS 1.3 the client is done before it is refused. */
	CHECK_INT(drive(stream, &server), STREAM_DONE);
	for (i = 0; i < 5; i++)
		server_step(&server);
	CHECK_INT(read_soon(stream, text, sizeof(text), &moved), STREAM_ERROR);
	CHECK_INT(stream_failure(stream)->code, RESULT_TLS);
	CHECK_STR(stream_failure(stream)->words,
		  "TLS: peer wants a client certificate");
	stream_close(stream);
	server_close(&server);

	CHECK_INT(stream_trust_identify(trust, client_good.cert_pem,
					strlen(client_good.cert_pem),
					ca.key_pem, strlen(ca.key_pem), words,
					sizeof(words)),
		  -1);
	CHECK(strstr(words, "key"));
	CHECK_INT(stream_trust_identify(trust, "", 0, ca.key_pem,
					strlen(ca.key_pem), words,
					sizeof(words)),
		  -1);
	CHECK_STR(words, "the certificate cannot be read");
	CHECK_INT(stream_trust_identify(
			  trust, client_good.cert_pem,
			  strlen(client_good.cert_pem), client_good.key_pem,
			  strlen(client_good.key_pem), words, sizeof(words)),
		  0);
	server = (struct server){ .party = &server_good, .wants_client = true };
	server_open(&server);
	stream = open_one(&server, trust, "redis.test");
	CHECK_INT(drive(stream, &server), STREAM_DONE);
	for (i = 0; i < 5; i++)
		server_step(&server);
	CHECK(server.secured);
	CHECK_INT(stream_read(stream, text, sizeof(text), &moved),
		  STREAM_PENDING);
	stream_close(stream);
	server_close(&server);
	stream_trust_destroy(trust);
}

static void test_trust(void)
{
	char words[96], broken[8192];
	struct stream_trust *trust;

	CHECK(!stream_trust_create("", 0, words, sizeof(words)));
	CHECK_STR(words, "contains no certificate in PEM format");
	CHECK(!stream_trust_create("nonsense", 8, words, sizeof(words)));
	CHECK_STR(words, "contains no certificate in PEM format");
	snprintf(broken, sizeof(broken), "%s%s", ca.cert_pem, ca.cert_pem);
	broken[strlen(broken) - 60] = '!';
	CHECK(!stream_trust_create(broken, strlen(broken), words,
				   sizeof(words)));
	CHECK_STR(words, "contains a certificate that cannot be read");
	snprintf(broken, sizeof(broken), "# ours\n%s\n%s", other_ca.cert_pem,
		 ca.cert_pem);
	trust = stream_trust_create(broken, strlen(broken), words,
				    sizeof(words));
	CHECK(trust);
	stream_trust_destroy(trust);
	stream_trust_destroy(NULL);
}

static void test_system_trust(void)
{
	struct stream_trust *first, *second;
	struct server server = { .party = &server_good };
	char words[96];

	first = stream_trust_create(NULL, 0, words, sizeof(words));
	second = stream_trust_create(NULL, 0, words, sizeof(words));
	CHECK(first && second);
	CHECK(!stream_trust_system.cas);
	server_open(&server);
	expect_error(open_one(&server, first, "redis.test"), &server,
		     RESULT_TLS,
		     "TLS: certificate is not trusted: CA unknown, or its "
		     "intermediate not sent");
	server_close(&server);
	CHECK_INT(stream_trust_system.users, 1);
	CHECK(stream_trust_ready(second) && stream_trust_ready(second));
	CHECK_INT(stream_trust_system.users, 2);
	stream_trust_destroy(first);
	CHECK(stream_trust_system.cas);
	stream_trust_destroy(second);
	CHECK(!stream_trust_system.cas);
}

static int open_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int main(void)
{
	struct stream_trust *trust;
	int fds = open_fds();

	parties_make();
	test_plain();
	test_refused();
	test_note();
	test_second_address();
	test_black_hole();
	test_unix();
	test_tls();
	test_tls_refused();
	test_tls_none("-ERR Protocol error\r\n",
		      "TLS: peer does not speak TLS");
	test_tls_none("", "TLS: peer closed in the handshake");
	test_client_certificate();
	test_trust();
	test_system_trust();
	trust = trust_in(&ca);
	test_broken(NULL, NULL);
	test_last_words();
	test_broken(trust, &server_good);
	stream_trust_destroy(trust);
	CHECK_INT(open_fds(), fds);
	parties_free();
	return unit_report();
}

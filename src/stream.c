#include "config.h"

#include "stream.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

struct stream_trust {
	SSL_CTX *ctx;
	BIO_METHOD *io;
	bool of_system;	     /* trusts the system's CAs ... */
	bool has_system_cas; /* ... and has them already */
};

/* Where to connect to. */
struct stream_place {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len;
};

struct stream {
	struct stream_place places[RESOLVE_MAX];
	int tries[RESOLVE_MAX]; /* descriptors, by place; -1: not under way */
	size_t n, next;		/* places; the next one to try */
	size_t peer;		/* the place that was connected to */
	int64_t try_ms;
	int set_fd, timer_fd; /* -1 with one place, or when connected */
	int fd;		      /* -1 until connected */
	short events;

	struct stream_trust *trust;
	SSL *ssl;
	bool secured;	/* the handshake is over */
	bool input_end; /* what the library asks as BIO_CTRL_EOF */
	int io_errno;	/* what broke below the library */
	char host[256];

	bool failed;
	int connect_errno; /* of the most telling attempt; 0: none */
	enum result_code code;
	const char *words;
	char detail[RESULT_DETAIL_BYTES];
};

/* The system's CAs, for all who trust them. */
static struct {
	X509_STORE *cas; /* NULL until needed */
	size_t users;
} stream_system;

/* ---- what went wrong ---- */

static enum stream_state stream_fail(struct stream *stream,
				     enum result_code code, const char *words)
{
	stream->failed = true;
	stream->code = code;
	stream->words = words;
	return STREAM_ERROR;
}

static enum stream_state stream_fail_errno(struct stream *stream, int error)
{
	static const struct {
		int error;
		enum result_code code;
		const char *words;
	} table[] = {
		{ ECONNREFUSED, RESULT_REFUSED, "connection refused" },
		{ ECONNRESET, RESULT_CONNECT, "connection reset" },
		{ EPIPE, RESULT_CONNECT, "connection closed by the peer" },
		{ ETIMEDOUT, RESULT_CONNECT, "connection timed out" },
		{ EHOSTUNREACH, RESULT_CONNECT, "host unreachable" },
		{ ENETUNREACH, RESULT_CONNECT, "network unreachable" },
		{ EADDRNOTAVAIL, RESULT_CONNECT, "no local address to use" },
		{ EAFNOSUPPORT, RESULT_CONNECT,
		  "address family not supported" },
		{ EACCES, RESULT_CONNECT, "no permission to connect" },
		{ EPERM, RESULT_CONNECT, "no permission to connect" },
		{ ENOENT, RESULT_CONNECT, "no such socket" },
		{ ENOTDIR, RESULT_CONNECT, "no such socket" },
		{ ENOTSOCK, RESULT_CONNECT, "not a socket" },
		{ EPROTOTYPE, RESULT_CONNECT, "not a stream socket" },
		{ ENAMETOOLONG, RESULT_CONFIG, "socket path is too long" },
		/* A Unix socket whose backlog is full says so at once. */
		{ EAGAIN, RESULT_BUSY, "peer accepts no more connections" },
		{ EMFILE, RESULT_INTERNAL, "out of file descriptors" },
		{ ENFILE, RESULT_INTERNAL, "out of file descriptors" },
		{ ENOMEM, RESULT_INTERNAL, "out of memory" },
		{ ENOBUFS, RESULT_INTERNAL, "out of memory" },
	};
	size_t i;

	errno = error;
	snprintf(stream->detail, sizeof(stream->detail), "%m");
	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].error == error)
			return stream_fail(stream, table[i].code,
					   table[i].words);
	return stream_fail(stream, RESULT_CONNECT, "connection failed");
}

/* ---- TLS: trust ---- */

/* A library that may ask for a passphrase would ask on the terminal. */
static int stream_no_passphrase(char *to, int size, int writing, void *arg)
{
	(void)to, (void)size, (void)writing, (void)arg;
	return -1;
}

/* send(2), since write(2), which the library's own sockets use, raises SIGPIPE
 * on a connection that the peer has closed. */
static int stream_bio_write(BIO *bio, const char *from, int size)
{
	struct stream *stream = BIO_get_data(bio);
	ssize_t sent = send(stream->fd, from, (size_t)size, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	else if (sent < 0)
		stream->io_errno = errno;
	return (int)sent;
}

static int stream_bio_read(BIO *bio, char *to, int size)
{
	struct stream *stream = BIO_get_data(bio);
	ssize_t got = recv(stream->fd, to, (size_t)size, 0);

	BIO_clear_retry_flags(bio);
	if (got == 0)
		stream->input_end = true;
	else if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	else if (got < 0)
		stream->io_errno = errno;
	return (int)got;
}

static long stream_bio_ctrl(BIO *bio, int command, long number, void *arg)
{
	struct stream *stream = BIO_get_data(bio);

	(void)number, (void)arg;
	if (command == BIO_CTRL_EOF)
		return stream->input_end;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *stream_bio_method(void)
{
	BIO_METHOD *io = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

	if (io && BIO_meth_set_write(io, stream_bio_write) &&
	    BIO_meth_set_read(io, stream_bio_read) &&
	    BIO_meth_set_ctrl(io, stream_bio_ctrl))
		return io;
	BIO_meth_free(io);
	return NULL;
}

static SSL_CTX *stream_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	X509_VERIFY_PARAM *param;

	if (!ctx)
		return NULL;
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	/* A peer that is killed sends no close_notify; protocols that know
	 * the length of an answer need none. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* A warm connection between two questions needs no buffers. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	param = SSL_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_hostflags(
		param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
			       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	/* What the operator names as trusted need not be a root. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	return ctx;
}

/* How many certificates of the text came into the store; -1: one is broken. */
static int stream_add_cas(X509_STORE *store, const char *pem, size_t len)
{
	BIO *text = BIO_new_mem_buf(pem, (int)len);
	X509 *cert;
	int n = 0;

	if (!text)
		return -1;
	while ((cert = PEM_read_bio_X509(text, NULL, stream_no_passphrase,
					 NULL))) {
		n = X509_STORE_add_cert(store, cert) ? n + 1 : -1;
		X509_free(cert);
		if (n < 0)
			break;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		n = -1;
	ERR_clear_error();
	BIO_free(text);
	return n;
}

struct stream_trust *stream_trust_create(const char *pem, size_t len,
					 char *words, size_t words_size)
{
	struct stream_trust *trust = calloc(1, sizeof(*trust));
	int n = 1;

	ERR_clear_error();
	if (!trust)
		goto no_memory;
	trust->ctx = stream_ctx();
	trust->io = stream_bio_method();
	trust->of_system = !pem;
	if (!trust->ctx || !trust->io)
		goto no_memory;
	if (pem)
		n = stream_add_cas(SSL_CTX_get_cert_store(trust->ctx), pem,
				   len);
	if (n > 0)
		return trust;
	snprintf(words, words_size, "%s",
		 n < 0 ? "holds a certificate that cannot be read"
		       : "holds no certificate (PEM is expected)");
	stream_trust_destroy(trust);
	return NULL;
no_memory:
	snprintf(words, words_size, "TLS cannot be set up");
	stream_trust_destroy(trust);
	return NULL;
}

/* The first certificate is ours, those behind it lead to a root. */
static bool stream_use_certs(SSL_CTX *ctx, BIO *text)
{
	X509 *cert;
	bool good;
	int n;

	for (n = 0;
	     (cert = PEM_read_bio_X509(text, NULL, stream_no_passphrase, NULL));
	     n++) {
		good = n == 0 ? SSL_CTX_use_certificate(ctx, cert) == 1
			      : SSL_CTX_add1_chain_cert(ctx, cert) == 1;
		X509_free(cert);
		if (!good)
			return false;
	}
	return n > 0;
}

static bool stream_use_key(SSL_CTX *ctx, BIO *text)
{
	EVP_PKEY *key = PEM_read_bio_PrivateKey(text, NULL,
						stream_no_passphrase, NULL);
	bool good = key && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	return good;
}

int stream_trust_identify(struct stream_trust *trust, const char *cert_pem,
			  size_t cert_len, const char *key_pem, size_t key_len,
			  char *words, size_t words_size)
{
	BIO *certs = BIO_new_mem_buf(cert_pem, (int)cert_len);
	BIO *key = BIO_new_mem_buf(key_pem, (int)key_len);
	const char *trouble = NULL;

	if (!certs || !key)
		trouble = "out of memory";
	else if (!stream_use_certs(trust->ctx, certs))
		trouble = "the certificate cannot be read";
	/* This also compares the key with the certificate. */
	else if (!stream_use_key(trust->ctx, key))
		trouble = "the key cannot be read, is encrypted, or is not "
			  "the certificate's";
	ERR_clear_error();
	BIO_free(certs);
	BIO_free(key);
	if (trouble)
		snprintf(words, words_size, "%s", trouble);
	return trouble ? -1 : 0;
}

void stream_trust_destroy(struct stream_trust *trust)
{
	if (!trust)
		return;
	if (trust->has_system_cas && --stream_system.users == 0) {
		X509_STORE_free(stream_system.cas);
		stream_system.cas = NULL;
	}
	SSL_CTX_free(trust->ctx);
	BIO_meth_free(trust->io);
	free(trust);
}

/* Whether the library finds CAs by name in its folder (openssl-rehash(1)). */
static bool stream_system_hashed(void)
{
	DIR *folder;
	struct dirent *entry;
	bool found = false;

	if (getenv(X509_get_default_cert_file_env()) ||
	    getenv(X509_get_default_cert_dir_env()))
		return false;
	folder = opendir(X509_get_default_cert_dir());
	while (folder && !found && (entry = readdir(folder)))
		found = strlen(entry->d_name) == 10 &&
			strspn(entry->d_name, "0123456789abcdef") == 8 &&
			strcmp(entry->d_name + 8, ".0") == 0;
	if (folder)
		closedir(folder);
	return found;
}

/* A store that reads the few CAs that are met from the hashed folder is made
 * in no time; one with the whole bundle takes 20 ms and 800 kB. */
static X509_STORE *stream_system_load(void)
{
	X509_STORE *cas = X509_STORE_new();
	X509_LOOKUP *lookup;
	bool good;

	if (!cas)
		return NULL;
	if (stream_system_hashed()) {
		lookup = X509_STORE_add_lookup(cas, X509_LOOKUP_hash_dir());
		good = lookup &&
		       X509_LOOKUP_add_dir(lookup, NULL, X509_FILETYPE_DEFAULT);
	} else {
		good = X509_STORE_set_default_paths(cas);
	}
	if (good)
		return cas;
	X509_STORE_free(cas);
	return NULL;
}

static bool stream_trust_ready(struct stream_trust *trust)
{
	if (!trust->of_system || trust->has_system_cas)
		return true;
	if (!stream_system.cas)
		stream_system.cas = stream_system_load();
	if (!stream_system.cas)
		return false;
	SSL_CTX_set1_cert_store(trust->ctx, stream_system.cas);
	stream_system.users++;
	trust->has_system_cas = true;
	return true;
}

/* ---- TLS: one connection ---- */

static bool stream_tls_name(struct stream *stream)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(stream->ssl);
	struct in6_addr bits;

	if (inet_pton(AF_INET, stream->host, &bits) == 1 ||
	    inet_pton(AF_INET6, stream->host, &bits) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, stream->host) == 1;
	/* SNI is for names only, RFC 6066 section 3. */
	return SSL_set_tlsext_host_name(stream->ssl, stream->host) == 1 &&
	       X509_VERIFY_PARAM_set1_host(param, stream->host, 0) == 1;
}

static bool stream_tls_begin(struct stream *stream)
{
	BIO *bio;

	if (!stream_trust_ready(stream->trust))
		return false;
	stream->ssl = SSL_new(stream->trust->ctx);
	bio = stream->ssl ? BIO_new(stream->trust->io) : NULL;
	if (!bio)
		return false;
	BIO_set_data(bio, stream);
	BIO_set_init(bio, 1);
	SSL_set_bio(stream->ssl, bio, bio);
	SSL_set_connect_state(stream->ssl);
	return stream_tls_name(stream);
}

static enum stream_state stream_fail_verify(struct stream *stream, long result)
{
	static const struct {
		long result;
		const char *words;
	} table[] = {
		{ X509_V_ERR_CERT_HAS_EXPIRED, "TLS: certificate has expired" },
		{ X509_V_ERR_CERT_NOT_YET_VALID,
		  "TLS: certificate is not valid yet" },
		{ X509_V_ERR_HOSTNAME_MISMATCH,
		  "TLS: host name does not match the certificate" },
		{ X509_V_ERR_IP_ADDRESS_MISMATCH,
		  "TLS: address does not match the certificate" },
		{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
		  "TLS: certificate is not trusted" },
		{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
		  "TLS: certificate is not trusted" },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
		  "TLS: certificate is not trusted" },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
		  "TLS: certificate is not trusted" },
		{ X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
		  "TLS: certificate is not trusted" },
		{ X509_V_ERR_INVALID_PURPOSE,
		  "TLS: certificate is not for a server" },
		{ X509_V_ERR_EE_KEY_TOO_SMALL, "TLS: certificate is too weak" },
		{ X509_V_ERR_CA_KEY_TOO_SMALL, "TLS: certificate is too weak" },
		{ X509_V_ERR_CA_MD_TOO_WEAK, "TLS: certificate is too weak" },
	};
	size_t i;

	snprintf(stream->detail, sizeof(stream->detail), "%s",
		 X509_verify_cert_error_string(result));
	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].result == result)
			return stream_fail(stream, RESULT_TLS, table[i].words);
	return stream_fail(stream, RESULT_TLS, "TLS: certificate is not valid");
}

static enum stream_state stream_fail_library(struct stream *stream,
					     const char *otherwise)
{
	static const struct {
		int reason;
		const char *words;
	} table[] = {
		{ SSL_R_WRONG_VERSION_NUMBER, "TLS: peer does not speak TLS" },
		{ SSL_R_PACKET_LENGTH_TOO_LONG,
		  "TLS: peer does not speak TLS" },
		{ SSL_R_HTTP_REQUEST, "TLS: peer does not speak TLS" },
		{ SSL_R_UNSUPPORTED_PROTOCOL, "TLS: no common version" },
		{ SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
		  "TLS: no common version" },
		/* Before TLS 1.3 also for want of a client certificate. */
		{ SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
		  "TLS: handshake refused by the peer" },
		{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
		  "TLS: peer wants a client certificate" },
		{ SSL_R_TLSV1_ALERT_UNKNOWN_CA,
		  "TLS: peer does not accept our certificate" },
		{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
		  "TLS: peer does not accept our certificate" },
		{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
		  "TLS: peer does not accept our certificate" },
		{ SSL_R_TLSV1_UNRECOGNIZED_NAME,
		  "TLS: peer does not know the host name" },
	};
	unsigned long error = ERR_peek_error();
	const char *said = ERR_reason_error_string(error);
	size_t i;

	snprintf(stream->detail, sizeof(stream->detail), "%s",
		 said ? said : "");
	if (ERR_GET_LIB(error) == ERR_LIB_SSL)
		for (i = 0; i < sizeof(table) / sizeof(*table); i++)
			if (table[i].reason == ERR_GET_REASON(error))
				return stream_fail(stream, RESULT_TLS,
						   table[i].words);
	return stream_fail(stream, RESULT_TLS, otherwise);
}

/* What a call of the library that did not do its work means. */
static enum stream_state stream_tls_judge(struct stream *stream, int returned)
{
	long verified = SSL_get_verify_result(stream->ssl);

	switch (SSL_get_error(stream->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
		stream->events = POLLIN;
		return STREAM_PENDING;
	case SSL_ERROR_WANT_WRITE:
		stream->events = POLLOUT;
		return STREAM_PENDING;
	case SSL_ERROR_ZERO_RETURN:
		if (stream->secured)
			return STREAM_EOF;
		return stream_fail(stream, RESULT_TLS,
				   "TLS: peer closed in the handshake");
	default:
		if (stream->io_errno)
			return stream_fail_errno(stream, stream->io_errno);
		if (!stream->secured && verified != X509_V_OK)
			return stream_fail_verify(stream, verified);
		return stream_fail_library(
			stream, stream->secured ? "TLS: connection broken"
						: "TLS: handshake failed");
	}
}

static enum stream_state stream_secure(struct stream *stream)
{
	int returned;

	ERR_clear_error();
	if (!stream->ssl && !stream_tls_begin(stream))
		return stream_fail(stream, RESULT_INTERNAL,
				   "TLS cannot be set up");
	returned = SSL_do_handshake(stream->ssl);
	if (returned != 1)
		return stream_tls_judge(stream, returned);
	stream->secured = true;
	stream->events = POLLIN;
	return STREAM_DONE;
}

/* ---- connecting ---- */

/* Keeps the error that tells most: that there is no way to some address is
 * usual where a host has both families. */
static void stream_note(struct stream *stream, int error)
{
	int old = stream->connect_errno;

	if (!old || old == ENETUNREACH || old == EHOSTUNREACH ||
	    old == EADDRNOTAVAIL || old == EAFNOSUPPORT)
		stream->connect_errno = error;
}

static void stream_end_tries(struct stream *stream)
{
	size_t i;

	for (i = 0; i < stream->n; i++) {
		if (stream->tries[i] >= 0)
			close(stream->tries[i]);
		stream->tries[i] = -1;
	}
	if (stream->set_fd >= 0)
		close(stream->set_fd);
	if (stream->timer_fd >= 0)
		close(stream->timer_fd);
	stream->set_fd = stream->timer_fd = -1;
}

static void stream_connected(struct stream *stream, size_t place, int fd)
{
	stream->tries[place] = -1;
	stream_end_tries(stream);
	stream->peer = place;
	stream->fd = fd;
	stream->events = POLLIN;
}

static void stream_arm(struct stream *stream)
{
	struct itimerspec in = { .it_value = { 0 } };

	if (stream->timer_fd < 0)
		return;
	/* All zero disarms it: there is no other place to try. */
	if (stream->next < stream->n) {
		in.it_value.tv_sec = stream->try_ms / 1000;
		in.it_value.tv_nsec = stream->try_ms % 1000 * 1000000;
	}
	timerfd_settime(stream->timer_fd, 0, &in, NULL);
}

/* Starts with one place: 0, or the error number that ends it at once. */
static int stream_try(struct stream *stream, size_t i)
{
	const struct stream_place *place = &stream->places[i];
	struct epoll_event wanted = { .events = EPOLLOUT };
	int fd, error, on = 1;

	fd = socket(place->sa.sa_family,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (place->sa.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, &place->sa, place->len) == 0) {
		stream_connected(stream, i, fd);
		return 0;
	}
	error = errno;
	if (error == EINPROGRESS &&
	    (stream->set_fd < 0 ||
	     epoll_ctl(stream->set_fd, EPOLL_CTL_ADD, fd, &wanted) == 0)) {
		stream->tries[i] = fd;
		return 0;
	}
	close(fd);
	return error == EINPROGRESS ? ENOMEM : error;
}

/* Starts with the next place that does not fail at once. */
static void stream_try_next(struct stream *stream)
{
	int error = -1;

	while (error && stream->next < stream->n) {
		error = stream_try(stream, stream->next++);
		if (error)
			stream_note(stream, error);
	}
	if (stream->fd < 0)
		stream_arm(stream);
}

/* Looks at one place under way; whether its try has failed. */
static bool stream_look(struct stream *stream, size_t i)
{
	struct pollfd polled = { stream->tries[i], POLLOUT, 0 };
	socklen_t len = sizeof(int);
	int error = 0;

	if (polled.fd < 0 || poll(&polled, 1, 0) <= 0)
		return false;
	if (getsockopt(polled.fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (!error) {
		stream_connected(stream, i, polled.fd);
		return false;
	}
	stream_note(stream, error);
	close(polled.fd); /* and leaves the epoll set by that */
	stream->tries[i] = -1;
	return true;
}

static enum stream_state stream_connect(struct stream *stream)
{
	bool failed = false, waiting = false;
	uint64_t expired;
	size_t i;

	for (i = 0; i < stream->n && stream->fd < 0; i++)
		failed |= stream_look(stream, i);
	if (stream->fd < 0 &&
	    (failed || stream->next == 0 ||
	     (stream->timer_fd >= 0 &&
	      read(stream->timer_fd, &expired, sizeof(expired)) > 0)))
		stream_try_next(stream);
	if (stream->fd >= 0)
		return STREAM_DONE;
	for (i = 0; i < stream->n; i++)
		waiting |= stream->tries[i] >= 0;
	return waiting ? STREAM_PENDING
		       : stream_fail_errno(stream, stream->connect_errno);
}

/* ---- a stream ---- */

static void stream_place_unix(struct stream *stream, const char *path)
{
	struct stream_place *place = &stream->places[0];
	size_t len = strlen(path);

	if (len >= sizeof(place->un.sun_path)) {
		stream_fail_errno(stream, ENAMETOOLONG);
		return;
	}
	place->un.sun_family = AF_UNIX;
	memcpy(place->un.sun_path, path, len + 1);
	place->len = sizeof(place->un);
	stream->n = 1;
}

static void stream_place_addrs(struct stream *stream,
			       const struct stream_target *target)
{
	struct stream_place *place;
	size_t i;

	assert(target->addrs->n > 0 && target->addrs->n <= RESOLVE_MAX);
	for (i = 0; i < target->addrs->n; i++) {
		place = &stream->places[i];
		memcpy(&place->sa, &target->addrs->addrs[i].sa,
		       target->addrs->addrs[i].len);
		place->len = target->addrs->addrs[i].len;
		if (place->sa.sa_family == AF_INET)
			place->in.sin_port = htons(target->port);
		else
			place->in6.sin6_port = htons(target->port);
	}
	stream->n = target->addrs->n;
}

/* What holds several tries at once. */
static void stream_set_open(struct stream *stream)
{
	struct epoll_event wanted = { .events = EPOLLIN };

	stream->set_fd = epoll_create1(EPOLL_CLOEXEC);
	stream->timer_fd = timerfd_create(CLOCK_MONOTONIC,
					  TFD_NONBLOCK | TFD_CLOEXEC);
	if (stream->set_fd < 0 || stream->timer_fd < 0 ||
	    epoll_ctl(stream->set_fd, EPOLL_CTL_ADD, stream->timer_fd, &wanted))
		stream_fail_errno(stream, errno);
}

struct stream *stream_open(const struct stream_target *target)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	size_t i, len;

	if (!stream)
		return NULL;
	stream->fd = stream->set_fd = stream->timer_fd = -1;
	for (i = 0; i < RESOLVE_MAX; i++)
		stream->tries[i] = -1;
	stream->words = "";
	stream->try_ms = target->try_ms > 0 ? target->try_ms : 1;
	stream->trust = target->unix_path ? NULL : target->trust;
	if (stream->trust) {
		snprintf(stream->host, sizeof(stream->host), "%s",
			 target->host);
		/* An absolute name ends in a dot, a certificate's does not. */
		len = strlen(stream->host);
		if (len > 1 && stream->host[len - 1] == '.')
			stream->host[len - 1] = '\0';
	}
	if (target->unix_path)
		stream_place_unix(stream, target->unix_path);
	else
		stream_place_addrs(stream, target);
	if (stream->n > 1)
		stream_set_open(stream);
	return stream;
}

void stream_close(struct stream *stream)
{
	if (!stream)
		return;
	if (stream->secured && !stream->failed) {
		ERR_clear_error();
		SSL_shutdown(stream->ssl); /* says so, waits for nothing */
	}
	SSL_free(stream->ssl);
	ERR_clear_error();
	stream_end_tries(stream);
	if (stream->fd >= 0)
		close(stream->fd);
	free(stream);
}

enum stream_state stream_advance(struct stream *stream)
{
	enum stream_state state;

	if (stream->failed)
		return STREAM_ERROR;
	if (stream->fd < 0) {
		state = stream_connect(stream);
		if (state != STREAM_DONE)
			return state;
	}
	if (!stream->trust || stream->secured)
		return STREAM_DONE;
	return stream_secure(stream);
}

/* What a system call that moved nothing means. */
static enum stream_state stream_judge(struct stream *stream, short events)
{
	if (errno != EAGAIN && errno != EINTR)
		return stream_fail_errno(stream, errno);
	stream->events = events;
	return STREAM_PENDING;
}

enum stream_state stream_read(struct stream *stream, void *to, size_t size,
			      size_t *moved)
{
	ssize_t got;
	int returned;

	/* When a write has failed there may still be something to read. */
	if (stream->failed && (stream->fd < 0 || stream->trust))
		return STREAM_ERROR;
	assert(stream->fd >= 0 && size > 0);
	if (stream->trust) {
		ERR_clear_error();
		returned = SSL_read_ex(stream->ssl, to, size, moved);
		return returned == 1 ? STREAM_DONE
				     : stream_tls_judge(stream, returned);
	}
	got = recv(stream->fd, to, size, 0);
	if (got == 0)
		return STREAM_EOF;
	if (got < 0)
		return stream_judge(stream, POLLIN);
	*moved = (size_t)got;
	return STREAM_DONE;
}

enum stream_state stream_write(struct stream *stream, const void *from,
			       size_t size, size_t *moved)
{
	ssize_t sent;
	int returned;

	if (stream->failed)
		return STREAM_ERROR;
	assert(stream->fd >= 0 && size > 0);
	if (stream->trust) {
		ERR_clear_error();
		returned = SSL_write_ex(stream->ssl, from, size, moved);
		return returned == 1 ? STREAM_DONE
				     : stream_tls_judge(stream, returned);
	}
	sent = send(stream->fd, from, size, MSG_NOSIGNAL);
	if (sent < 0)
		return stream_judge(stream, POLLOUT);
	*moved = (size_t)sent;
	return STREAM_DONE;
}

int stream_fd(const struct stream *stream)
{
	size_t i;

	if (stream->fd >= 0)
		return stream->fd;
	if (stream->set_fd >= 0)
		return stream->set_fd;
	for (i = 0; i < stream->n; i++)
		if (stream->tries[i] >= 0)
			return stream->tries[i];
	return -1;
}

short stream_events(const struct stream *stream)
{
	if (stream->fd >= 0)
		return stream->events;
	return stream->set_fd >= 0 ? POLLIN : POLLOUT;
}

const char *stream_step(const struct stream *stream)
{
	if (stream->fd < 0)
		return "connecting";
	return stream->trust && !stream->secured ? "in the TLS handshake"
						 : "connected";
}

enum result_code stream_code(const struct stream *stream)
{
	return stream->code;
}

const char *stream_words(const struct stream *stream)
{
	return stream->words;
}

const char *stream_detail(const struct stream *stream)
{
	return stream->detail;
}

const struct sockaddr *stream_peer(const struct stream *stream)
{
	const struct sockaddr *sa = &stream->places[stream->peer].sa;

	return stream->fd < 0 || sa->sa_family == AF_UNIX ? NULL : sa;
}

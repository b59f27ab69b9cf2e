#include "config.h"

#include "io/stream_tls.h"

#include "conf/conf.h"
#include "io/wire.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A long chain of certificates is below this. */
#define STREAM_HANDSHAKE_BYTES (128 * 1024)

/* ---- the socket, as OpenSSL uses it ---- */

static int stream_bio_write(BIO *library, const char *from, int size)
{
	struct stream_bio *bio = BIO_get_data(library);
	ssize_t sent = send(bio->fd, from, (size_t)size, MSG_NOSIGNAL);

	BIO_clear_retry_flags(library);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(library);
	else if (sent < 0)
		bio->error = errno;
	return (int)sent;
}

static int stream_bio_read(BIO *library, char *to, int size)
{
	struct stream_bio *bio = BIO_get_data(library);
	ssize_t got = wire_recv(bio->fd, to, (size_t)size, 0);

	BIO_clear_retry_flags(library);
	if (got > 0)
		bio->bytes += wire_cost((size_t)got);
	else if (got == 0)
		bio->input_end = true;
	else if (errno == EAGAIN || errno == EINTR)
		BIO_set_retry_read(library);
	else
		bio->error = errno;
	return (int)got;
}

static long stream_bio_ctrl(BIO *library, int command, long number, void *arg)
{
	const struct stream_bio *bio = BIO_get_data(library);

	(void)number, (void)arg;
	if (command == BIO_CTRL_EOF)
		return bio->input_end;
	return command == BIO_CTRL_FLUSH;
}

/* For all streams, any thread; for BIO_meth_free().  NULL when out of memory.
 */
static BIO_METHOD *stream_bio_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

	if (method && BIO_meth_set_write(method, stream_bio_write) &&
	    BIO_meth_set_read(method, stream_bio_read) &&
	    BIO_meth_set_ctrl(method, stream_bio_ctrl))
		return method;
	BIO_meth_free(method);
	return NULL;
}

/* ---- trust ---- */

/* The CAs that a stream trusts, its client certificate, and the TLS settings
 * of all streams.  Made in the threads that stream.h names; then it belongs to
 * the main thread of a worker, and a copy that was never used to the thread
 * that frees it. */
struct stream_trust {
	SSL_CTX *ctx;
	BIO_METHOD *io;
	bool of_system;	     /* trusts the system's CAs ... */
	bool has_system_cas; /* ... and has them already */
};

/* The system's CAs, shared by all connections that trust them. */
static struct {
	X509_STORE *cas; /* NULL until needed */
	size_t users;
} stream_trust_system;

/* Otherwise the library would ask for a passphrase on the terminal. */
static int stream_trust_no_passphrase(char *to, int size, int writing,
				      void *arg)
{
	(void)to, (void)size, (void)writing, (void)arg;
	return -1;
}

static SSL_CTX *stream_trust_ctx(void)
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
static int stream_trust_add_cas(X509_STORE *store, const char *pem, size_t len)
{
	BIO *text = BIO_new_mem_buf(pem, (int)len);
	X509 *cert;
	int n = 0;

	if (!text)
		return -1;
	while ((cert = PEM_read_bio_X509(text, NULL, stream_trust_no_passphrase,
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

/* What is wrong with a PEM text of CAs, which go into the store; NULL:
 * nothing. */
static const char *stream_trust_fill(X509_STORE *store, const char *pem,
				     size_t len)
{
	int n = stream_trust_add_cas(store, pem, len);

	if (n > 0)
		return NULL;
	return n ? "contains a certificate that cannot be read"
		 : "contains no certificate in PEM format";
}

const char *stream_pem_wrong(const char *pem, size_t len)
{
	X509_STORE *store = X509_STORE_new();
	const char *wrong = store ? stream_trust_fill(store, pem, len)
				  : "out of memory";

	X509_STORE_free(store);
	return wrong;
}

struct stream_trust *stream_trust_create(const char *pem, size_t len,
					 char *words, size_t words_size)
{
	struct stream_trust *trust = calloc(1, sizeof(*trust));
	const char *trouble = NULL;

	ERR_clear_error();
	if (trust) {
		trust->ctx = stream_trust_ctx();
		trust->io = stream_bio_method();
		trust->of_system = !pem;
	}
	if (!trust || !trust->ctx || !trust->io) {
		trouble = "TLS cannot be set up";
	} else if (pem) {
		trouble = stream_trust_fill(SSL_CTX_get_cert_store(trust->ctx),
					    pem, len);
	}
	if (!trouble)
		return trust;
	snprintf(words, words_size, "%s", trouble);
	stream_trust_destroy(trust);
	return NULL;
}

struct stream_trust *stream_trust_prepare(struct conf *conf,
					  const struct conf_section *section,
					  const char *ca_file)
{
	struct stream_trust *trust = NULL;
	char words[160], *pem = NULL;
	size_t len = 0;

	if (!*ca_file || !conf_slurp(ca_file, STREAM_PEM_BYTES, &pem, &len,
				     words, sizeof(words)))
		trust = stream_trust_create(pem, len, words, sizeof(words));
	if (!trust)
		conf_mistake(conf, section, *ca_file ? "ca_file" : NULL,
			     "%s%s%s", ca_file, *ca_file ? " " : "", words);
	free(pem);
	return trust;
}

/* The first certificate is ours, those behind it lead to a root. */
static bool stream_trust_use_certs(SSL_CTX *ctx, BIO *text)
{
	bool good = true;
	X509 *cert;
	int n;

	for (n = 0;
	     good && (cert = PEM_read_bio_X509(
			      text, NULL, stream_trust_no_passphrase, NULL));
	     n++) {
		good = n == 0 ? SSL_CTX_use_certificate(ctx, cert) == 1
			      : SSL_CTX_add1_chain_cert(ctx, cert) == 1;
		X509_free(cert);
	}
	return good && n > 0;
}

static bool stream_trust_use_key(SSL_CTX *ctx, BIO *text)
{
	EVP_PKEY *key = PEM_read_bio_PrivateKey(
		text, NULL, stream_trust_no_passphrase, NULL);
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
	else if (!stream_trust_use_certs(trust->ctx, certs))
		trouble = "the certificate cannot be read";
	/* This also compares the key with the certificate. */
	else if (!stream_trust_use_key(trust->ctx, key))
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
	if (trust->has_system_cas && --stream_trust_system.users == 0) {
		X509_STORE_free(stream_trust_system.cas);
		stream_trust_system.cas = NULL;
	}
	SSL_CTX_free(trust->ctx);
	BIO_meth_free(trust->io);
	free(trust);
}

/* Whether the library finds CAs by name in its directory (openssl-rehash(1)).
 */
static bool stream_trust_system_hashed(void)
{
	DIR *directory;
	struct dirent *entry;
	bool found = false;

	if (getenv(X509_get_default_cert_file_env()) ||
	    getenv(X509_get_default_cert_dir_env()))
		return false;
	directory = opendir(X509_get_default_cert_dir());
	while (directory && !found && (entry = readdir(directory)))
		found = strlen(entry->d_name) == 10 &&
			strspn(entry->d_name, "0123456789abcdef") == 8 &&
			strcmp(entry->d_name + 8, ".0") == 0;
	if (directory)
		closedir(directory);
	return found;
}

/* A store that reads single CAs from the hashed directory on demand costs
 * nothing; one with the whole bundle takes 20 ms and 800 kB. */
static X509_STORE *stream_trust_system_load(void)
{
	X509_STORE *cas = X509_STORE_new();

	if (cas &&
	    (stream_trust_system_hashed()
		     ? X509_STORE_load_path(cas, X509_get_default_cert_dir())
		     : X509_STORE_set_default_paths(cas)))
		return cas;
	X509_STORE_free(cas);
	return NULL;
}

/* Before the first connection: loads the system's CAs, if these are to be
 * trusted.  false: they cannot be loaded. */
static bool stream_trust_ready(struct stream_trust *trust)
{
	if (!trust->of_system || trust->has_system_cas)
		return true;
	if (!stream_trust_system.cas)
		stream_trust_system.cas = stream_trust_system_load();
	if (!stream_trust_system.cas)
		return false;
	SSL_CTX_set1_cert_store(trust->ctx, stream_trust_system.cas);
	stream_trust_system.users++;
	trust->has_system_cas = true;
	return true;
}

/* ---- TLS ---- */

static bool stream_tls_expect_host(struct stream_tls *tls)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
	struct in6_addr bits;

	if (inet_pton(AF_INET, tls->host, &bits) == 1 ||
	    inet_pton(AF_INET6, tls->host, &bits) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, tls->host) == 1;
	/* SNI is for names only, RFC 6066 section 3. */
	return SSL_set_tlsext_host_name(tls->ssl, tls->host) == 1 &&
	       X509_VERIFY_PARAM_set1_host(param, tls->host, 0) == 1;
}

static bool stream_tls_begin(struct stream_tls *tls, int fd)
{
	BIO *bio;

	if (!stream_trust_ready(tls->trust))
		return false;
	tls->ssl = SSL_new(tls->trust->ctx);
	tls->bio.fd = fd;
	bio = tls->ssl ? BIO_new(tls->trust->io) : NULL;
	if (!bio)
		return false;
	BIO_set_data(bio, &tls->bio);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_connect_state(tls->ssl);
	return stream_tls_expect_host(tls);
}

static struct failure stream_tls_failure(const struct stream_tls *tls)
{
	const char *said = ERR_reason_error_string(ERR_peek_error());
	struct failure failure = { .code = RESULT_UNKNOWN };

	if (tls->bio.error)
		return failure_errno(tls->bio.error);
	if (!tls->secured)
		failure = failure_handshake(tls->ssl);
	if (failure.code != RESULT_UNKNOWN)
		return failure;
	said = said ? said : "";
	failure = failure_tls(said, tls->secured ? "TLS: connection broken"
						 : "TLS: handshake failed");
	snprintf(failure.detail, sizeof(failure.detail), "%s", said);
	return failure;
}

/* What a call of the library that returned this means. */
static enum stream_state stream_tls_judge(struct stream_tls *tls, int returned,
					  struct failure *failure)
{
	switch (SSL_get_error(tls->ssl, returned)) {
	case SSL_ERROR_NONE:
		return STREAM_DONE;
	case SSL_ERROR_WANT_READ:
		tls->events = POLLIN;
		return STREAM_PENDING;
	case SSL_ERROR_WANT_WRITE:
		tls->events = POLLOUT;
		return STREAM_PENDING;
	case SSL_ERROR_ZERO_RETURN:
		*failure = tls->secured ? failure_errno(EPIPE)
					: failure_make(RESULT_TLS,
						       "TLS: peer closed in "
						       "the handshake");
		return STREAM_ERROR;
	default:
		*failure = stream_tls_failure(tls);
		return STREAM_ERROR;
	}
}

enum stream_state stream_tls_secure(struct stream_tls *tls, int fd,
				    struct failure *failure)
{
	int returned;

	ERR_clear_error();
	if (!tls->ssl && !stream_tls_begin(tls, fd)) {
		*failure = failure_make(RESULT_INTERNAL, "cannot set up TLS");
		return STREAM_ERROR;
	}
	returned = SSL_do_handshake(tls->ssl);
	if (returned != 1 && tls->bio.bytes > STREAM_HANDSHAKE_BYTES) {
		*failure = failure_make(RESULT_TLS, "TLS: handshake too long");
		return STREAM_ERROR;
	}
	if (returned != 1)
		return stream_tls_judge(tls, returned, failure);
	tls->secured = true;
	tls->events = POLLIN;
	return STREAM_DONE;
}

enum stream_state stream_tls_read(struct stream_tls *tls, void *to, size_t size,
				  size_t *moved, struct failure *failure)
{
	ERR_clear_error();
	return stream_tls_judge(tls, SSL_read_ex(tls->ssl, to, size, moved),
				failure);
}

enum stream_state stream_tls_write(struct stream_tls *tls, const void *from,
				   size_t size, size_t *moved,
				   struct failure *failure)
{
	ERR_clear_error();
	return stream_tls_judge(tls, SSL_write_ex(tls->ssl, from, size, moved),
				failure);
}

void stream_tls_close(struct stream_tls *tls, bool broken)
{
	if (tls->secured && !broken) {
		ERR_clear_error();
		SSL_shutdown(tls->ssl); /* sends close_notify, does not wait */
	}
	SSL_free(tls->ssl);
	ERR_clear_error();
}

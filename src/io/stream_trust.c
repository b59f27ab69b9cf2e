#include "config.h"

#include "io/stream_tls.h"

#include "conf/conf.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The system's CAs, shared by all connections that trust them. */
static struct {
	X509_STORE *cas; /* NULL until needed */
	size_t users;
} stream_trust_system;

/* A library that may ask for a passphrase would ask on the terminal. */
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

struct stream_trust *stream_trust_create(const char *pem, size_t len,
					 char *words, size_t words_size)
{
	struct stream_trust *trust = calloc(1, sizeof(*trust));
	const char *trouble = NULL;
	int n;

	ERR_clear_error();
	if (trust) {
		trust->ctx = stream_trust_ctx();
		trust->io = stream_bio_method();
		trust->of_system = !pem;
	}
	if (!trust || !trust->ctx || !trust->io) {
		trouble = "TLS cannot be set up";
	} else if (pem) {
		n = stream_trust_add_cas(SSL_CTX_get_cert_store(trust->ctx),
					 pem, len);
		if (n <= 0)
			trouble = n ? "contains a certificate that cannot be "
				      "read"
				    : "contains no certificate in PEM format";
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

bool stream_trust_ready(struct stream_trust *trust)
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

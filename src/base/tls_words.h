/*
 * tls_words: why a certificate was not accepted, in the same words for every
 * kind of check, whichever library made the connection.
 *
 * Pure; any thread.  Nothing can fail.
 */
#ifndef HEALTH_TLS_WORDS_H
#define HEALTH_TLS_WORDS_H

struct ssl_st;

#define TLS_WORDS_OTHER_HOST "TLS: certificate is for another host"

/* result is an X509_V_ERR_... of X509_STORE_CTX_get_error(3ssl).  Static. */
const char *tls_words_verify(long result);

/* Those of a handshake that failed; NULL: not because of the certificate. */
const char *tls_words_handshake(const struct ssl_st *ssl);

#endif

/*
 * tls_peer: a TLS 1.3 server that sends session tickets without end, which no
 * real server does.
 *
 *	tls_peer PORT CERT KEY [ANSWER]
 *
 * CERT and KEY are PEM files.  With ANSWER (\r and \n are understood), the
 * peer first reads a question and answers it, so that the tickets arrive on an
 * idle connection; without, they follow the handshake.  A PostgreSQL client's
 * request for TLS is granted.  Each connection has a process of its own; a line
 * "open" is written for each.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEER_TLS_HANDSHAKE 0x16

static void peer_die(const char *what)
{
	perror(what);
	exit(2);
}

static int peer_listen(const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&in, sizeof(in)) || listen(fd, 16))
		peer_die(port);
	return fd;
}

/* Takes \r and \n; in place. */
static void peer_unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && (text[1] == 'r' || text[1] == 'n'))
			*to++ = *++text == 'r' ? '\r' : '\n';
		else
			*to++ = *text;
	}
	*to = '\0';
}

/* PostgreSQL asks for TLS in eight bytes and waits for an S. */
static bool peer_grant_tls(int fd)
{
	unsigned char ask[8];

	if (recv(fd, ask, 1, MSG_PEEK) != 1)
		return false;
	if (ask[0] == PEER_TLS_HANDSHAKE)
		return true;
	return recv(fd, ask, sizeof(ask), MSG_WAITALL) == sizeof(ask) &&
	       send(fd, "S", 1, MSG_NOSIGNAL) == 1;
}

static bool peer_answer(SSL *ssl, const char *answer)
{
	char question[4096];

	return SSL_read(ssl, question, sizeof(question)) > 0 &&
	       SSL_write(ssl, answer, (int)strlen(answer)) > 0;
}

static void peer_serve(SSL_CTX *ctx, int fd, const char *answer)
{
	SSL *ssl = SSL_new(ctx);

	SSL_set_fd(ssl, fd);
	if (peer_grant_tls(fd) && SSL_accept(ssl) == 1) {
		puts("open");
		fflush(stdout);
		if (!answer || peer_answer(ssl, answer))
			while (SSL_new_session_ticket(ssl) == 1 &&
			       SSL_do_handshake(ssl) == 1)
				continue;
	}
	SSL_free(ssl);
	close(fd);
}

int main(int argc, char **argv)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int listening, fd;

	if (argc < 4 || argc > 5) {
		fputs("usage: tls_peer PORT CERT KEY [ANSWER]\n", stderr);
		return 2;
	}
	/* SIGPIPE ends the process of a connection that the client closed: the
	 * library does not report that a ticket was not sent. */
	signal(SIGCHLD, SIG_IGN);
	if (argc == 5)
		peer_unescape(argv[4]);
	if (SSL_CTX_use_certificate_chain_file(ctx, argv[2]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
		peer_die("TLS");
	listening = peer_listen(argv[1]);
	while ((fd = accept(listening, NULL, NULL)) >= 0) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			peer_serve(ctx, fd, argv[4]);
			/* The context is the parent's: no leak. */
			_exit(0);
		}
		close(fd);
	}
	peer_die("accept");
}

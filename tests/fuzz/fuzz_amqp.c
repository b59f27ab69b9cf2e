/*
 * What Azure Service Bus, or a peer in its place, may send: the input says what
 * is configured and in which pieces the bytes arrive.  Random names are
 * constant here, so that an answer in the corpus fits its question.
 */
#include "config.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

static ssize_t fuzz_random(void *to, size_t size, unsigned flags)
{
	(void)flags;
	memset(to, 0x5a, size);
	return (ssize_t)size;
}

#define getrandom fuzz_random
#include "kinds/servicebus/sb_link.c"
#undef getrandom

#include "kinds/servicebus/sb_conf.h"

#define FUZZ_CORPUS "tests/fuzz/corpus/amqp"
#include "fuzz.h"

#define FUZZ_RUNS 3
#define FUZZ_TURN_MS 7
/* What is sent to a peer is bounded by what the peer sent. */
#define FUZZ_OUTPUT_BYTES 65536

static char host[] = "h", node[] = "q/$management", target[] = "q";
static char audience[] = "sb://h/q/$management", name[] = "n", key[] = "k";

/* Takes all output and drops it; its length. */
static size_t fuzz_send(struct sb_link *link)
{
	const char *from;
	size_t len, all = 0;

	while ((len = sb_link_output(link, &from)) > 0) {
		all += len;
		FUZZ_CHECK(all <= FUZZ_OUTPUT_BYTES);
		sb_link_sent(link, len);
	}
	return all;
}

/* false: the link takes no more. */
static bool fuzz_feed(struct sb_link *link, struct fuzz_input *input,
		      struct fuzz_pieces *pieces)
{
	size_t len = fuzz_piece(pieces, input->left), room;
	char *to;

	room = sb_link_room(link, &to);
	len = len < room ? len : room;
	if (len == 0)
		return false;
	memcpy(to, input->at, len);
	sb_link_fed(link, len);
	input->at += len;
	input->left -= len;
	return true;
}

static enum sb_state fuzz_turn(struct sb_link *link, int64_t *now_ms)
{
	enum sb_state state;

	*now_ms += FUZZ_TURN_MS;
	state = sb_link_turn(link, *now_ms);
	fuzz_send(link);
	if (state != SB_ANSWERED && state != SB_FAILED)
		state = sb_link_turn(link, *now_ms);
	/* A peer cannot make the loop spin. */
	FUZZ_CHECK(state == SB_FAILED || link->spent ||
		   sb_link_due_ms(link) == 0 || sb_link_due_ms(link) > *now_ms);
	return state;
}

static void fuzz_outcome(const struct sb_link *link, enum sb_state state)
{
	const struct failure *outcome = sb_link_outcome(link);

	FUZZ_CHECK(fuzz_clean(outcome->words));
	FUZZ_CHECK((outcome->code == RESULT_OK) == !outcome->words[0]);
	FUZZ_CHECK(state != SB_FAILED || outcome->code != RESULT_OK);
	FUZZ_CHECK(strnlen(outcome->detail, sizeof(outcome->detail)) <
		   sizeof(outcome->detail));
	FUZZ_CHECK(!strstr(outcome->detail, "sig="));
}

static void fuzz_talk(struct sb_link *link, struct fuzz_input *input)
{
	struct fuzz_pieces pieces = fuzz_pieces(input);
	enum sb_state state = SB_OPENING;
	int64_t now_ms = 1000;
	int runs = 0;

	do {
		state = fuzz_turn(link, &now_ms);
		FUZZ_CHECK(*sb_link_step(link));
		if (state == SB_ANSWERED || state == SB_FAILED)
			fuzz_outcome(link, state);
		if (state == SB_FAILED || (state == SB_ANSWERED && link->spent))
			break;
		if ((state == SB_READY || state == SB_ANSWERED) &&
		    runs++ < FUZZ_RUNS) {
			sb_link_ask(link, 1000);
			fuzz_turn(link, &now_ms);
		}
	} while (input->left > 0 && fuzz_feed(link, input, &pieces));
	sb_link_leave(link);
	fuzz_send(link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	unsigned choice = fuzz_byte(&input);
	struct sb_conf conf = {
		.host = host,
		.node = choice & 1 ? target : node,
		.audience = audience,
		.key_name = name,
		.key = key,
		.token_life_ms = choice & 4 ? 20 : 100000,
		.auth = choice & 2 ? SB_AUTH_PLAIN : SB_AUTH_CBS,
		.right = choice & 1 ? SB_RIGHT_SEND : SB_RIGHT_LISTEN,
	};
	struct sb_link *link = sb_link_create(&conf);

	FUZZ_CHECK(link);
	fuzz_talk(link, &input);
	sb_link_free(link);
	return 0;
}

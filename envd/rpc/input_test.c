#include "rpc/input.h"

#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

#define PIECE (1024u * 1024u)
#define LARGE (60u * 1024u * 1024u) /* bytes, below RPC_MESSAGE_MAX */

static const struct input_form form = {
	.protocol = &connect_unary,
	.message_max = 64u * 1024u * 1024u,
	.body_length = -1,
};

/* Feeds so many bytes of a body that goes on; what came of it. */
static enum input_found feed(struct rpc_input *in, size_t size, struct err *e)
{
	CLEANUP(freep) uint8_t *piece = xcalloc(1, PIECE);
	ProtobufCMessage *message;
	enum input_found found = INPUT_FOUND_NOTHING;

	for (; size > 0 && found == INPUT_FOUND_NOTHING; size -= MIN(size, PIECE)) {
		input_push(in, piece, MIN(size, PIECE));
		found = input_next(in, &message, e);
		input_keep(in);
	}
	return found;
}

static void test_input_unfinished_messages_share_a_limit(void **state)
{
	struct rpc_input inputs[CHARGE_TOTAL_MAX / LARGE + 1];
	const size_t last = ARRAY_SIZE(inputs) - 1;
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++)
		input_init(&inputs[i], NULL, &form, NULL, 0);
	for (size_t i = 0; i < last; i++)
		assert_int_equal(feed(&inputs[i], LARGE, &e), INPUT_FOUND_NOTHING);

	assert_int_equal(feed(&inputs[last], LARGE, &e), INPUT_FOUND_ERROR);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_non_null(strstr(e.text, "unfinished messages"));
	input_deinit(&inputs[last]);

	/* A small one is nobody's concern, and what is given up is there for the next. */
	input_init(&inputs[last], NULL, &form, NULL, 0);
	assert_int_equal(feed(&inputs[last], CHARGE_FREE_MAX, &e), INPUT_FOUND_NOTHING);
	input_close(&inputs[0]);
	assert_int_equal(feed(&inputs[last], LARGE, &e), INPUT_FOUND_NOTHING);
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++)
		input_deinit(&inputs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_input_unfinished_messages_share_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

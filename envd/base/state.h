/*
 * A checked state field: an object's states are an enum with a table of names and allowed next
 * states; state_move asserts the move and traces it at level trace.
 *
 *     static const struct state_rule rules[] = {
 *             [DOOR_OPEN]   = { "open",   BIT(DOOR_CLOSED) },
 *             [DOOR_CLOSED] = { "closed", BIT(DOOR_OPEN) },
 *     };
 *     struct state s;   state_init(&s, rules, ARRAY_SIZE(rules), DOOR_OPEN, "door", id);
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct state_rule {
	const char *name;
	uint32_t next; /* BIT(state) for each allowed next state */
};

struct state {
	int now;
	uint32_t n_rules;
	const struct state_rule *rules; /* borrowed, static */
	const char *what;               /* borrowed, static: the object's kind, for the trace */
	uint64_t id;                    /* the object's number, for the trace */
};

void state_init(struct state *s, const struct state_rule *rules, size_t n_rules, int first,
                const char *what, uint64_t id);
void state_move(struct state *s, int to);
const char *state_name(const struct state *s);

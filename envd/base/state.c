#include "base/state.h"

#include "base/log.h"
#include "base/macros.h"

#define STATES_MAX 32u /* bits of state_rule.next */

void state_init(struct state *s, const struct state_rule *rules, size_t n_rules, int first,
                const char *what, uint64_t id)
{
	ASSERT(n_rules > 0 && n_rules <= STATES_MAX);
	ASSERT(first >= 0 && (size_t)first < n_rules);
	*s = (struct state){
		.now = first,
		.n_rules = (uint32_t)n_rules,
		.rules = rules,
		.what = what,
		.id = id,
	};
}

void state_move(struct state *s, int to)
{
	const char *from = state_name(s);

	ASSERT(to >= 0 && (uint32_t)to < s->n_rules);
	ASSERT(s->rules[s->now].next & BIT(to));
	s->now = to;
	log_event(LOG_TRACE, s->what, "state changed", log_int("id", (int64_t)s->id),
	          log_str("from", from), log_str("to", state_name(s)));
}

const char *state_name(const struct state *s)
{
	return s->rules[s->now].name;
}

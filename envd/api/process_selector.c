#include "api/process_selector.h"

int process_selector_parse(const Process__ProcessSelector *selector, struct selector *out_selector,
                           struct err *e)
{
	switch (selector ? selector->selector_case : PROCESS__PROCESS_SELECTOR__SELECTOR__NOT_SET) {
	case PROCESS__PROCESS_SELECTOR__SELECTOR_PID:
		*out_selector = (struct selector){ .pid = (pid_t)selector->pid };
		return 0;
	case PROCESS__PROCESS_SELECTOR__SELECTOR_TAG:
		*out_selector = (struct selector){ .tag = selector->tag };
		return 0;
	default:
		return err_set(e, ERR_UNIMPLEMENTED, "invalid input type *process.ProcessSelector");
	}
}

struct process *process_selector_find(struct registry *registry,
                                      const Process__ProcessSelector *selector, struct err *e)
{
	struct selector parsed = { 0 };

	if (process_selector_parse(selector, &parsed, e) < 0)
		return NULL;
	return registry_find(registry, parsed, e);
}

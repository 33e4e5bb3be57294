/*
 * One line for each finished call (wire.md 10): method, operation_id, and how it ended. The name of
 * the code only, never its text or a message: both may quote what a client wants kept to itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct rpc_method;

/*
 * id      the call's number in this process
 * kind    ERR_NONE: it succeeded (info). A client that left is info too, a deadline a warning
 *         (newer.md W.4), the rest is an error
 */
void call_log(const struct rpc_method *method, bool is_get, uint64_t id, enum err_kind kind);

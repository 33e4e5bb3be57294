/*
 * Cross-origin rules (wire.md 2.1): every origin, every request header, no credentials.
 */
#pragma once

#include <stdbool.h>

#include "http/exchange.h"

/* Answers a preflight and returns true; else puts the fields in place that any answer carries. */
bool cors_apply(struct exchange **x);

/*
 * Error kinds on the wire: Connect code, HTTP status of a unary Connect error, gRPC status number.
 * Source: Connect protocol, "Error Codes"; wire.md 5.2.
 */
#pragma once

#include "base/err.h"

const char *status_connect_code(enum err_kind kind); /* "not_found" */
int status_http(enum err_kind kind);                 /* 404 */
int status_grpc(enum err_kind kind);                 /* 5; ERR_NONE is 0 */
enum err_kind status_of_grpc(int code);              /* ERR_UNKNOWN for strangers */

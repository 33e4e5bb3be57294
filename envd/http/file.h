/*
 * An open file that bodies of responses are sent from: whoever sends, or may still be reading when the
 * response is long gone, holds a reference. The last one gone, a job closes it, because closing may
 * wait for a file system as well. Loop thread, but for http_file_fd.
 */
#pragma once

#include "loop/loop.h"

struct http_file;

struct http_file *http_file_new(struct loop *loop, int fd); /* takes fd; one reference */
struct http_file *http_file_ref(struct http_file *f);
void http_file_unref(struct http_file *f); /* NULL is nothing */
int http_file_fd(const struct http_file *f);

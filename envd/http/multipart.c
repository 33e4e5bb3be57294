/*
 * A body is searched for its delimiter in the input itself. Only where the input ends within what may
 * be the delimiter something is held back, and that needs no copy: it is the delimiter's own text.
 * Its newline stands nowhere else in it, so what turned out to be no delimiter holds no other.
 */
#include "http/multipart.h"

#include <string.h>

#include "base/find.h"
#include "base/macros.h"

#define DASHES "--"

int multipart_init(struct multipart *m, struct span boundary, struct err *e)
{
	*m = (struct multipart){ .state = MULTIPART_PREAMBLE, .newline_len = 2 };
	if (boundary.len == 0)
		return err_set(e, ERR_INVALID, "multipart: boundary is empty");
	if (boundary.len > MULTIPART_BOUNDARY_MAX)
		return err_set(e, ERR_INVALID, "multipart: boundary is longer than %u bytes",
		               MULTIPART_BOUNDARY_MAX);
	if (memchr(boundary.at, '\r', boundary.len) || memchr(boundary.at, '\n', boundary.len))
		return err_set(e, ERR_INVALID, "multipart: boundary has a line break");
	memcpy(m->delimiter, "\r\n" DASHES, 4);
	memcpy(m->delimiter + 4, boundary.at, boundary.len);
	m->delimiter_len = 4 + boundary.len;
	m->delimiter[m->delimiter_len] = '-';
	buf_init(&m->text, MULTIPART_HEADER_MAX);
	return 0;
}

void multipart_deinit(struct multipart *m)
{
	buf_deinit(&m->text);
}

/* Newline, dashes, boundary: what ends a body. */
static struct span delimiter(const struct multipart *m)
{
	size_t skipped = 2 - m->newline_len;

	return (struct span){ m->delimiter + skipped, m->delimiter_len - skipped };
}

/* Dashes and boundary: how a boundary line begins. */
static struct span dash_boundary(const struct multipart *m)
{
	return (struct span){ m->delimiter + 2, m->delimiter_len - 2 };
}

static struct span newline(const struct multipart *m)
{
	return (struct span){ delimiter(m).at, m->newline_len };
}

static void skip(struct span *s, size_t len)
{
	s->at += len;
	s->len -= len;
}

static bool begins_with(struct span s, struct span beginning)
{
	return s.len >= beginning.len && memcmp(s.at, beginning.at, beginning.len) == 0;
}

static bool same(struct span a, struct span b)
{
	return a.len == b.len && begins_with(a, b);
}

/* Whether the delimiter has its newline; without, it stands at the start of a body. */
static bool has_newline(const struct multipart *m)
{
	return m->held_from < 2;
}

static enum multipart_event broken(struct multipart *m)
{
	m->state = MULTIPART_BROKEN;
	return MULTIPART_FAILED;
}

/* ---- lines ---- */

/* Collects up to the next LF. False: the line is not complete. */
static bool take_line(struct multipart *m, struct span *input, size_t max, bool *out_too_long)
{
	const char *end = memchr(input->at, '\n', input->len);
	size_t len = end ? (size_t)(end - input->at) + 1 : input->len;
	size_t room = max - (m->text.len - m->line_at);

	*out_too_long = len > room;
	len = MIN(len, room);
	buf_append(&m->text, input->at, len);
	skip(input, len);
	return end || *out_too_long;
}

static void next_line(struct multipart *m)
{
	buf_truncate(&m->text, 0);
	m->line_at = 0;
}

static struct span line(const struct multipart *m)
{
	return (struct span){ (const char *)m->text.data, m->text.len };
}

/* What stands behind the boundary and, where there are any, blanks. */
static struct span behind(struct span text, size_t len)
{
	skip(&text, len);
	while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
		skip(&text, 1);
	return text;
}

static bool is_boundary_line(const struct multipart *m)
{
	return begins_with(line(m), dash_boundary(m)) &&
	       same(behind(line(m), dash_boundary(m).len), newline(m));
}

/* The first boundary line says which newline it is. */
static void learn_newline(struct multipart *m)
{
	if (m->n_parts == 0 && begins_with(line(m), dash_boundary(m)) &&
	    span_equal(behind(line(m), dash_boundary(m).len), "\n"))
		m->newline_len = 1;
}

static bool is_last_line(const struct multipart *m)
{
	struct span text = line(m), rest;

	if (!begins_with(text, dash_boundary(m)))
		return false;
	skip(&text, dash_boundary(m).len);
	if (!begins_with(text, SPAN(DASHES)))
		return false;
	rest = behind(text, sizeof DASHES - 1);
	return rest.len == 0 || same(rest, newline(m));
}

/* As %q prints it, with a NUL; a prefix of what is long, as errors are cut anyway. */
static void quote(struct buf *out, struct span text)
{
	buf_init(out, 4 * MULTIPART_LINE_MAX + sizeof "\"\"");
	quote_append(out, text.at, MIN(text.len, MULTIPART_LINE_MAX));
	buf_append_byte(out, '\0');
	ASSERT(buf_error(out) == 0);
}

static enum multipart_event refuse_line(struct multipart *m, struct err *e)
{
	struct buf quoted;

	quote(&quoted, line(m));
	err_set(e, ERR_INVALID, "multipart: %s %s",
	        has_newline(m) ? "expecting a new Part; got line" : "unexpected line in Next():",
	        quoted.data);
	buf_deinit(&quoted);
	return broken(m);
}

/* The line is complete: what follows it. MULTIPART_HUNGRY: go on. */
static enum multipart_event on_line(struct multipart *m, struct err *e)
{
	learn_newline(m);
	if (is_boundary_line(m)) {
		m->n_parts++;
		m->state = MULTIPART_HEADER;
	} else if (is_last_line(m)) {
		m->state = MULTIPART_EPILOGUE;
	} else if (m->state == MULTIPART_BOUNDARY) {
		return refuse_line(m, e);
	}
	next_line(m);
	return MULTIPART_HUNGRY;
}

static enum multipart_event step_line(struct multipart *m, struct span *input, struct err *e)
{
	bool is_too_long;

	if (!take_line(m, input, MULTIPART_LINE_MAX, &is_too_long))
		return MULTIPART_HUNGRY;
	if (is_too_long || buf_error(&m->text)) {
		err_set(e, ERR_INVALID, "multipart: NextPart: bufio: buffer full");
		return broken(m);
	}
	return on_line(m, e);
}

/* ---- the header of a part ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes the next line off, without its newline. */
static struct span take_header_line(struct span *rest)
{
	const char *end = memchr(rest->at, '\n', rest->len);
	struct span text = { rest->at, end ? (size_t)(end - rest->at) : rest->len };

	skip(rest, text.len + (end ? 1 : 0));
	if (text.len > 0 && text.at[text.len - 1] == '\r')
		text.len--;
	return text;
}

/* Makes one line of each field, in place: trimmed, a space for each fold. */
static void unfold(struct multipart *m)
{
	struct span rest = { (const char *)m->text.data, m->text.len };
	char *out = (char *)m->text.data;

	while (rest.len > 0) {
		bool is_fold = is_blank(rest.at[0]);
		struct span text = span_trim(take_header_line(&rest));

		if (is_fold)
			out[-1] = ' '; /* instead of the newline */
		memmove(out, text.at, text.len);
		out += text.len;
		*out++ = '\n';
	}
	buf_truncate(&m->text, (size_t)(out - (char *)m->text.data));
}

static bool is_token_char(char c)
{
	return c > ' ' && c < 0x7F && !strchr("()<>@,;:\\\"/[]?={}", c);
}

/* As Go's textproto: a name of token characters and spaces, a value without control characters. */
static bool field_is_sound(struct span field)
{
	size_t i = 0;

	for (; i < field.len && field.at[i] != ':'; i++)
		if (!is_token_char(field.at[i]) && field.at[i] != ' ')
			return false;
	if (i == 0 || i == field.len)
		return false;
	for (; i < field.len; i++)
		if (((uint8_t)field.at[i] < ' ' && field.at[i] != '\t') || field.at[i] == 0x7F)
			return false;
	return true;
}

static enum multipart_event refuse_header(struct multipart *m, const char *what, struct span text,
                                          struct err *e)
{
	struct buf quoted;

	quote(&quoted, text);
	err_set(e, ERR_INVALID, "malformed MIME header%s: %s", what, (const char *)quoted.data);
	buf_deinit(&quoted);
	return broken(m);
}

/* A line of the header has come that does not end it. */
static enum multipart_event check_header_line(struct multipart *m, size_t at, struct err *e)
{
	struct span rest = { (const char *)m->text.data + at, m->text.len - at };
	struct span text = take_header_line(&rest);

	if (at == 0 && is_blank(text.at[0]))
		return refuse_header(m, " initial line", text, e);
	if (!is_blank(text.at[0]) && !memchr(text.at, ':', text.len))
		return refuse_header(m, ": missing colon", text, e);
	return MULTIPART_HUNGRY;
}

static enum multipart_event end_header(struct multipart *m, struct err *e)
{
	struct span rest;

	unfold(m);
	rest = (struct span){ (const char *)m->text.data, m->text.len };
	while (rest.len > 0) {
		struct span field = take_header_line(&rest);

		if (!field_is_sound(field))
			return refuse_header(m, " line", field, e);
	}
	/* A delimiter may stand at once, as if its newline had been there. */
	m->state = MULTIPART_DELIMITER;
	m->held_from = m->held_to = 2;
	return MULTIPART_PART_BEGIN;
}

static bool is_empty_line(const struct multipart *m, size_t at)
{
	size_t len = m->text.len - at;

	return len == 1 || (len == 2 && m->text.data[at] == '\r');
}

static enum multipart_event step_header(struct multipart *m, struct span *input, struct err *e)
{
	size_t at = m->line_at;
	bool is_too_long;

	if (!take_line(m, input, MULTIPART_HEADER_MAX - at, &is_too_long))
		return MULTIPART_HUNGRY;
	if (is_too_long || buf_error(&m->text)) {
		err_set(e, ERR_INVALID, "multipart: message too large");
		return broken(m);
	}
	m->line_at = m->text.len;
	if (!is_empty_line(m, at))
		return check_header_line(m, at, e);
	buf_truncate(&m->text, at);
	return end_header(m, e);
}

bool multipart_field(const struct multipart *m, const char *name, struct span *out_value)
{
	struct span rest = { (const char *)m->text.data, m->text.len };

	while (rest.len > 0) {
		struct span field = take_header_line(&rest);
		const char *colon = memchr(field.at, ':', field.len);
		struct span its_name = { field.at, colon ? (size_t)(colon - field.at) : 0 };

		if (!colon || !span_equal_nocase(its_name, name))
			continue;
		skip(&field, its_name.len + 1);
		*out_value = span_trim(field);
		return true;
	}
	return false;
}

/* ---- the body of a part ---- */

/* What may follow a delimiter: 1 it ends the body, -1 it does not, 0 more is needed. */
static int check_behind(struct span rest)
{
	if (rest.len == 0)
		return 0;
	if (memchr(" \t\r\n", rest.at[0], 4))
		return 1;
	if (rest.at[0] != '-')
		return -1;
	if (rest.len == 1)
		return 0;
	return rest.at[1] == '-' ? 1 : -1;
}

/* Bytes at the end of s with which a delimiter may begin. */
static size_t find_beginning(const struct multipart *m, struct span s)
{
	struct span d = delimiter(m);
	size_t len = MIN(s.len, d.len);
	const char *first = memrchr(s.at + s.len - len, d.at[0], len);

	if (!first)
		return 0;
	len = (size_t)(s.at + s.len - first);
	return memcmp(first, d.at, len) == 0 ? len : 0;
}

/* So much of the delimiter has been seen. */
static void hold(struct multipart *m, size_t len)
{
	m->held_from = 2 - m->newline_len;
	m->held_to = m->held_from + len;
	m->state = MULTIPART_DELIMITER;
}

/* The body has ended; its newline is known to be one, the rest of the line is to be looked at. */
static enum multipart_event end_body(struct multipart *m)
{
	next_line(m);
	buf_append(&m->text, m->delimiter + 2, m->held_to - 2);
	m->state = MULTIPART_BOUNDARY;
	return MULTIPART_PART_END;
}

/* Bytes of body before the first delimiter, or before what must be held back. */
static enum multipart_event step_body(struct multipart *m, struct span *input,
                                      struct span *out_piece)
{
	struct span d = delimiter(m), rest = *input;

	for (;;) {
		const char *found = span_find(rest, d);
		struct span after = { 0 };
		int ends;

		if (!found) {
			size_t held = find_beginning(m, rest);

			*out_piece = (struct span){ input->at, input->len - held };
			skip(input, input->len);
			if (held > 0)
				hold(m, held);
			break;
		}
		after = (struct span){ found + d.len,
			               (size_t)(rest.at + rest.len - found) - d.len };
		ends = check_behind(after);
		rest = after;
		if (ends < 0)
			continue;
		*out_piece = (struct span){ input->at, (size_t)(found - input->at) };
		skip(input, out_piece->len + d.len);
		hold(m, d.len);
		break;
	}
	return out_piece->len > 0 ? MULTIPART_PART_DATA : MULTIPART_HUNGRY;
}

/* It was none: what was held back is body. */
static enum multipart_event release(struct multipart *m, struct span *out_piece)
{
	*out_piece = (struct span){ m->delimiter + m->held_from, m->held_to - m->held_from };
	m->state = MULTIPART_BODY;
	return out_piece->len > 0 ? MULTIPART_PART_DATA : MULTIPART_HUNGRY;
}

/* Compares on; false when the input is at its end or differs. */
static bool match_more(struct multipart *m, struct span *input)
{
	while (m->held_to < m->delimiter_len && input->len > 0 &&
	       input->at[0] == m->delimiter[m->held_to]) {
		m->held_to++;
		skip(input, 1);
	}
	return m->held_to >= m->delimiter_len;
}

static enum multipart_event step_delimiter(struct multipart *m, struct span *input,
                                           struct span *out_piece)
{
	int ends;

	if (!match_more(m, input))
		return input->len > 0 ? release(m, out_piece) : MULTIPART_HUNGRY;
	if (input->len == 0)
		return MULTIPART_HUNGRY;
	if (m->held_to > m->delimiter_len) /* with the first dash */
		ends = input->at[0] == '-' ? 1 : -1;
	else
		ends = check_behind(*input);
	if (ends < 0)
		return release(m, out_piece);
	if (ends > 0)
		return end_body(m);
	m->held_to++;
	skip(input, 1);
	return MULTIPART_HUNGRY;
}

/* ---- all of it ---- */

static enum multipart_event step(struct multipart *m, struct span *input, struct span *out_piece,
                                 struct err *e)
{
	switch (m->state) {
	case MULTIPART_PREAMBLE:
	case MULTIPART_BOUNDARY:
		return step_line(m, input, e);
	case MULTIPART_HEADER:
		return step_header(m, input, e);
	case MULTIPART_BODY:
		return step_body(m, input, out_piece);
	case MULTIPART_DELIMITER:
		return step_delimiter(m, input, out_piece);
	case MULTIPART_EPILOGUE:
		skip(input, input->len);
		return MULTIPART_HUNGRY;
	case MULTIPART_BROKEN:
		break;
	}
	return MULTIPART_FAILED;
}

enum multipart_event multipart_next(struct multipart *m, struct span *input, struct span *out_piece,
                                    struct err *e)
{
	enum multipart_event event =
		m->state == MULTIPART_BROKEN ? MULTIPART_FAILED : MULTIPART_HUNGRY;

	while (event == MULTIPART_HUNGRY && input->len > 0)
		event = step(m, input, out_piece, e);
	return event;
}

enum multipart_end multipart_end(const struct multipart *m)
{
	switch (m->state) {
	case MULTIPART_EPILOGUE:
		return MULTIPART_COMPLETE;
	case MULTIPART_HEADER:
		return MULTIPART_CUT_HEADER;
	case MULTIPART_BODY:
	case MULTIPART_DELIMITER:
		return MULTIPART_CUT_BODY;
	default:
		return is_last_line(m) ? MULTIPART_COMPLETE : MULTIPART_CUT;
	}
}

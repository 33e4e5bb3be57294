#include "http/h1_head.h"

#include <llhttp.h>
#include <string.h>

#include "base/macros.h"
#include "http/limits.h"

/* ---- framing ---- */

static const bool h1_tchars[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
	['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
	['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

bool h1_is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!h1_tchars[(uint8_t)s.at[i]])
			return false;
	}
	return s.len > 0;
}

/* line without its LF */
static bool h1_line_is_sound(const struct h1_scan *s, const char *line, size_t len)
{
	if (len == 0 || line[len - 1] != '\r')
		return false;
	if (memchr(line, '\r', len - 1) || memchr(line, '\0', len))
		return false;
	/* A space would continue the line before (obsolete folding), or hide the first field. */
	return s->n_lines == 0 || (line[0] != ' ' && line[0] != '\t');
}

enum h1_scan_result h1_scan(struct h1_scan *s, const char *data, size_t len)
{
	while (s->at < len) {
		const char *lf = memchr(data + s->at, '\n', len - s->at);
		const char *line = data + s->line;

		/* What no request begins with is not waited for: TLS, noise. */
		if (s->n_lines == 0 && line[0] != '\r' && !h1_tchars[(uint8_t)line[0]])
			return H1_SCAN_BROKEN;
		s->at = len;
		if (!lf)
			break;
		if (!h1_line_is_sound(s, line, (size_t)(lf - line)))
			return H1_SCAN_BROKEN;
		s->at = s->line = (size_t)(lf + 1 - data);
		if (lf - line > 1) {
			s->n_lines++;
		} else if (s->n_lines > 0) {
			s->end = s->at;
			return H1_SCAN_COMPLETE;
		} else {
			if (++s->n_blank > HTTP_BLANK_LINES_MAX)
				return H1_SCAN_BROKEN;
			s->start = s->at;
		}
	}
	return H1_SCAN_MORE;
}

/* ---- fields ---- */

/* llhttp wants a request line; ours was read elsewhere, because it knows a list of methods and
 * versions only and refuses UTF-8 in targets. */
static const char h1_any_request[] = "POST / HTTP/1.1\r\n";

struct h1_parse {
	llhttp_t parser;
	struct http_field *fields;
	size_t n, n_max;
	bool complete;
};

static int h1_on_header_field(llhttp_t *parser, const char *at, size_t len)
{
	struct h1_parse *p = CONTAINER_OF(parser, struct h1_parse, parser);

	if (p->n == p->n_max)
		return HPE_USER;
	p->fields[p->n].name = (struct span){ at, len };
	p->fields[p->n].value = (struct span){ at + len, 0 };
	return 0;
}

static int h1_on_header_value(llhttp_t *parser, const char *at, size_t len)
{
	struct h1_parse *p = CONTAINER_OF(parser, struct h1_parse, parser);

	p->fields[p->n].value = (struct span){ at, len };
	return 0;
}

static int h1_on_header_value_complete(llhttp_t *parser)
{
	struct h1_parse *p = CONTAINER_OF(parser, struct h1_parse, parser);

	p->n++;
	return 0;
}

static int h1_on_headers_complete(llhttp_t *parser)
{
	struct h1_parse *p = CONTAINER_OF(parser, struct h1_parse, parser);

	p->complete = true;
	return 1; /* the body is none of its business */
}

static const llhttp_settings_t h1_settings = {
	.on_header_field = h1_on_header_field,
	.on_header_value = h1_on_header_value,
	.on_header_value_complete = h1_on_header_value_complete,
	.on_headers_complete = h1_on_headers_complete,
};

/* Only spaces wrong in the name: the reference has a text of its own for that. */
static bool h1_name_has_space(const char *lines, const char *end, const char *error)
{
	const char *line = error, *colon;
	bool space = false;

	if (!error || error < lines || error >= end)
		return false;
	while (line > lines && line[-1] != '\n')
		line--;
	colon = memchr(line, ':', (size_t)(end - line));
	if (!colon)
		return false;
	for (; line < colon; line++) {
		if (*line == ' ')
			space = true;
		else if (!h1_tchars[(uint8_t)*line])
			return false;
	}
	return space;
}

static enum h1_fields_result h1_fields_error(const struct h1_parse *p, const char *lines,
                                             size_t len)
{
	switch (llhttp_get_errno(&p->parser)) {
	case HPE_INVALID_TRANSFER_ENCODING:
		return H1_FIELDS_ENCODING;
	case HPE_INVALID_HEADER_TOKEN:
	case HPE_UNEXPECTED_SPACE:
		if (h1_name_has_space(lines, lines + len, llhttp_get_error_pos(&p->parser)))
			return H1_FIELDS_NAME;
		return H1_FIELDS_BROKEN;
	default:
		return H1_FIELDS_BROKEN;
	}
}

/* Lower case name, value without the spaces behind it. llhttp lets an empty name pass. */
static bool h1_field_tidy(struct http_field *f, char *lines)
{
	char *name = lines + (f->name.at - lines);

	if (!h1_is_token(f->name))
		return false;
	for (size_t i = 0; i < f->name.len; i++) {
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] + ('a' - 'A'));
	}
	while (f->value.len > 0 &&
	       (f->value.at[f->value.len - 1] == ' ' || f->value.at[f->value.len - 1] == '\t'))
		f->value.len--;
	return true;
}

/* Its state behind that line, made once: parsing the line costs as much as a short request. */
static const llhttp_t *h1_parser_at_fields(void)
{
	static llhttp_t parser;

	if (!parser.settings) {
		llhttp_init(&parser, HTTP_REQUEST, &h1_settings);
		ASSERT(llhttp_execute(&parser, h1_any_request, sizeof h1_any_request - 1) ==
		       HPE_OK);
	}
	return &parser;
}

enum h1_fields_result h1_fields_parse(char *lines, size_t len, struct http_field *fields,
                                      size_t n_max, size_t *out_n)
{
	struct h1_parse p = { .fields = fields, .n_max = n_max };
	llhttp_errno_t rc;

	p.parser = *h1_parser_at_fields();
	rc = llhttp_execute(&p.parser, lines, len);
	if (rc != HPE_OK && rc != HPE_PAUSED_UPGRADE)
		return h1_fields_error(&p, lines, len);
	if (!p.complete || p.n != n_max)
		return H1_FIELDS_BROKEN;
	for (size_t i = 0; i < p.n; i++) {
		if (!h1_field_tidy(&fields[i], lines))
			return H1_FIELDS_BROKEN;
	}
	*out_n = p.n;
	return H1_FIELDS_OK;
}

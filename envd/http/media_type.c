#include "http/media_type.h"

#include <stdbool.h>
#include <string.h>

#include "base/macros.h"

#define TEXT_UTF8 "text/plain; charset=utf-8"
#define HTML_UTF8 "text/html; charset=utf-8"
#define XML_UTF8  "text/xml; charset=utf-8"
#define BINARY    "application/octet-stream"

/* ---- by name ---- */

static const struct {
	const char *extension, *type;
} media_extensions[] = {
	{ "avif", "image/avif" },
	{ "css", "text/css; charset=utf-8" },
	{ "gif", "image/gif" },
	{ "htm", HTML_UTF8 },
	{ "html", HTML_UTF8 },
	{ "jpeg", "image/jpeg" },
	{ "jpg", "image/jpeg" },
	{ "js", "text/javascript; charset=utf-8" },
	{ "json", "application/json" },
	{ "mjs", "text/javascript; charset=utf-8" },
	{ "pdf", "application/pdf" },
	{ "png", "image/png" },
	{ "svg", "image/svg+xml" },
	{ "txt", TEXT_UTF8 },
	{ "wasm", "application/wasm" },
	{ "webp", "image/webp" },
	{ "xml", XML_UTF8 },
};

struct span media_type_of_name(struct span path)
{
	struct span extension = { 0 };

	for (size_t i = path.len; i > 0 && path.at[i - 1] != '/'; i--) {
		if (path.at[i - 1] != '.')
			continue;
		extension = (struct span){ path.at + i, path.len - i };
		break;
	}
	for (size_t i = 0; i < ARRAY_SIZE(media_extensions); i++)
		if (span_equal_nocase(extension, media_extensions[i].extension))
			return span_of(media_extensions[i].type);
	return (struct span){ 0 };
}

/* ---- by content ---- */

/* Behind blanks, in any case, and followed by a blank or a `>`. */
static const char *const media_html_tags[] = {
	"<!DOCTYPE HTML", "<HTML", "<HEAD",  "<SCRIPT", "<IFRAME", "<H1",   "<DIV", "<FONT",
	"<TABLE",         "<A",    "<STYLE", "<TITLE",  "<B",      "<BODY", "<BR",  "<P",
	"<!--",
};

/* A `.` stands for any byte; none of the marks has one of its own. */
static const struct {
	const char *mark;
	size_t len;
	const char *type;
} media_marks[] = {
#define MARK(mark, type)                                                                           \
	{                                                                                          \
		(mark), sizeof(mark) - 1, (type)                                                   \
	}
	MARK("%PDF-", "application/pdf"),
	MARK("%!PS-Adobe-", "application/postscript"),
	/* Byte order marks. */
	MARK("\xFE\xFF..", "text/plain; charset=utf-16be"),
	MARK("\xFF\xFE..", "text/plain; charset=utf-16le"),
	MARK("\xEF\xBB\xBF.", TEXT_UTF8),
	MARK("\x00\x00\x01\x00", "image/x-icon"),
	MARK("\x00\x00\x02\x00", "image/x-icon"),
	MARK("BM", "image/bmp"),
	MARK("GIF87a", "image/gif"),
	MARK("GIF89a", "image/gif"),
	MARK("RIFF....WEBPVP", "image/webp"),
	MARK("\x89PNG\x0D\x0A\x1A\x0A", "image/png"),
	MARK("\xFF\xD8\xFF", "image/jpeg"),
	MARK("FORM....AIFF", "audio/aiff"),
	MARK("ID3", "audio/mpeg"),
	MARK("OggS\x00", "application/ogg"),
	MARK("MThd\x00\x00\x00\x06", "audio/midi"),
	MARK("RIFF....AVI ", "video/avi"),
	MARK("RIFF....WAVE", "audio/wave"),
	MARK("\x1A\x45\xDF\xA3", "video/webm"),
	MARK("\x00\x01\x00\x00", "font/ttf"),
	MARK("OTTO", "font/otf"),
	MARK("ttcf", "font/collection"),
	MARK("wOFF", "font/woff"),
	MARK("wOF2", "font/woff2"),
	MARK("\x1F\x8B\x08", "application/x-gzip"),
	MARK("PK\x03\x04", "application/zip"),
	MARK("Rar!\x1A\x07\x00", "application/x-rar-compressed"),
	MARK("Rar!\x1A\x07\x01\x00", "application/x-rar-compressed"),
	MARK("\x00\x61\x73\x6D", "application/wasm"),
#undef MARK
};

static bool media_has_mark(struct span data, struct span mark)
{
	if (data.len < mark.len)
		return false;
	for (size_t i = 0; i < mark.len; i++)
		if (mark.at[i] != '.' && mark.at[i] != data.at[i])
			return false;
	return true;
}

/* A first box of the type "ftyp" that names a brand of MP4, its own version apart. */
static bool media_is_mp4(struct span data)
{
	const unsigned char *at = (const unsigned char *)data.at;
	size_t box;

	if (data.len < 12)
		return false;
	box = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
	if (data.len < box || box % 4 != 0 || memcmp(at + 4, "ftyp", 4) != 0)
		return false;
	for (size_t i = 8; i < box; i += 4)
		if (i != 12 && memcmp(at + i, "mp4", 3) == 0)
			return true;
	return false;
}

static bool media_is_blank(char c)
{
	return c != '\0' && strchr(" \t\n\f\r", c);
}

static struct span media_skip_blanks(struct span data)
{
	while (data.len > 0 && media_is_blank(data.at[0])) {
		data.at++;
		data.len--;
	}
	return data;
}

static bool media_has_tag(struct span data, const char *tag)
{
	size_t len = strlen(tag);

	if (data.len < len || !span_equal_nocase((struct span){ data.at, len }, tag))
		return false;
	return data.len > len && (data.at[len] == ' ' || data.at[len] == '>');
}

/* Control characters that no text has. */
static bool media_is_binary(struct span data)
{
	for (size_t i = 0; i < data.len; i++) {
		unsigned char c = (unsigned char)data.at[i];

		if (c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1A) || (c >= 0x1C && c <= 0x1F))
			return true;
	}
	return false;
}

struct span media_type_of_content(const void *bytes, size_t len)
{
	struct span data = { bytes, MIN(len, MEDIA_TYPE_SNIFFED) };
	struct span text = media_skip_blanks(data);

	for (size_t i = 0; i < ARRAY_SIZE(media_html_tags); i++)
		if (media_has_tag(text, media_html_tags[i]))
			return SPAN(HTML_UTF8);
	if (media_has_mark(text, SPAN("<?xml")))
		return SPAN(XML_UTF8);
	for (size_t i = 0; i < ARRAY_SIZE(media_marks); i++)
		if (media_has_mark(data, (struct span){ media_marks[i].mark, media_marks[i].len }))
			return span_of(media_marks[i].type);
	if (media_is_mp4(data))
		return SPAN("video/mp4");
	return media_is_binary(data) ? SPAN(BINARY) : SPAN(TEXT_UTF8);
}

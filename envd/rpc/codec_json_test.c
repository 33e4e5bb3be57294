/*
 * The JSON mapping as a table: what is accepted and how it is said again, and what is refused.
 * The expectations are Go's protojson's with unknown fields discarded.
 */
#include "base/json.h"
#include "rpc/codec_fixture.h"

#define SCALARS   &codec__test__scalars__descriptor
#define OPTIONALS &codec__test__optionals__descriptor
#define LISTS     &codec__test__lists__descriptor
#define MAPS      &codec__test__maps__descriptor
#define CHOICE    &codec__test__choice__descriptor
#define WELLKNOWN &codec__test__wellknown__descriptor
#define NESTED    &codec__test__nested__descriptor
#define WIDE      &codec__test__wide__descriptor

#define TYPE(name) "\"@type\":\"type.googleapis.com/" name "\""

struct json_case {
	const ProtobufCMessageDescriptor *type;
	const char *text;
	const char *again; /* NULL: the same text */
};

static const struct json_case accepted[] = {
	{ SCALARS, "{}", NULL },
	{ SCALARS, " {\n\t} \r\n", "{}" },

	/* names */
	{ SCALARS, "{\"anInt32\":1}", NULL },
	{ SCALARS, "{\"an_int32\":1}", "{\"anInt32\":1}" },
	{ SCALARS, "{\"number2OfOddName\":1}", NULL },
	{ SCALARS, "{\"number_2_of__odd_name\":1}", "{\"number2OfOddName\":1}" },
	{ SCALARS, "{\"AnInt32\":1,\"an_Int32\":2,\"anint32\":3,\"anInt\":4,\"\":5}", "{}" },
	{ SCALARS, "{\"\\u0061nInt32\":1}", "{\"anInt32\":1}" },
	{ SCALARS, "{\"highNumber\":7}", NULL },

	/* unknown fields: anything, also twice */
	{ SCALARS, "{\"x\":[{\"y\":[null,1e5,\"z\"]}],\"x\":{},\"aBool\":true}",
	  "{\"aBool\":true}" },

	/* null is no value, wherever a field may have none */
	{ SCALARS,
	  "{\"anInt32\":null,\"aString\":null,\"someBytes\":null,\"aColor\":null,\"aBool\":null}",
	  "{}" },
	{ OPTIONALS, "{\"anInt32\":null,\"aString\":null,\"scalars\":null}", "{}" },
	{ LISTS, "{\"ints\":null,\"messages\":null}", "{}" },
	{ MAPS, "{\"strings\":null}", "{}" },
	{ CHOICE, "{\"number\":null,\"text\":\"t\"}", "{\"text\":\"t\"}" },

	/* integers */
	{ SCALARS, "{\"anInt32\":-2147483648}", NULL },
	{ SCALARS, "{\"anInt32\":2147483647}", NULL },
	{ SCALARS, "{\"anInt32\":\"12\"}", "{\"anInt32\":12}" },
	{ SCALARS, "{\"anInt32\":9.0}", "{\"anInt32\":9}" },
	{ SCALARS, "{\"anInt32\":1.50e1}", "{\"anInt32\":15}" },
	{ SCALARS, "{\"anInt32\":0.05E+2}", "{\"anInt32\":5}" },
	{ SCALARS, "{\"anInt32\":1200e-2}", "{\"anInt32\":12}" },
	{ SCALARS, "{\"anInt32\":\"-1e3\"}", "{\"anInt32\":-1000}" },
	{ SCALARS, "{\"anInt32\":-0}", "{}" },
	{ SCALARS, "{\"anInt32\":0e99999999999}", "{}" },
	{ SCALARS, "{\"aSint32\":-5,\"aSfixed32\":-6}", NULL },
	{ SCALARS, "{\"anUint32\":4294967295,\"aFixed32\":4294967295}", NULL },
	{ SCALARS, "{\"anInt64\":\"-9223372036854775808\"}", NULL },
	{ SCALARS, "{\"anInt64\":9223372036854775807}", "{\"anInt64\":\"9223372036854775807\"}" },
	{ SCALARS, "{\"aSint64\":\"-1\",\"aSfixed64\":\"-2\"}", NULL },
	{ SCALARS, "{\"anUint64\":18446744073709551615}",
	  "{\"anUint64\":\"18446744073709551615\"}" },
	{ SCALARS, "{\"anUint64\":\"1.8446744073709551615e19\"}",
	  "{\"anUint64\":\"18446744073709551615\"}" },
	{ SCALARS, "{\"aFixed64\":\"7\"}", NULL },

	/* floating point: the shortest text that reads back the same */
	{ SCALARS, "{\"aDouble\":0.1}", NULL },
	{ SCALARS, "{\"aDouble\":1}", NULL },
	{ SCALARS, "{\"aDouble\":-0}", NULL },
	{ SCALARS, "{\"aDouble\":100000000000000000000}", NULL },
	{ SCALARS, "{\"aDouble\":1e21}", "{\"aDouble\":1e+21}" },
	{ SCALARS, "{\"aDouble\":0.000001}", NULL },
	{ SCALARS, "{\"aDouble\":1e-7}", NULL },
	{ SCALARS, "{\"aDouble\":123456.789}", NULL },
	{ SCALARS, "{\"aDouble\":1.7976931348623157e+308}", NULL },
	{ SCALARS, "{\"aDouble\":0.30000000000000004}", NULL },
	{ SCALARS, "{\"aDouble\":\"-1.5e3\"}", "{\"aDouble\":-1500}" },
	{ SCALARS, "{\"aDouble\":1e-400}", "{}" },
	{ SCALARS, "{\"aDouble\":\"NaN\"}", NULL },
	{ SCALARS, "{\"aDouble\":\"Infinity\",\"aFloat\":\"-Infinity\"}",
	  "{\"aFloat\":\"-Infinity\",\"aDouble\":\"Infinity\"}" },
	{ SCALARS, "{\"aDouble\":5e-324}", NULL },
	{ SCALARS, "{\"aDouble\":2.2250738585072014e-308}", NULL },
	{ SCALARS, "{\"aFloat\":1e-45}", NULL },
	{ SCALARS, "{\"aFloat\":0.1}", NULL },
	{ SCALARS, "{\"aFloat\":16777216}", NULL },
	{ SCALARS, "{\"aFloat\":3.4028235e+38}", NULL },
	{ SCALARS, "{\"aFloat\":1.00000003}", "{\"aFloat\":1}" },

	/* bool, enum */
	{ SCALARS, "{\"aBool\":true}", NULL },
	{ SCALARS, "{\"aBool\":false}", "{}" },
	{ SCALARS, "{\"aColor\":\"COLOR_RED\"}", NULL },
	{ SCALARS, "{\"aColor\":1}", "{\"aColor\":\"COLOR_RED\"}" },
	{ SCALARS, "{\"aColor\":-7.0}", "{\"aColor\":\"COLOR_BLUE\"}" },
	{ SCALARS, "{\"aColor\":99}", NULL },
	{ SCALARS, "{\"aColor\":\"COLOR_NONE\"}", "{}" },
	{ SCALARS, "{\"aColor\":\"color_red\"}", "{}" },
	{ SCALARS, "{\"aColor\":\"1\"}", "{}" },
	{ SCALARS, "{\"aColor\":\"COLOR_RED\\u0000\"}", "{}" },
	{ LISTS, "{\"colors\":[\"COLOR_RED\",\"WHAT\",5,\"COLOR_NONE\"]}",
	  "{\"colors\":[\"COLOR_RED\",5,\"COLOR_NONE\"]}" },
	{ MAPS, "{\"intKeys\":{\"1\":\"WHAT\",\"2\":\"COLOR_RED\"}}",
	  "{\"intKeys\":{\"2\":\"COLOR_RED\"}}" },
	{ CHOICE, "{\"color\":\"WHAT\"}", "{}" },

	/* text */
	{ SCALARS, "{\"aString\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u001f\"}", NULL },
	{ SCALARS, "{\"aString\":\"<a href='x'>&\\/\"}", "{\"aString\":\"<a href='x'>&/\"}" },
	{ SCALARS, "{\"aString\":\"\\u00e4\\u20AC\\ud83d\\ude00\"}",
	  "{\"aString\":\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\"}" },
	{ SCALARS, "{\"aString\":\"\x7F\xE2\x80\xA8\"}", NULL },

	/* bytes */
	{ SCALARS, "{\"someBytes\":\"\"}", "{}" },
	{ SCALARS, "{\"someBytes\":\"QQ==\"}", NULL },
	{ SCALARS, "{\"someBytes\":\"QQ\"}", "{\"someBytes\":\"QQ==\"}" },
	{ SCALARS, "{\"someBytes\":\"QUI=\"}", NULL },
	{ SCALARS, "{\"someBytes\":\"QUI\"}", "{\"someBytes\":\"QUI=\"}" },
	{ SCALARS, "{\"someBytes\":\"-_-_\"}", "{\"someBytes\":\"+/+/\"}" },
	{ SCALARS, "{\"someBytes\":\"\\u0051U\\/D\"}", "{\"someBytes\":\"QU/D\"}" },

	/* presence */
	{ OPTIONALS,
	  "{\"anInt32\":0,\"anUint64\":\"0\",\"aDouble\":0,\"aBool\":false,"
	  "\"aColor\":\"COLOR_NONE\",\"aString\":\"\",\"someBytes\":\"\",\"scalars\":{}}",
	  NULL },
	{ OPTIONALS, "{\"scalars\":{\"anInt32\":0}}", "{\"scalars\":{}}" },
	{ CHOICE, "{\"number\":0}", NULL },
	{ CHOICE, "{\"text\":\"\"}", NULL },
	{ CHOICE, "{\"nested\":{}}", NULL },
	{ CHOICE, "{\"nothing\":null,\"beside\":\"b\"}", NULL },
	{ CHOICE, "{\"nothing\":\"NULL_VALUE\"}", "{\"nothing\":null}" },

	/* lists */
	{ LISTS, "{\"ints\":[]}", "{}" },
	{ LISTS, "{\"ints\":[0,1,\"2\",3.0,-4,5,6,7,8,9]}", "{\"ints\":[0,1,2,3,-4,5,6,7,8,9]}" },
	{ LISTS,
	  "{\"longs\":[\"-1\",2],\"fixed\":[3],\"doubles\":[0.5,\"NaN\"],\"bools\":[true,false]}",
	  "{\"longs\":[\"-1\",\"2\"],\"fixed\":[3],\"doubles\":[0.5,\"NaN\"],\"bools\":[true,false]"
	  "}" },
	{ LISTS,
	  "{\"strings\":[\"\",\"a\"],\"blobs\":[\"\",\"QQ==\"],\"messages\":[{},{\"name\":\"n\"}]}",
	  NULL },

	/* maps */
	{ MAPS, "{\"strings\":{}}", "{}" },
	{ MAPS, "{\"strings\":{\"\":\"\",\"a\":\"b\",\"c\":\"\"}}", NULL },
	{ MAPS, "{\"intKeys\":{\"-1\":\"COLOR_RED\",\"0\":\"COLOR_NONE\"}}", NULL },
	{ MAPS, "{\"longKeys\":{\"18446744073709551615\":\"QQ==\"}}", NULL },
	{ MAPS, "{\"boolKeys\":{\"true\":1,\"false\":0}}", NULL },
	{ MAPS, "{\"values\":{\"a\":null,\"b\":[1]}}", NULL },
	{ MAPS, "{\"messageValues\":{\"-5\":{\"name\":\"n\"}}}", NULL },

	/* well-known types */
	{ WELLKNOWN, "{\"time\":\"1970-01-01T00:00:00Z\"}", NULL },
	{ WELLKNOWN, "{\"time\":\"0001-01-01T00:00:00Z\"}", NULL },
	{ WELLKNOWN, "{\"time\":\"9999-12-31T23:59:59.999999999Z\"}", NULL },
	{ WELLKNOWN, "{\"time\":\"2000-02-29T12:34:56.1Z\"}",
	  "{\"time\":\"2000-02-29T12:34:56.100Z\"}" },
	{ WELLKNOWN, "{\"time\":\"1969-12-31T23:59:59.999Z\"}", NULL },
	{ WELLKNOWN, "{\"time\":\"2024-12-31T23:59:59.000001Z\"}", NULL },
	{ WELLKNOWN, "{\"time\":\"2024-03-01T00:30:00+01:00\"}",
	  "{\"time\":\"2024-02-29T23:30:00Z\"}" },
	{ WELLKNOWN, "{\"time\":\"2023-02-28T23:30:00-00:30\"}",
	  "{\"time\":\"2023-03-01T00:00:00Z\"}" },
	{ WELLKNOWN, "{\"duration\":\"0s\"}", NULL },
	{ WELLKNOWN, "{\"duration\":\"-0.5s\"}", "{\"duration\":\"-0.500s\"}" },
	{ WELLKNOWN, "{\"duration\":\"+3.000001s\"}", "{\"duration\":\"3.000001s\"}" },
	{ WELLKNOWN, "{\"duration\":\".25s\"}", "{\"duration\":\"0.250s\"}" },
	{ WELLKNOWN, "{\"duration\":\"1.s\"}", "{\"duration\":\"1s\"}" },
	{ WELLKNOWN, "{\"duration\":\"-315576000000.999999999s\"}", NULL },
	{ WELLKNOWN, "{\"mask\":\"\"}", NULL },
	{ WELLKNOWN, "{\"mask\":\"fooBar,a.bC1.d\"}", NULL },
	{ WELLKNOWN, "{\"empty\":{\"x\":1}}", "{\"empty\":{}}" },
	{ WELLKNOWN, "{\"struct\":{\"a\":[1,null,\"x\",true,{\"b\":{}}],\"c\":\"NaN\"}}", NULL },
	{ WELLKNOWN, "{\"struct\":{}}", NULL },
	{ WELLKNOWN, "{\"value\":null}", NULL },
	{ WELLKNOWN, "{\"value\":1e3,\"list\":[],\"values\":[null,{},[]]}",
	  "{\"value\":1000,\"list\":[],\"values\":[null,{},[]]}" },
	{ WELLKNOWN,
	  "{\"boolValue\":false,\"bytesValue\":\"\",\"doubleValue\":0,\"floatValue\":1.5,"
	  "\"int32Value\":0,\"int64Value\":\"0\",\"stringValue\":\"\",\"uint32Value\":1,"
	  "\"uint64Value\":\"2\"}",
	  NULL },
	{ WELLKNOWN, "{\"boolValue\":null,\"time\":null,\"any\":null,\"struct\":null}", "{}" },
	{ WELLKNOWN, "{\"times\":[\"1970-01-01T00:00:01Z\"]}", NULL },

	/* Any */
	{ WELLKNOWN, "{\"any\":{}}", NULL },
	{ WELLKNOWN, "{\"any\":{\"x\":1}}", "{\"any\":{}}" },
	{ WELLKNOWN, "{\"any\":{" TYPE("codec.test.Scalars") "}}", NULL },
	{ WELLKNOWN, "{\"any\":{" TYPE("codec.test.Scalars") ",\"anInt32\":1,\"aString\":\"x\"}}",
	  NULL },
	{ WELLKNOWN, "{\"any\":{\"anInt32\":1,\"x\":2," TYPE("codec.test.Scalars") "}}",
	  "{\"any\":{" TYPE("codec.test.Scalars") ",\"anInt32\":1}}" },
	{ WELLKNOWN, "{\"any\":{\"@type\":\"codec.test.Scalars\"}}", NULL },
	{ WELLKNOWN, "{\"any\":{" TYPE("google.protobuf.Duration") ",\"value\":\"1s\"}}", NULL },
	{ WELLKNOWN, "{\"any\":{" TYPE("google.protobuf.Empty") ",\"value\":{}}}", NULL },
	{ WELLKNOWN, "{\"any\":{" TYPE("google.protobuf.Empty") "}}",
	  "{\"any\":{" TYPE("google.protobuf.Empty") ",\"value\":{}}}" },
	{ WELLKNOWN, "{\"any\":{" TYPE("google.protobuf.Struct") ",\"value\":{\"a\":[1]},\"x\":0}}",
	  "{\"any\":{" TYPE("google.protobuf.Struct") ",\"value\":{\"a\":[1]}}}" },
	{ WELLKNOWN, "{\"any\":{" TYPE("google.protobuf.StringValue") ",\"value\":\"s\"}}", NULL },
	{ WELLKNOWN, "{\"any\":{" TYPE("google.protobuf.Value") ",\"value\":null}}", NULL },
	{ WELLKNOWN,
	  "{\"anys\":[{" TYPE("google.protobuf.Any") ",\"value\":{" TYPE(
		  "codec.test.Choice") ",\"number\":0}},{}]}",
	  NULL },

	/* more fields than bits */
	{ WIDE, "{\"f67\":67,\"f1\":1,\"f64\":64,\"f65\":65}",
	  "{\"f1\":1,\"f64\":64,\"f65\":65,\"f67\":67}" },
};

struct refused_case {
	const ProtobufCMessageDescriptor *type;
	const char *text;
	const char *why; /* part of the text */
};

static const struct refused_case refused[] = {
	{ SCALARS, "", "zero-length payload is not a valid JSON object" },
	{ SCALARS, " ", "syntax error" },
	{ SCALARS, "null", "unexpected token null" },
	{ SCALARS, "[]", "unexpected token [" },
	{ SCALARS, "1", "unexpected token 1" },
	{ SCALARS, "\"x\"", "unexpected token \"x\"" },
	{ SCALARS, "{", "syntax error" },
	{ SCALARS, "{} {}", "syntax error (line 1:4)" },
	{ SCALARS, "{\n  \"a\": x}", "syntax error (line 2:8)" },
	{ SCALARS, "{\"anInt32\":1,}", "syntax error" },
	{ SCALARS, "{'anInt32':1}", "syntax error" },
	{ SCALARS, "{\"anInt32\":01}", "syntax error" },
	{ SCALARS, "{\"anInt32\":+1}", "syntax error" },
	{ SCALARS, "{\"anInt32\":1.}", "syntax error" },
	{ SCALARS, "{\"anInt32\":NaN}", "syntax error" },
	{ SCALARS, "{/**/}", "syntax error" },
	{ SCALARS, "\xEF\xBB\xBF{}", "syntax error" },

	/* text that is not Unicode, or not text */
	{ SCALARS, "{\"aString\":\"\xFF\"}", "UTF-8" },
	{ SCALARS, "{\"x\":\"\xC0\x80\"}", "UTF-8" },
	{ SCALARS, "{\"x\":\"\xED\xA0\x80\"}", "UTF-8" },
	{ SCALARS, "{\"aString\":\"\\ud800\"}", "surrogate" },
	{ SCALARS, "{\"aString\":\"\\udc00\"}", "surrogate" },
	{ SCALARS, "{\"aString\":\"\\ud800\\u0041\"}", "surrogate" },
	{ SCALARS, "{\"aString\":\"\n\"}", "control character" },
	{ SCALARS, "{\"aString\":\"\\x\"}", "escape" },
	{ SCALARS, "{\"aString\":\"a\\u0000b\"}", "field a_string contains a NUL" },
	{ MAPS, "{\"strings\":{\"a\\u0000\":\"\"}}", "invalid value for string key" },

	/* the same field twice, under whatever name; a null counts */
	{ SCALARS, "{\"anInt32\":1,\"anInt32\":1}", "duplicate field \"anInt32\"" },
	{ SCALARS, "{\"anInt32\":1,\"an_int32\":1}", "duplicate field \"an_int32\"" },
	{ SCALARS, "{\"anInt32\":null,\"an_int32\":1}", "duplicate field" },
	{ LISTS, "{\"ints\":[],\"ints\":[]}", "duplicate field" },
	{ WIDE, "{\"f66\":1,\"f66\":1}", "duplicate field \"f66\"" },
	{ CHOICE, "{\"number\":1,\"text\":\"\"}", "oneof is already set" },
	{ CHOICE, "{\"nested\":{},\"nothing\":null}", "oneof is already set" },
	{ MAPS, "{\"strings\":{\"a\":\"\",\"b\":\"\",\"\\u0061\":\"\"}}", "duplicate map key" },
	{ MAPS, "{\"boolKeys\":{\"true\":1,\"true\":1}}", "duplicate map key" },
	{ WELLKNOWN, "{\"struct\":{\"a\":1,\"a\":1}}", "duplicate map key" },

	/* null where a value is needed */
	{ LISTS, "{\"ints\":[null]}", "invalid value for int32 field ints: null" },
	{ LISTS, "{\"messages\":[null]}", "unexpected token null" },
	{ LISTS, "{\"colors\":[null]}", "invalid value for enum field colors: null" },
	{ MAPS, "{\"strings\":{\"a\":null}}", "null" },
	{ MAPS, "{\"messageValues\":{\"1\":null}}", "unexpected token null" },
	{ WELLKNOWN, "{\"times\":[null]}", "unexpected token null" },
	{ WELLKNOWN, "{\"anys\":[null]}", "unexpected token null" },
	{ WELLKNOWN, "{\"values\":null}", "unexpected token null" },

	/* wrong types */
	{ SCALARS, "{\"aString\":1}", "invalid value for string field a_string: 1" },
	{ SCALARS, "{\"aString\":{}}", "invalid value for string field a_string: {" },
	{ SCALARS, "{\"aBool\":\"true\"}", "invalid value for bool field a_bool: \"true\"" },
	{ SCALARS, "{\"aBool\":1}", "invalid value for bool" },
	{ SCALARS, "{\"aColor\":true}", "invalid value for enum" },
	{ SCALARS, "{\"aColor\":1.5}", "invalid value for enum" },
	{ SCALARS, "{\"aColor\":2147483648}", "invalid value for enum" },
	{ SCALARS, "{\"someBytes\":1}", "invalid value for bytes" },
	{ SCALARS, "{\"someBytes\":\"Q\"}", "not base64" },
	{ SCALARS, "{\"someBytes\":\"QQ=\"}", "not base64" },
	{ SCALARS, "{\"someBytes\":\"Q Q=\"}", "not base64" },
	{ LISTS, "{\"ints\":1}", "unexpected token 1" },
	{ LISTS, "{\"ints\":{}}", "unexpected token {" },
	{ MAPS, "{\"strings\":[]}", "unexpected token [" },
	{ OPTIONALS, "{\"scalars\":[]}", "unexpected token [" },
	{ OPTIONALS, "{\"scalars\":\"\"}", "unexpected token \"\"" },

	/* numbers out of range, or not whole, or not numbers */
	{ SCALARS, "{\"anInt32\":2147483648}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":-2147483649}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":1.5}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":15e-1}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":1e-1}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":1e99999999999}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":\"\"}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":\" 1\"}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":\"1 \"}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":\"01\"}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":\"+1\"}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":\"0x1\"}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":\"1\\u0000\"}", "invalid value for int32" },
	{ SCALARS, "{\"anInt32\":true}", "invalid value for int32" },
	{ SCALARS, "{\"anUint32\":-1}", "invalid value for uint32" },
	{ SCALARS, "{\"anUint32\":4294967296}", "invalid value for uint32" },
	{ SCALARS, "{\"anInt64\":9223372036854775808}", "invalid value for int64" },
	{ SCALARS, "{\"anInt64\":\"-9223372036854775809\"}", "invalid value for int64" },
	{ SCALARS, "{\"anUint64\":18446744073709551616}", "invalid value for uint64" },
	{ SCALARS, "{\"anUint64\":1e20}", "invalid value for uint64" },
	{ SCALARS, "{\"aDouble\":1e999}", "invalid value for double" },
	{ SCALARS, "{\"aDouble\":\"nan\"}", "invalid value for double" },
	{ SCALARS, "{\"aDouble\":\"0x1p3\"}", "invalid value for double" },
	{ SCALARS, "{\"aDouble\":\"+Infinity\"}", "invalid value for double" },
	{ SCALARS, "{\"aDouble\":\".5\"}", "invalid value for double" },
	{ SCALARS, "{\"aFloat\":3.5e38}", "invalid value for float" },
	{ MAPS, "{\"intKeys\":{\"x\":1}}", "invalid value for int32 key: \"x\"" },
	{ MAPS, "{\"intKeys\":{\"\":1}}", "invalid value for int32 key: \"\"" },
	{ MAPS, "{\"longKeys\":{\"-1\":\"\"}}", "invalid value for uint64 key" },
	{ MAPS, "{\"intKeys\":{\"1e1\":1}}", "invalid value for int32 key" },
	{ MAPS, "{\"intKeys\":{\"2147483648\":1}}", "invalid value for int32 key" },
	{ MAPS, "{\"boolKeys\":{\"1\":1}}", "invalid value for bool key" },

	/* well-known types */
	{ WELLKNOWN, "{\"time\":\"\"}", "invalid google.protobuf.Timestamp value" },
	{ WELLKNOWN, "{\"time\":1}", "unexpected token 1" },
	{ WELLKNOWN, "{\"time\":\"2024-01-01\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2024-01-01T00:00:00\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2024-01-01t00:00:00z\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2023-02-29T00:00:00Z\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2024-13-01T00:00:00Z\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2024-01-01T24:00:00Z\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2024-01-01T00:00:60Z\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2024-01-01T00:00:00.Z\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2024-01-01T00:00:00.1234567890Z\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2024-01-01T00:00:00+1:00\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"2024-01-01T00:00:00ZZ\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"0000-12-31T23:59:59Z\"}", "invalid" },
	{ WELLKNOWN, "{\"time\":\"9999-12-31T23:59:59-00:01\"}", "invalid" },
	{ WELLKNOWN, "{\"duration\":\"1\"}", "invalid google.protobuf.Duration value" },
	{ WELLKNOWN, "{\"duration\":\"s\"}", "invalid" },
	{ WELLKNOWN, "{\"duration\":\".s\"}", "invalid" },
	{ WELLKNOWN, "{\"duration\":\"--1s\"}", "invalid" },
	{ WELLKNOWN, "{\"duration\":\"01s\"}", "invalid" },
	{ WELLKNOWN, "{\"duration\":\"1m\"}", "invalid" },
	{ WELLKNOWN, "{\"duration\":\"315576000001s\"}", "invalid" },
	{ WELLKNOWN, "{\"duration\":\"99999999999999999999s\"}", "invalid" },
	{ WELLKNOWN, "{\"duration\":\"0.0000000001s\"}", "invalid" },
	{ WELLKNOWN, "{\"mask\":\"foo_bar\"}", "invalid google.protobuf.FieldMask value" },
	{ WELLKNOWN, "{\"mask\":\"a,\"}", "invalid" },
	{ WELLKNOWN, "{\"mask\":\",a\"}", "invalid" },
	{ WELLKNOWN, "{\"mask\":\"a..b\"}", "invalid" },
	{ WELLKNOWN, "{\"mask\":\"a b\"}", "invalid" },
	{ WELLKNOWN, "{\"struct\":[]}", "unexpected token [" },
	{ WELLKNOWN, "{\"list\":{}}", "unexpected token {" },
	{ WELLKNOWN, "{\"value\":1e999}", "invalid value for double" },
	{ WELLKNOWN, "{\"int32Value\":\"x\"}", "invalid value for int32" },
	{ WELLKNOWN, "{\"int32Value\":{}}", "invalid value for int32" },
	{ WELLKNOWN, "{\"empty\":1}", "unexpected token 1" },

	/* Any */
	{ WELLKNOWN, "{\"any\":1}", "unexpected token 1" },
	{ WELLKNOWN, "{\"any\":{\"@type\":1}}", "no type URL" },
	{ WELLKNOWN, "{\"any\":{\"@type\":\"\"}}", "no type URL" },
	{ WELLKNOWN, "{\"any\":{\"@type\":\"a\\u0000/codec.test.Scalars\"}}", "no type URL" },
	{ WELLKNOWN, "{\"any\":{\"@type\":\"x/y.Z\"}}", "unable to resolve \"x/y.Z\"" },
	{ WELLKNOWN, "{\"any\":{" TYPE("codec.test.Scalars") "," TYPE("codec.test.Scalars") "}}",
	  "duplicate \"@type\" field" },
	{ WELLKNOWN, "{\"any\":{" TYPE("google.protobuf.Duration") "}}",
	  "missing \"value\" field" },
	{ WELLKNOWN,
	  "{\"any\":{" TYPE("google.protobuf.Duration") ",\"value\":\"1s\",\"value\":\"1s\"}}",
	  "duplicate \"value\" field" },
	{ WELLKNOWN, "{\"any\":{" TYPE("codec.test.Scalars") ",\"anInt32\":\"x\"}}",
	  "invalid value for int32" },
};

static void test_json_accepted_texts_are_said_again(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct json_case *c = &accepted[i];
		ProtobufCMessage *message = decode_json(*state, c->type, c->text);
		const struct codec_fixture *f = *state;

		if (!message)
			fail_msg("%s: %s", c->text, err_text(&f->e));
		assert_string_equal(encode_json(*state, message), c->again ? c->again : c->text);
	}
}

static void test_json_accepted_texts_survive_protobuf(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct json_case *c = &accepted[i];
		ProtobufCMessage *message = decode_json(f, c->type, c->text);

		assert_non_null(message);
		if (strcmp(c->text, "{\"aDouble\":-0}") == 0)
			continue; /* protobuf-c takes it for the default */
		encode_proto(f, message);
		message = decode_bytes(f, CODEC_PROTO, c->type, f->out.data, f->out.len);
		if (!message)
			fail_msg("%s: %s", c->text, err_text(&f->e));
		assert_string_equal(encode_json(f, message), c->again ? c->again : c->text);
	}
}

static void test_json_refused_texts_say_why(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		const struct refused_case *c = &refused[i];

		if (decode_json(f, c->type, c->text))
			fail_msg("accepted: %s", c->text);
		assert_int_equal(f->e.kind, ERR_INVALID);
		if (!strstr(err_text(&f->e), c->why))
			fail_msg("%s: %s", c->text, err_text(&f->e));
	}
}

/* Any result will do but reading or writing where nothing is. */
static void decode_and_say_again(struct codec_fixture *f, const ProtobufCMessageDescriptor *type,
                                 const char *text, size_t len)
{
	ProtobufCMessage *message = decode_bytes(f, CODEC_JSON, type, text, len);

	if (!message)
		return;
	encode_proto(f, message);
	(void)encode_json(f, message);
}

static void test_json_mutated_and_truncated_texts_are_safe(void **state)
{
	static const char bytes[] = "\"\\{}[],:0-e\xFF\x80u";
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct json_case *c = &accepted[i];
		const size_t len = strlen(c->text);
		char *text = xstrdup(c->text);

		for (size_t at = 0; at < len; at++) {
			decode_and_say_again(f, c->type, text, at);
			for (size_t n = 0; n < sizeof bytes; n++) {
				text[at] = bytes[n];
				decode_and_say_again(f, c->type, text, len);
			}
			text[at] = c->text[at] ^ 1;
			decode_and_say_again(f, c->type, text, len);
			text[at] = c->text[at];
		}
		free(text);
	}
}

static char *repeated(const char *before, const char *piece, size_t n, const char *after)
{
	struct buf b;

	buf_init(&b, SIZE_MAX / 4);
	buf_append_text(&b, before);
	for (size_t i = 0; i < n; i++)
		buf_append_text(&b, piece);
	buf_append_text(&b, after);
	buf_append_byte(&b, '\0');
	assert_int_equal(buf_error(&b), 0);
	return (char *)b.data;
}

static char *nested(const char *open, size_t n, const char *middle, const char *close)
{
	char *opened = repeated("", open, n, middle);
	char *all = repeated(opened, close, n, "");

	free(opened);
	return all;
}

static void test_json_unknown_field_nests_up_to_the_limit(void **state)
{
	struct codec_fixture *f = *state;
	char *deepest = nested("{\"x\":", JSON_DEPTH_MAX, "0", "}");
	char *deeper = nested("{\"x\":", JSON_DEPTH_MAX, "[]", "}");
	char *absurd = repeated("", "{\"x\":", 1000000, "");

	assert_non_null(decode_json(f, SCALARS, deepest));
	assert_null(decode_json(f, SCALARS, deeper));
	assert_int_equal(f->e.kind, ERR_INVALID);
	assert_non_null(strstr(err_text(&f->e), "exceeded max recursion depth"));
	assert_null(decode_json(f, SCALARS, absurd));
	assert_int_equal(f->e.kind, ERR_INVALID);
	free(deepest);
	free(deeper);
	free(absurd);
}

static void test_json_known_fields_nest_as_in_protobuf(void **state)
{
	struct codec_fixture *f = *state;
	char *deepest = nested("{\"child\":", CODEC_PROTO_DEPTH_MAX - 1, "{}", "}");
	char *deeper = nested("{\"child\":", CODEC_PROTO_DEPTH_MAX, "{}", "}");
	char *values = nested("[", 9000, "", "]");
	char *dynamic = repeated("{\"value\":", values, 1, "}");
	ProtobufCMessage *message = decode_json(f, NESTED, deepest);

	assert_non_null(message);
	encode_proto(f, message);
	assert_non_null(decode_bytes(f, CODEC_PROTO, NESTED, f->out.data, f->out.len));
	assert_null(decode_json(f, NESTED, deeper));
	assert_int_equal(f->e.kind, ERR_INVALID);
	assert_null(decode_json(f, WELLKNOWN, dynamic));
	assert_int_equal(f->e.kind, ERR_INVALID);
	free(deepest);
	free(deeper);
	free(values);
	free(dynamic);
}

static void test_json_large_bytes_stay_in_the_text(void **state)
{
	enum { SIZE = 3 * 1024 * 1024 };
	struct codec_fixture *f = *state;
	char *text = repeated("{\"someBytes\":\"", "QUJD", SIZE / 3, "\"}");
	const Codec__Test__Scalars *message = (const void *)decode_json(f, SCALARS, text);

	assert_non_null(message);
	assert_int_equal(message->some_bytes.len, SIZE);
	assert_memory_equal(message->some_bytes.data + SIZE - 3, "ABC", 3);
	assert_in_range(f->arena.used, SIZE / 3 * 4, SIZE / 3 * 4 + 4096);
	assert_string_equal(encode_json(f, &message->base), text);
	free(text);
}

static void test_json_many_small_values_end_at_the_memory_limit(void **state)
{
	struct codec_fixture *f = *state;
	char *text = repeated("{\"messages\":[{}", ",{}", 1000000, "]}");

	assert_non_null(decode_json(f, LISTS, text));
	arena_deinit(&f->arena);
	arena_init(&f->arena, 16 * 1024 * 1024, NULL, 0);
	assert_null(decode_json(f, LISTS, text));
	assert_int_equal(f->e.kind, ERR_LIMIT);
	free(text);
}

static void test_json_many_map_keys_take_no_quadratic_time(void **state)
{
	struct codec_fixture *f = *state;
	struct buf b;

	buf_init(&b, SIZE_MAX / 4);
	buf_append_text(&b, "{\"strings\":{\"x\":\"\"");
	for (int i = 0; i < 200000; i++)
		buf_appendf(&b, ",\"%d\":\"\"", i);
	buf_append_text(&b, "}}");
	buf_append_byte(&b, '\0');
	assert_non_null(decode_json(f, MAPS, (const char *)b.data));
	assert_int_equal(strlen(encode_json(f, decode_json(f, MAPS, (const char *)b.data))),
	                 strlen((const char *)b.data));
	buf_deinit(&b);
}

static void test_json_every_allocation_failure_is_refused(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct json_case *c = &accepted[i];

		for (unsigned nth = 1;; nth++) {
			ProtobufCMessage *message;

			mem_fail_nth(nth);
			message = decode_json(f, c->type, c->text);
			if (!mem_fail_nth(0)) {
				assert_non_null(message);
				break;
			}
			assert_null(message);
			assert_int_equal(f->e.kind, ERR_LIMIT);
		}
	}
}

static void test_json_encoding_survives_every_allocation_failure(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct json_case *c = &accepted[i];
		ProtobufCMessage *message = decode_json(f, c->type, c->text);

		for (unsigned nth = 1;; nth++) {
			int rc;

			buf_deinit(&f->out);
			buf_init(&f->out, CODEC_MESSAGE_MEMORY_MAX);
			mem_fail_nth(nth);
			rc = codec_encode(CODEC_JSON, message, &f->out, &f->e);
			if (!mem_fail_nth(0))
				break;
			assert_true(rc < 0 || buf_error(&f->out) == -ENOMEM);
		}
	}
}

static void assert_unsayable(struct codec_fixture *f, const ProtobufCMessage *message)
{
	assert_null(encode_json(f, message));
	assert_int_equal(f->e.kind, ERR_INTERNAL);
}

static void test_json_messages_that_json_cannot_say_are_refused(void **state)
{
	Codec__Test__Wellknown m = CODEC__TEST__WELLKNOWN__INIT;
	Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
	Google__Protobuf__Value value = GOOGLE__PROTOBUF__VALUE__INIT;
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	char path[] = "a_1", url[] = "x/no.Such";
	char *paths[] = { path };

	m.time = &time;
	time.nanos = -1;
	assert_unsayable(*state, &m.base);
	time = (Google__Protobuf__Timestamp)GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	time.seconds = INT64_MAX;
	assert_unsayable(*state, &m.base);
	m.time = NULL;
	m.duration = &duration;
	duration.seconds = 1;
	duration.nanos = -1;
	assert_unsayable(*state, &m.base);
	duration.seconds = INT64_MIN;
	assert_unsayable(*state, &m.base);
	m.duration = NULL;
	m.value = &value;
	assert_unsayable(*state, &m.base);
	value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
	value.number_value = __builtin_inf();
	assert_unsayable(*state, &m.base);
	m.value = NULL;
	m.mask = &mask;
	mask.n_paths = 1;
	mask.paths = paths;
	assert_unsayable(*state, &m.base);
	m.mask = NULL;
	m.any = &any;
	any.type_url = url;
	assert_unsayable(*state, &m.base);
	any.type_url = path + 3;
	any.value.data = (uint8_t *)path;
	any.value.len = 1;
	assert_unsayable(*state, &m.base);
}

/* A message of 40 bytes may hold an Any that holds an Any...: neither stack nor memory follow. */
static void test_json_any_in_any_is_bounded(void **state)
{
	struct codec_fixture *f = *state;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	char url[] = "/google.protobuf.Any";
	struct buf inner = { 0 };

	for (unsigned depth = 0; depth < 3 * CODEC_PROTO_DEPTH_MAX; depth++) {
		any.type_url = url;
		any.value = (ProtobufCBinaryData){ inner.len, inner.data };
		encode_proto(f, &any.base);
		buf_deinit(&inner);
		buf_init(&inner, CODEC_MESSAGE_MEMORY_MAX);
		buf_append(&inner, f->out.data, f->out.len);
	}
	any.value = (ProtobufCBinaryData){ inner.len, inner.data };
	assert_unsayable(f, &any.base);
	buf_deinit(&inner);
}

static void test_json_invalid_text_is_repaired(void **state)
{
	Codec__Test__Scalars m = CODEC__TEST__SCALARS__INIT;
	char text[] = "a\xFF\xC3(b\xE2\x82";

	m.a_string = text;
	assert_string_equal(encode_json(*state, &m.base),
	                    "{\"aString\":\"a\xEF\xBF\xBD\xEF\xBF\xBD(b\xEF\xBF\xBD\"}");
}

static void test_json_output_at_the_limit_sticks(void **state)
{
	struct codec_fixture *f = *state;
	Codec__Test__Scalars m = CODEC__TEST__SCALARS__INIT;
	uint8_t data[100] = { 0 };

	m.some_bytes = (ProtobufCBinaryData){ sizeof data, data };
	buf_deinit(&f->out);
	buf_init(&f->out, 64);
	assert_int_equal(codec_encode(CODEC_JSON, &m.base, &f->out, &f->e), 0);
	assert_int_equal(buf_error(&f->out), -ENOBUFS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_json_accepted_texts_are_said_again),
		TEST(test_json_accepted_texts_survive_protobuf),
		TEST(test_json_refused_texts_say_why),
		TEST(test_json_mutated_and_truncated_texts_are_safe),
		TEST(test_json_unknown_field_nests_up_to_the_limit),
		TEST(test_json_known_fields_nest_as_in_protobuf),
		TEST(test_json_large_bytes_stay_in_the_text),
		TEST(test_json_many_small_values_end_at_the_memory_limit),
		TEST(test_json_many_map_keys_take_no_quadratic_time),
		TEST(test_json_every_allocation_failure_is_refused),
		TEST(test_json_encoding_survives_every_allocation_failure),
		TEST(test_json_messages_that_json_cannot_say_are_refused),
		TEST(test_json_any_in_any_is_bounded),
		TEST(test_json_invalid_text_is_repaired),
		TEST(test_json_output_at_the_limit_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/text.c"

#include "unit.h"

static const char *cleaned(size_t size, const char *from, size_t len)
{
	static char to[256];

	memset(to, '#', sizeof(to));
	text_clean(to, size, from, len);
	CHECK(strlen(to) < size);
	CHECK(to[size] == '#'); /* nothing is written behind the room */
	return to;
}

#define FFFD "\xef\xbf\xbd"

static const struct {
	size_t size;
	const char *from;
	size_t len; /* 0: of the string */
	const char *want;
} clean_rows[] = {
	{ 99, "plain", 0, "plain" },
	{ 99, "", 0, "" },
	{ 99, "  two \t\r\n words \n", 0, "two words" },
	{ 99, " \n ", 0, "" },
	{ 99, "a\x01z\x7f", 0, "a\\x01z\\x7f" },
	{ 99, "nul\0in", 6, "nul\\x00in" },
	{ 99, "esc\x1b[31m", 0, "esc\\x1b[31m" },
	{ 99, "gr\xc3\xbc\xc3\x9f", 0, "gr\xc3\xbc\xc3\x9f" },
	{ 99, "\xf0\x9f\x98\x80", 0, "\xf0\x9f\x98\x80" },
	/* C1 controls steer terminals as well */
	{ 99, "\xc2\x9b", 0, "\\x9b" },
	{ 99,
	  "a\xc2\xa0"
	  "b\xe2\x80\xa8"
	  "c",
	  0, "a b c" },
	/* right-to-left override */
	{ 99,
	  "a\xe2\x80\xae"
	  "b",
	  0, "a" FFFD "b" },
	{ 99, "\xff", 0, FFFD },
	{ 99, "a\xc3", 0, "a" FFFD },
	{ 99, "\xc0\xaf", 0, FFFD FFFD },	   /* overlong */
	{ 99, "\xe0\x80\xaf", 0, FFFD FFFD FFFD }, /* overlong */
	{ 99, "\xed\xa0\x80", 0, FFFD FFFD FFFD }, /* surrogate */
	{ 99, "\xf4\x90\x80\x80", 0, FFFD FFFD FFFD FFFD },
	{ 99,
	  "latin1 \xfc"
	  "ber",
	  0, "latin1 " FFFD "ber" },
	/* the part beyond len is not looked at */
	{ 99, "\xc3\xbc", 1, FFFD },
	{ 6, "12345", 0, "12345" },
	{ 6, "123456", 0, "12..." },
	{ 6, "1234\n", 0, "1234" },
	{ 6, "1234 \n5", 0, "12..." },
	{ 7, "\xc3\xbc\xc3\xbc\xc3\xbc", 0, "\xc3\xbc\xc3\xbc\xc3\xbc" },
	{ 7, "\xc3\xbc\xc3\xbc\xc3\xbcx", 0, "\xc3\xbc..." },
	{ 7, "abc\x01z", 0, "abc..." },
	{ 4, "abcd", 0, "..." },
	{ 3, "abcd", 0, ".." },
	{ 2, "ab", 0, "." },
	{ 1, "ab", 0, "" },
	{ 1, "", 0, "" },
};

static void test_clean(void)
{
	size_t i, len;

	for (i = 0; i < sizeof(clean_rows) / sizeof(clean_rows[0]); i++) {
		len = clean_rows[i].len;
		CHECK_STR(cleaned(clean_rows[i].size, clean_rows[i].from,
				  len ? len : strlen(clean_rows[i].from)),
			  clean_rows[i].want);
	}
}

/* Whatever comes in, one valid line comes out. */
static void test_clean_garbage(void)
{
	unsigned seed = 1;
	char from[40], to[32], again[32];
	size_t round, i, size;

	for (round = 0; round < 20000; round++) {
		for (i = 0; i < sizeof(from); i++) {
			seed = seed * 1103515245 + 12345;
			from[i] = (char)(seed >> 16);
		}
		size = 1 + round % (sizeof(to) - 1);
		text_clean(to, size, from, sizeof(from));
		/* what is clean stays as it is */
		text_clean(again, size, to, strlen(to));
		if (strlen(to) >= size || strpbrk(to, "\r\n\t\x1b") ||
		    strcmp(to, again) != 0) {
			CHECK(!"garbage came through");
			return;
		}
	}
	CHECK(round == 20000);
}

static const char *masked(const char *text)
{
	static char copy[256];

	snprintf(copy, sizeof(copy), "%s", text);
	text_mask(copy);
	CHECK_INT(strlen(copy), strlen(text));
	return copy;
}

static void test_mask(void)
{
	CHECK_STR(masked("no secret yet: hunter2"), "no secret yet: hunter2");
	CHECK_INT(text_secret("hunter2"), 0);
	CHECK_INT(text_secret("hunter2"), 0);
	CHECK_INT(text_secret("abc"), 0);
	CHECK_INT(text_secret(""), 0);
	CHECK_INT(text_secret("p@ss w/rd"), 0);
	CHECK_INT(text_secret("hunter2-long"), 0);
	CHECK_INT(text_secret("longer"), 0);

	CHECK_STR(masked(""), "");
	CHECK_STR(masked("abc"), "abc");
	CHECK_STR(masked("hunter."), "hunter.");
	/* perhaps cut there */
	CHECK_STR(masked("see hunter"), "see ******");
	CHECK_STR(masked("see hunt"), "see ****");
	CHECK_STR(masked("see hun"), "see hun");
	CHECK_STR(masked("hunter2"), "*******");
	CHECK_STR(masked("hunter2hunter2!"), "**************!");
	CHECK_STR(masked("u:hunter2@h"), "u:*******@h");
	CHECK_STR(masked("hunter2-long"), "************");
	/* two that overlap */
	CHECK_STR(masked("hunter2-longer."), "**************.");
	CHECK_STR(masked("p%40ss%20w%2frd"), "***************");
	CHECK_STR(masked("p%40ss+w%2Frd"), "*************");
	CHECK_STR(masked("%68unter2"), "*********");
	CHECK_STR(masked("p%4"), "p%4");
	CHECK_STR(masked("p%"), "p%");
	CHECK_STR(masked("p%zzss w/rd"), "p%zzss w/rd");

	text_forget_secrets();
	CHECK_STR(masked("hunter2"), "hunter2");
	text_forget_secrets();
}

/* Other ways to write a secret. */
static void test_mask_encoded(void)
{
	CHECK_INT(text_secret("x\"y\\z/w"), 0);
	CHECK_STR(masked("{\"a\":\"x\\\"y\\\\z\\/w\"}"),
		  "{\"a\":\"**********\"}");
	CHECK_STR(masked("x\\u0022y\\u005cz/w."), "*****************.");
	CHECK_STR(masked("x\\u002"), "x\\u002");
	CHECK_STR(masked("x\\"), "x\\");
	/* a secret that itself looks encoded */
	CHECK_INT(text_secret("50%25off"), 0);
	CHECK_STR(masked("50%25off."), "********.");
	CHECK_STR(masked("50%2525off."), "**********.");
	text_forget_secrets();

	/* of anything that holds it, at each of the three places */
	CHECK_INT(text_secret("Secret-word"), 0);
	CHECK_STR(masked("Basic U2VjcmV0LXdvcmQ= x"),
		  "Basic ***************= x");
	CHECK_STR(masked("Basic YXBwOlNlY3JldC13b3Jk x"),
		  "Basic YXBwO*************** x");
	CHECK_STR(masked("YTpTZWNyZXQtd29yZA=="), "YT****************==");
	CHECK_STR(masked("eHh4OlNlY3JldC13b3JkLXk="),
		  "eHh4O***************LXk=");
	CHECK_STR(masked("U2VjcmV1"), "U2VjcmV1");
	text_forget_secrets();
	/* "+" and "/" in it; in URLs they are "-" and "_", or encoded */
	CHECK_INT(text_secret("\xfb\xef\xbe\xff\xff\xff\xfb\xef\xbe"), 0);
	CHECK_STR(masked("a ++++////++++ b"), "a ************ b");
	CHECK_STR(masked("a ----____---- b"), "a ************ b");
	CHECK_STR(masked("%2B+++%2f///++++ b"), "**************** b");
	text_forget_secrets();
}

/* What is left of a secret when a peer has cut it. */
static void test_mask_parts(void)
{
	static const char secret[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char text[64], want[64];
	size_t from, len;

	CHECK_INT(text_secret(secret), 0);
	CHECK_STR(masked("<0123456789abcdefg, x>"), "<*****************, x>");
	/* at its beginning, in the middle, at its end */
	for (from = 0; from < 36; from++) {
		for (len = 8; from + len <= 36; len++) {
			snprintf(text, sizeof(text), "<%.*s>", (int)len,
				 secret + from);
			memcpy(want, text, sizeof(want));
			if (len >= 10)
				memset(want + 1, '*', len);
			CHECK_STR(masked(text), want);
		}
	}
	text_forget_secrets();
}

/* One of each character that some encoding escapes. */
#define ODD "p\xc3\xa4\"'/\\ &+<\xe2\x82\xac%40z"

/* How others write it. */
static const char *const odd_rows[] = {
	ODD,
	/* JSON, with the fewest and with the most escapes */
	"p\xc3\xa4\\\"'/\\\\ &+<\xe2\x82\xac%40z",
	"p\\u00e4\\\"'\\/\\\\ &+<\\u20ac%40z",
	"p\\u00E4\\u0022\\u0027\\/\\u005c \\u0026\\u002b\\u003C\\u20AC%40z",
	/* JSON in JSON */
	"p\\\\u00e4\\\\\\\"'\\\\/\\\\\\\\ &+<\\\\u20ac%40z",
	/* HTML, and HTML of that */
	"p\xc3\xa4&quot;&#39;/\\ &amp;+&lt;\xe2\x82\xac%40z",
	"p&#228;&#34;&#x27;&#x2F;\\ &#038;&#43;&lt;&#x20AC;%40z",
	"p\xc3\xa4&amp;quot;&amp;#39;/\\ &amp;amp;+&amp;lt;\xe2\x82\xac%40z",
	/* Python and JavaScript: characters, and bytes */
	"p\\xe4\"\\'/\\\\ &+<\\u20ac%40z",
	"p\\xc3\\xa4\"\\'/\\\\ &+<\\xe2\\x82\\xac%40z",
	"p\\U000000e4\\\"'/\\\\ &+<\\U000020AC%40z",
	/* C */
	"p\\303\\244\\\"'/\\\\ &+<\\342\\202\\254%40z",
	/* percent, in forms, twice, three times, Latin-1 */
	"p%C3%A4%22%27%2F%5C%20%26%2B%3C%E2%82%AC%2540z",
	"p%c3%a4%22'/%5c+%26%2b%3c%e2%82%ac%2540z",
	"p%25C3%25A4%2522%2527%252F%255C%2520%2526%252B%253C%25E2%2582%25AC"
	"%252540z",
	"p%2525C3%2525A4%252522'/%25255C+%252526%25252B%25253C%2525E2%252582"
	"%2525AC%25252540z",
	"p%E4\"'/\\ &+<\xe2\x82\xac%40z",
	/* SQL, CSV, a shell */
	"p\xc3\xa4\"''/\\ &+<\xe2\x82\xac%40z",
	"p\xc3\xa4\"\"'/\\ &+<\xe2\x82\xac%40z",
	"p\xc3\xa4\"'\\''/\\ &+<\xe2\x82\xac%40z",
	/* hexadecimal */
	"70c3a422272f5c20262b3ce282ac2534307a",
	"70C3A422272F5C20262B3CE282AC2534307A",
	/* base64 */
	"cMOkIicvXCAmKzzigqwlNDB6",
};

static void test_mask_escaped(void)
{
	char text[256], want[256];
	size_t i;

	CHECK_INT(text_secret(ODD), 0);
	for (i = 0; i < sizeof(odd_rows) / sizeof(odd_rows[0]); i++) {
		snprintf(text, sizeof(text), "<%s>", odd_rows[i]);
		memcpy(want, text, sizeof(want));
		memset(want + 1, '*', strlen(odd_rows[i]));
		CHECK_STR(masked(text), want);
	}
	text_forget_secrets();
}

/* Short secrets as a whole, at each place of something longer. */
static void test_mask_short(void)
{
	CHECK_INT(text_secret("k\xc3\xb6ln"), 0);
	CHECK_STR(masked("6bc3b66c6e"), "**********");
	CHECK_STR(masked("x0c3b16bc3b66c6e0a."), "x0c3b1**********0a.");
	/* UTF-16LE, hexadecimal and base64 */
	CHECK_STR(masked("6b00f6006c006e00"), "****************");
	CHECK_STR(masked("awD2AGwAbgA="), "***********=");
	CHECK_STR(masked("f6bc3b66c6e."), "f**********.");
	CHECK_STR(masked("\"k\\u00f6ln\""), "\"*********\"");
	CHECK_STR(masked("k\\u00f6l n"), "k\\u00f6l n");
	CHECK_STR(masked("<k\\u00f6l>"), "<k\\u00f6l>");
	text_forget_secrets();
	/* What stands before it takes no part of it away. */
	CHECK_INT(text_secret("41nabc;"), 0);
	CHECK_STR(masked("%41nabc;"), "%*******");
	CHECK_STR(masked("\\41nabc;"), "\\*******");
	CHECK_STR(masked("&#41nabc;"), "&#*******");
	text_forget_secrets();
	/* Undone, too little of it is left to be looked for. */
	CHECK_INT(text_secret("''''''a"), 0);
	CHECK_STR(masked("it's 'a'"), "it's 'a'");
	CHECK_STR(masked("<''''''a>"), "<*******>");
	CHECK_INT(text_secret("a\\u0000b%00c&#0;d"), 0);
	CHECK_STR(masked("<abcd>"), "<****>");
	text_forget_secrets();
}

/* However long text and secret are, and whatever repeats. */
static void test_mask_bounded(void)
{
	static const char *const pieces[] = { "a",	 "\\",	     "%25",
					      "&amp;",	 "\\u005c",  "\xc3",
					      "\\uffff", "&#65535;", "''" };
	static char text[TEXT_RAW_BYTES];
	size_t i, len, piece;

	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		piece = strlen(pieces[i]);
		for (len = 0; len + piece < sizeof(text); len += piece)
			memcpy(text + len, pieces[i], piece);
		text[len] = '\0';
		CHECK_INT(text_secret(text), 0);
		text_mask(text);
		CHECK_INT(strspn(text, "*"), len);
	}
	text_forget_secrets();
}

static void test_looks_secret(void)
{
	CHECK(text_looks_secret("ghp16C7e", 8));
	CHECK(!text_looks_secret("ghp16C7e", 7));
	CHECK(text_looks_secret("2f1a-99b1", 9));
	CHECK(!text_looks_secret("verify-full", 11));
	CHECK(!text_looks_secret("2024-10-21", 10));
	CHECK(!text_looks_secret("/etc/ssl/ca1.pem", 16));
	CHECK(!text_looks_secret("", 0));
}

static const char *shown(size_t size, const char *text)
{
	static char to[6000];

	text_show(to, size, text);
	CHECK(strlen(to) < size);
	return to;
}

/* Hidden first, then cut and cleaned. */
static void test_show(void)
{
	char text[5000];

	CHECK_INT(text_secret("two  blanks\tand a tab "), 0);
	CHECK_STR(shown(99, "<two  blanks\tand a tab >"),
		  "<**********************>");
	CHECK_STR(shown(12, "<two  blanks\tand a tab >"), "<*******...");
	CHECK_STR(shown(99, " a \n b "), "a b");
	/* Spelled by the cleaning: other white space has become the blank. */
	CHECK_INT(text_secret("one blank"), 0);
	CHECK_STR(shown(99, "<one\n\nblank>"), "<**********>");
	CHECK_STR(shown(99, ""), "");
	memset(text, '.', sizeof(text));
	memcpy(text + TEXT_RAW_BYTES - 6, "two  blanks\tand a tab ", 23);
	CHECK(strstr(shown(sizeof(text), text), "..two") == NULL);
	CHECK(strstr(shown(sizeof(text), text), "..***") != NULL);
	text_forget_secrets();
}

static const char *ends(size_t size, const char *text)
{
	static char to[200];

	CHECK(size <= sizeof(to));
	text_show_ends(to, size, text);
	CHECK(strlen(to) < size);
	return to;
}

static void test_show_ends(void)
{
	CHECK_STR(ends(99, " a \n b "), "a b");
	CHECK_STR(ends(11, "0123456789"), "0123456789");
	CHECK_STR(ends(10, "0123456789"), "012...789");
	CHECK_STR(ends(9, "0123456789"), "012...89");
	CHECK_STR(ends(4, "0123456789"), "...");
	CHECK_STR(ends(2, "0123456789"), "0");
	/* No character is torn, no secret either. */
	CHECK_STR(ends(10, "01\xc3\xa4"
			   "45\xc3\xa4"
			   "89"),
		  "01...89");
	CHECK_INT(text_secret("hidden-word"), 0);
	CHECK_STR(ends(12, "a hidden-word b"), "a **...** b");
	text_forget_secrets();
}

static void test_nearest(void)
{
	static const char *const words[] = { "interval", "max_age",  "password",
					     "timeout",	 "password", "url",
					     "live",	 NULL };
	static const char *const none[] = { NULL };
	char huge[300];

	CHECK_STR(text_nearest("passwrod", words), "password");
	CHECK_STR(text_nearest("pasword", words), "password");
	CHECK_STR(text_nearest("Timeout", words), "timeout");
	CHECK_STR(text_nearest("time_out", words), "timeout");
	CHECK_STR(text_nearest("max-age", words), "max_age");
	CHECK_STR(text_nearest("maxage", words), "max_age");
	CHECK_STR(text_nearest("pass", words), "password");
	CHECK_STR(text_nearest("ulr", words), "url");
	CHECK_STR(text_nearest("lvie", words), "live");
	CHECK(text_nearest("zebra", words) == NULL);
	CHECK(text_nearest("x", words) == NULL);
	CHECK(text_nearest("", words) == NULL);
	CHECK(text_nearest("timeout", none) == NULL);
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	CHECK(text_nearest(huge, words) == NULL);
}

/* One end of a line, as each system writes it. */
static void test_line_len(void)
{
	CHECK_INT(text_line_len("", 0), 0);
	CHECK_INT(text_line_len("key", 3), 3);
	CHECK_INT(text_line_len("key\n", 4), 3);
	CHECK_INT(text_line_len("key\r\n", 5), 3);
	CHECK_INT(text_line_len("key\n\n", 5), 4);
	CHECK_INT(text_line_len("\n", 1), 0);
	CHECK_INT(text_line_len("k\ney", 4), 4);
}

static void test_unescape(void)
{
	static const struct {
		const char *from, *to;
		bool good;
	} cases[] = {
		{ "", "", true },
		{ "plain", "plain", true },
		{ "%61%2f%2F%20", "a// ", true },
		{ "%2561", "%61", true }, /* once */
		{ "%", "%", false },
		{ "a%4", "a%4", false },
		{ "%4g%41", "%4gA", false },
		{ "%%41", "%A", false },
		{ "a%00b", "a%00b", false },
		{ "%ff", "\xff", true },
	};
	char to[32];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(to, sizeof(to), "%s", cases[i].from);
		CHECK_INT(text_unescape(to, to, strlen(to)), cases[i].good);
		CHECK_STR(to, cases[i].to);
	}
	/* What follows the bytes does not belong to the text. */
	CHECK_INT(text_unescape(to, "a%41", 3), false);
	CHECK_STR(to, "a%4");
}

int main(void)
{
	test_unescape();
	test_clean();
	test_clean_garbage();
	test_mask();
	test_mask_encoded();
	test_mask_parts();
	test_mask_escaped();
	test_mask_short();
	test_mask_bounded();
	test_looks_secret();
	test_show();
	test_show_ends();
	test_nearest();
	test_line_len();
	return unit_report();
}

/* Applies operations to two evbuffers and reports the result of each.
 *
 * It reads batches from standard input: the number of operations, then the operations. For each batch it writes one
 * report per operation to standard output. tests/buffer/differential.rs applies the same operations to evshard's buffers
 * and compares. It ends at the end of its input.
 *
 * With the argument "share" it shares chains between buffers, and does not pull up; otherwise the other way round. In
 * evbuffer, the two do not go together: if two buffers share a chain and both are pulled up, one overwrites the bytes
 * of the other.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>

enum { FILE_LENGTH = 70000, SCRATCH = 1 << 20 };

enum operation {
	APPEND, PREPEND, DRAIN, REMOVE, COPY_OUT, APPEND_BUFFER, PREPEND_BUFFER, MOVE_TO, APPEND_SHARED, PULL_UP, RESERVE,
	FIND, FIND_EOL, READ_LINE, SHARE, EXPAND, STREAM, APPEND_FILE,
};

/* Both structures have the same layout in differential.rs. */
struct order {
	uint32_t operation, buffer, seed, a, b, c;
};

struct report {
	int64_t result;
	uint64_t detail;
	uint64_t length[2], hash[2], added[2], removed[2];
};

static struct evbuffer *buffers[2];
static struct report report;
static unsigned char scratch[SCRATCH];
static unsigned char file_bytes[FILE_LENGTH];
static int file, sockets[2], shares;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Bytes that depend on a seed, with ends of lines among them. */
static void make(unsigned char *into, size_t n, uint32_t seed)
{
	static const unsigned char alphabet[16] = "aab\r\n\0xyz\r\nabcde";
	size_t i;

	for (i = 0; i < n; i++)
		into[i] = alphabet[(seed + i * 7 + i / 13 + (i * i) / 31) & 15];
}

static uint64_t hash(const unsigned char *bytes, size_t n)
{
	uint64_t hash = n, word;

	for (; n >= 8; bytes += 8, n -= 8) {
		memcpy(&word, bytes, 8);
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	for (; n > 0; bytes++, n--)
		hash = (hash ^ *bytes) * UINT64_C(0x100000001b3);
	return hash;
}

static void count(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
	int which = buffer == buffers[1];

	(void)arg;
	report.added[which] += info->n_added;
	report.removed[which] += info->n_deleted;
}

static void release(const void *bytes, size_t n, void *arg)
{
	(void)n;
	(void)arg;
	free((void *)bytes);
}

static void append_shared(struct evbuffer *buffer, size_t n, uint32_t seed)
{
	unsigned char *bytes = malloc(n + 1);

	make(bytes, n, seed);
	if (evbuffer_add_reference(buffer, bytes, n, release, NULL) < 0)
		fail("evbuffer_add_reference");
}

/* Reserves n bytes and writes m of them. */
static void reserve(struct evbuffer *buffer, size_t n, size_t m, uint32_t seed)
{
	struct evbuffer_iovec space[2];
	int i, used = evbuffer_reserve_space(buffer, n, space, 2);

	if (used < 0)
		fail("evbuffer_reserve_space");
	make(scratch, m, seed);
	n = 0;
	for (i = 0; i < used; i++) {
		if (space[i].iov_len > m - n)
			space[i].iov_len = m - n;
		memcpy(space[i].iov_base, scratch + n, space[i].iov_len);
		n += space[i].iov_len;
	}
	if (n != m || evbuffer_commit_space(buffer, space, used) < 0)
		fail("evbuffer_commit_space");
}

/* A position in a buffer; NULL for its front. */
static struct evbuffer_ptr *position(struct evbuffer *buffer, struct evbuffer_ptr *ptr, size_t at)
{
	if (at == 0)
		return NULL;
	if (evbuffer_ptr_set(buffer, ptr, at, EVBUFFER_PTR_SET) < 0)
		fail("evbuffer_ptr_set");
	return ptr;
}

static void find(struct evbuffer *buffer, const struct order *order)
{
	struct evbuffer_ptr start, end;
	unsigned char needle[8];

	make(needle, order->c, order->seed);
	report.result = evbuffer_search_range(buffer, (char *)needle, order->c, position(buffer, &start, order->a),
	    position(buffer, &end, order->b)).pos;
}

static void find_eol(struct evbuffer *buffer, const struct order *order)
{
	struct evbuffer_ptr start;
	size_t length = 0;

	report.result = evbuffer_search_eol(buffer, position(buffer, &start, order->a), &length, order->c).pos;
	report.detail = report.result < 0 ? 0 : length;
}

static void read_line(struct evbuffer *buffer, const struct order *order)
{
	size_t n = 0;
	char *line = evbuffer_readln(buffer, &n, order->c);

	report.result = line == NULL ? -1 : (int64_t)n;
	report.detail = line == NULL ? 0 : hash((unsigned char *)line, n);
	free(line);
}

/* Appends the bytes of one buffer to another, and leaves them. */
static void share(struct evbuffer *to, struct evbuffer *from)
{
	size_t n = evbuffer_get_length(from);

	/* evbuffer refuses to share what is shared already or mapped. */
	if (!shares || evbuffer_add_buffer_reference(to, from) < 0) {
		evbuffer_copyout(from, scratch, n);
		evbuffer_add(to, scratch, n);
	}
}

/* Makes n bytes contiguous. */
static void pull_up(struct evbuffer *buffer, size_t n)
{
	unsigned char *bytes = NULL;

	if (!shares) {
		bytes = evbuffer_pullup(buffer, n);
	} else if (n <= evbuffer_get_length(buffer)) {
		evbuffer_copyout(buffer, scratch, n);
		bytes = scratch;
	}
	report.result = bytes != NULL;
	report.detail = bytes == NULL ? 0 : hash(bytes, n);
}

/* Sends n bytes through a socket. */
static void stream(struct evbuffer *from, struct evbuffer *to, size_t n)
{
	size_t sent = 0, received = 0;

	while (received < n) {
		int written = sent < n ? evbuffer_write_atmost(from, sockets[0], n - sent) : 0;
		int got;

		sent += written > 0 ? written : 0;
		got = evbuffer_read(to, sockets[1], n - received);
		received += got > 0 ? got : 0;
	}
}

static void apply(const struct order *order)
{
	struct evbuffer *buffer = buffers[order->buffer], *other = buffers[!order->buffer];
	struct evbuffer_ptr from;

	switch ((enum operation)order->operation) {
	case APPEND:
		make(scratch, order->a, order->seed);
		evbuffer_add(buffer, scratch, order->a);
		break;
	case PREPEND:
		make(scratch, order->a, order->seed);
		evbuffer_prepend(buffer, scratch, order->a);
		break;
	case DRAIN:
		evbuffer_drain(buffer, order->a);
		break;
	case REMOVE:
		report.result = evbuffer_remove(buffer, scratch, order->a);
		report.detail = hash(scratch, report.result);
		break;
	case COPY_OUT:
		report.result = evbuffer_copyout_from(buffer, position(buffer, &from, order->a), scratch, order->b);
		report.detail = hash(scratch, report.result);
		break;
	case APPEND_BUFFER:
		evbuffer_add_buffer(buffer, other);
		break;
	case PREPEND_BUFFER:
		evbuffer_prepend_buffer(buffer, other);
		break;
	case MOVE_TO:
		report.result = evbuffer_remove_buffer(buffer, other, order->a);
		break;
	case APPEND_SHARED:
		append_shared(buffer, order->a, order->seed);
		break;
	case PULL_UP:
		pull_up(buffer, order->a);
		break;
	case RESERVE:
		reserve(buffer, order->a, order->b, order->seed);
		break;
	case FIND:
		find(buffer, order);
		break;
	case FIND_EOL:
		find_eol(buffer, order);
		break;
	case READ_LINE:
		read_line(buffer, order);
		break;
	case SHARE:
		share(other, buffer);
		break;
	case EXPAND:
		evbuffer_expand(buffer, order->a);
		break;
	case STREAM:
		stream(buffer, other, order->a);
		break;
	case APPEND_FILE:
		if (evbuffer_add_file(buffer, dup(file), order->a, order->b) < 0)
			fail("evbuffer_add_file");
		break;
	}
}

static void look(void)
{
	int which;

	for (which = 0; which < 2; which++) {
		report.length[which] = evbuffer_get_length(buffers[which]);
		if (report.length[which] > SCRATCH)
			fail("a buffer is too long");
		evbuffer_copyout(buffers[which], scratch, report.length[which]);
		report.hash[which] = hash(scratch, report.length[which]);
	}
}

static void prepare(void)
{
	FILE *stream = tmpfile();
	int which;

	make(file_bytes, FILE_LENGTH, 0);
	if (stream == NULL || fwrite(file_bytes, FILE_LENGTH, 1, stream) != 1 || fflush(stream) != 0)
		fail("tmpfile");
	file = fileno(stream);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) < 0)
		fail("socketpair");
	for (which = 0; which < 2; which++) {
		buffers[which] = evbuffer_new();
		evbuffer_add_cb(buffers[which], count, NULL);
	}
}

int main(int argc, char **argv)
{
	uint32_t n, i;

	shares = argc > 1 && strcmp(argv[1], "share") == 0;
	prepare();
	while (fread(&n, sizeof n, 1, stdin) == 1) {
		struct order *orders = calloc(n, sizeof *orders);
		struct report *reports = calloc(n, sizeof *reports);

		if (fread(orders, sizeof *orders, n, stdin) != n)
			fail("a batch is not complete");
		for (i = 0; i < n; i++) {
			memset(&report, 0, sizeof report);
			apply(&orders[i]);
			look();
			reports[i] = report;
		}
		if (fwrite(reports, sizeof *reports, n, stdout) != n || fflush(stdout) != 0)
			fail("write");
		free(orders);
		free(reports);
	}
	return 0;
}

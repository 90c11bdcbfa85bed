/* Descriptors: what is reported, what changes inside callbacks, what is refused. */
#include "scenario.h"

static struct event *other;

static void read_one(evutil_socket_t fd, short what, void *arg)
{
	char byte = 0;
	ssize_t n = read(fd, &byte, 1);
	printf("%s:%s, read %d\n", (char *)arg, names_of(what), (int)n);
	if (n == 0)
		event_base_loopbreak(event_get_base(event_base_get_running_event(
		    event_get_base(other))));
}

static void delete_other(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("%s:%s, deletes the other\n", (char *)arg, names_of(what));
	event_del(other);
}

static void free_self(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("frees itself:%s\n", names_of(what));
	event_free(arg);
}

static void levels(void)
{
	struct event_base *base = new_base();
	int fds[2];
	SCENARIO("a level-triggered event is called while data is left, and at the end of the stream");
	make_pair(fds);
	other = event_new(base, fds[0], EV_READ | EV_PERSIST, read_one, "reader");
	event_add(other, NULL);
	expect(write(fds[1], "abc", 3) == 3, "write");
	close(fds[1]);
	printf("loop: %d\n", event_base_dispatch(base));
	printf("got break: %d\n", event_base_got_break(base));
	event_free(other);
	close(fds[0]);
	event_base_free(base);
}

static void once_and_again(void)
{
	struct event_base *base = new_base();
	struct event ev;
	int fds[2], i;
	SCENARIO("an event that does not persist is called once for each addition");
	make_pair(fds);
	expect(write(fds[1], "abc", 3) == 3, "write");
	event_assign(&ev, base, fds[0], EV_READ, say, "reader");
	for (i = 0; i < 3; i++) {
		printf("add: %d\n", event_add(&ev, NULL));
		printf("pending: %d\n", event_pending(&ev, EV_READ, NULL));
		printf("loop: %d\n", event_base_dispatch(base));
		printf("pending: %d\n", event_pending(&ev, EV_READ, NULL));
	}
	SCENARIO("a descriptor number that is closed and used again is watched again");
	event_add(&ev, NULL);
	event_del(&ev);
	close(fds[0]), close(fds[1]);
	make_pair(fds);
	expect(write(fds[1], "x", 1) == 1, "write");
	event_assign(&ev, base, fds[0], EV_READ, say, "reader of the new file");
	event_add(&ev, NULL);
	printf("loop: %d\n", event_base_dispatch(base));
	close(fds[0]), close(fds[1]);
	event_base_free(base);
}

static void together(void)
{
	struct event_base *base = new_base();
	struct event *reader, *writer, *both;
	int fds[2];
	SCENARIO("several events of one descriptor are all called, for what each waits for");
	make_pair(fds);
	expect(write(fds[1], "x", 1) == 1, "write");
	reader = event_new(base, fds[0], EV_READ, say, "reader");
	writer = event_new(base, fds[0], EV_WRITE, say, "writer");
	both = event_new(base, fds[0], EV_READ | EV_WRITE, say, "both");
	event_add(reader, NULL);
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NONBLOCK));
	event_add(writer, NULL);
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NONBLOCK));
	event_add(both, NULL);
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NONBLOCK));
	printf("num: %d\n", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	event_free(reader), event_free(writer), event_free(both);
	SCENARIO("an event that another callback deletes is not called any more");
	reader = event_new(base, fds[0], EV_READ, delete_other, "first");
	other = event_new(base, -1, 0, say, "never called");
	event_active(reader, EV_READ, 1);
	event_active(other, EV_TIMEOUT, 1);
	printf("loop: %d\n", event_base_dispatch(base));
	event_free(reader), event_free(other);
	SCENARIO("an event may free itself in its callback");
	reader = event_new(base, fds[0], EV_READ | EV_PERSIST, free_self, event_self_cbarg());
	event_add(reader, NULL);
	printf("loop: %d\n", event_base_dispatch(base));
	close(fds[0]), close(fds[1]);
	event_base_free(base);
}

static void timeouts(void)
{
	struct event_base *base = new_base();
	struct event ev;
	struct timeval tv = ms(1);
	int fds[2];
	SCENARIO("an event of a quiet descriptor gets its timeout, and is then not pending");
	make_pair(fds);
	event_assign(&ev, base, fds[0], EV_READ, say, "reader");
	event_add(&ev, &tv);
	printf("pending: %#x\n", event_pending(&ev, EV_READ | EV_TIMEOUT, NULL));
	printf("loop: %d\n", event_base_dispatch(base));
	printf("pending: %#x\n", event_pending(&ev, EV_READ | EV_TIMEOUT, NULL));
	SCENARIO("an event of no descriptor is pending, counts, and gets its timeout");
	event_assign(&ev, base, -1, EV_READ | EV_WRITE, say, "no descriptor");
	printf("add: %d\n", event_add(&ev, &tv));
	printf("num: %d\n", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	printf("pending: %#x\n", event_pending(&ev, EV_READ | EV_WRITE | EV_TIMEOUT, NULL));
	printf("loop: %d\n", event_base_dispatch(base));
	close(fds[0]), close(fds[1]);
	event_base_free(base);
}

static void edges(void)
{
	struct event_base *base = new_base();
	struct event *ev;
	int fds[2];
	/* Where there are no edges, the level is reported, and it stays. */
	if (!(event_base_get_features(base) & EV_FEATURE_ET)) {
		event_base_free(base);
		return;
	}
	SCENARIO("an edge-triggered event is called once for each arrival, with EV_ET");
	make_pair(fds);
	ev = event_new(base, fds[0], EV_READ | EV_PERSIST | EV_ET, say, "edge");
	event_add(ev, NULL);
	expect(write(fds[1], "x", 1) == 1, "write");
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_loop(base, EVLOOP_NONBLOCK);
	expect(write(fds[1], "x", 1) == 1, "write");
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_free(ev);
	SCENARIO("the peer's close is reported by EV_CLOSED without a read");
	ev = event_new(base, fds[0], EV_CLOSED, say, "closed");
	event_add(ev, NULL);
	shutdown(fds[1], SHUT_WR);
	printf("loop: %d\n", event_base_dispatch(base));
	event_free(ev);
	close(fds[0]), close(fds[1]);
	event_base_free(base);
}

static void ignore_message(int severity, const char *message)
{
	(void)message;
	printf("message of severity %d\n", severity);
}

static void refusals(void)
{
	struct event_base *base = new_base();
	struct event ev;
	char name[] = "/tmp/scenario-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	event_set_log_callback(ignore_message);
	/* Other methods do not look at a descriptor before they wait. */
	if (strcmp(event_base_get_method(base), "epoll") != 0)
		goto without_descriptor;
	SCENARIO("epoll refuses a regular file, with the kernel's error, and the event stays idle");
	event_assign(&ev, base, fd, EV_READ, say, "file");
	errno = 0;
	printf("add: %d", event_add(&ev, NULL));
	printf(", EPERM: %d\n", errno == EPERM);
	printf("pending: %d\n", event_pending(&ev, EV_READ, NULL));
	close(fd);
	SCENARIO("a closed descriptor is refused");
	event_assign(&ev, base, fd, EV_READ, say, "closed");
	printf("add: %d", event_add(&ev, NULL));
	printf(", EBADF: %d\n", errno == EBADF);
without_descriptor:
	SCENARIO("an event without a base, and one for a signal and a descriptor, are refused");
	event_assign(&ev, NULL, -1, 0, say, "no base");
	printf("add: %d\n", event_add(&ev, NULL));
	printf("del: %d\n", event_del(&ev));
	printf("pending: %d\n", event_pending(&ev, EV_READ, NULL));
	printf("assign: %d\n", event_assign(&ev, base, 1, EV_SIGNAL | EV_READ, say, "bad"));
	printf("new: %d\n", event_new(base, 1, EV_SIGNAL | EV_READ, say, "bad") != NULL);
	event_set_log_callback(NULL);
	event_base_free(base);
}

static void by_descriptor(void)
{
	struct event_base *base = new_base();
	struct event *reader, *timed;
	struct timeval tv = ms(100000);
	int fds[2];
	SCENARIO("event_base_active_by_fd activates the events of a descriptor");
	make_pair(fds);
	reader = event_new(base, fds[0], EV_READ, say, "reader");
	timed = event_new(base, fds[0], EV_READ, say, "with a timeout");
	event_add(reader, NULL);
	event_add(timed, &tv);
	event_base_active_by_fd(base, fds[0], EV_READ);
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NONBLOCK));
	event_add(timed, &tv);
	event_base_active_by_fd(base, fds[0], EV_TIMEOUT);
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NONBLOCK));
	event_free(reader), event_free(timed);
	close(fds[0]), close(fds[1]);
	event_base_free(base);
}

int main(void)
{
	levels();
	once_and_again();
	together();
	timeouts();
	edges();
	refusals();
	by_descriptor();
	return 0;
}

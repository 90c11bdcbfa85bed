/* Memory: events inside other structures, memory that held anything, the program's functions. */
#include "scenario.h"

struct connection {
	int number;
	struct event read_event;
	int guard;
};

static int allocated, freed;

static void *counting_malloc(size_t size)
{
	allocated++;
	return malloc(size);
}

static void *counting_realloc(void *memory, size_t size)
{
	return realloc(memory, size);
}

static void counting_free(void *memory)
{
	freed++;
	free(memory);
}

static void ignore(int severity, const char *message)
{
	(void)severity, (void)message;
}

static void read_and_free(evutil_socket_t fd, short what, void *arg)
{
	struct connection *connection = arg;
	printf("connection %d:%s\n", connection->number, names_of(what));
	event_del(&connection->read_event);
	close(fd);
	memset(connection, 0x55, sizeof(*connection));
	free(connection);
}

int main(void)
{
	struct event_base *base = new_base();
	struct event *ev;
	struct event_base *out_base;
	event_callback_fn out_callback;
	evutil_socket_t out_fd;
	short out_events;
	void *out_arg;
	int i, fds[2];

	SCENARIO("an event in memory that held anything works, and its memory is freed in its callback");
	for (i = 0; i < 3; i++) {
		struct connection *connection = malloc(sizeof(*connection));
		memset(connection, 0xaa, sizeof(*connection));
		make_pair(fds);
		connection->number = i;
		connection->guard = 77;
		event_assign(&connection->read_event, base, fds[0], EV_READ | EV_PERSIST,
		    read_and_free, connection);
		event_add(&connection->read_event, NULL);
		printf("fd in the structure: %d, base: %d, guard: %d\n",
		    connection->read_event.ev_fd == fds[0],
		    connection->read_event.ev_base == base, connection->guard);
		expect(write(fds[1], "x", 1) == 1, "write");
		close(fds[1]);
		printf("loop: %d\n", event_base_dispatch(base));
	}
	SCENARIO("the functions that ask an event return what it was made of");
	ev = event_new(base, 1, EV_READ | EV_PERSIST, say, "argument");
	event_get_assignment(ev, &out_base, &out_fd, &out_events, &out_callback, &out_arg);
	printf("%d %d %#x %d %s\n", out_base == base, (int)out_fd, out_events, out_callback == say,
	    (char *)out_arg);
	printf("%d %d %#x %d %s %d\n", event_get_base(ev) == base, event_get_fd(ev),
	    event_get_events(ev), event_get_callback(ev) == say, (char *)event_get_callback_arg(ev),
	    event_initialized(ev));
	event_get_assignment(ev, NULL, NULL, NULL, NULL, NULL);
	event_free(ev);
	ev = event_new(base, -1, 0, say, event_self_cbarg());
	printf("self: %d\n", event_get_callback_arg(ev) == ev);
	event_free(ev);
	printf("size: %d\n", (int)event_get_struct_event_size());
	SCENARIO("an event may be moved to another base before its first addition");
	{
		struct event_base *second = new_base();
		struct event moved;
		struct timeval tv = ms(1);
		event_assign(&moved, base, -1, 0, say, "moved");
		event_base_priority_init(second, 7);
		printf("set: %d\n", event_base_set(second, &moved));
		printf("priority: %d\n", event_get_priority(&moved));
		event_add(&moved, &tv);
		printf("set a pending one: %d\n", event_base_set(base, &moved));
		printf("loops: %d %d\n", event_base_dispatch(base), event_base_dispatch(second));
		event_base_free(second);
	}
	SCENARIO("an event that was never added may be deleted and freed");
	ev = event_new(base, -1, 0, say, "never");
	printf("del: %d\n", event_del(ev));
	event_free(ev);
	event_base_free(base);
	SCENARIO("events and bases come from the program's memory functions and return to them");
	event_set_mem_functions(counting_malloc, counting_realloc, counting_free);
	base = new_base();
	printf("base: %d\n", allocated > 0);
	allocated = 0, freed = 0;
	ev = event_new(base, -1, 0, say, "");
	printf("event: %d\n", allocated);
	event_free(ev);
	printf("freed: %d\n", freed);
	allocated = 0, freed = 0;
	event_base_once(base, -1, EV_TIMEOUT, say, "once", NULL);
	event_base_loop(base, 0);
	printf("once: %d %d\n", allocated, freed);
	/* LeakSanitizer finds it if its memory is lost (scripts/sanitize.sh). */
	event_set_log_callback(ignore);
	printf("refused: %d\n", event_base_once(base, 900, EV_READ, say, "never called", NULL));
	event_base_free(base);
	return 0;
}

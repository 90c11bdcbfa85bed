/* Misuse that the checked mode (EVSHARD_CHECK=1) reports. It prints each report, with EVENT for the
 * address of the event that is misused. */
#include <pthread.h>
#include <sys/mman.h>

#include "scenario.h"

static struct event_base *base;
/* The event that is misused. */
static struct event *subject;

static void on_message(int severity, const char *message)
{
	char address[32];
	const char *found;
	size_t length = snprintf(address, sizeof(address), "%#lx", (unsigned long)subject);
	while ((found = strstr(message, address)) != NULL) {
		printf("%.*sEVENT", (int)(found - message), message);
		message = found + length;
	}
	found = strstr(message, "event_base 0x");
	if (found) {
		printf("%.*sevent_base ADDRESS", (int)(found - message), message);
		message = strchr(found, ',');
	}
	printf("%s%s\n", message, severity == EVENT_LOG_WARN ? "" : " (not a warning)");
	fflush(stdout);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)arg;
	printf("called:%s\n", names_of(what));
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	on_readable(fd, what, arg);
}

static void loop(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void assigned_while_pending(void)
{
	struct event event;
	struct timeval tv = ms(100000);
	SCENARIO("an event that is pending is set up again");
	subject = &event;
	event_assign(&event, base, -1, 0, on_timeout, NULL);
	event_add(&event, &tv);
	event_assign(&event, base, -1, 0, on_readable, NULL);
	event_del(&event);
	event_assign(&event, base, -1, 0, on_readable, NULL);
}

static void closed_while_pending(void)
{
	int fds[2], other[2];
	SCENARIO("a descriptor is closed while its event is pending");
	make_pair(fds);
	subject = event_new(base, fds[0], EV_READ | EV_PERSIST, on_readable, NULL);
	event_add(subject, NULL);
	loop();
	close(fds[0]);
	loop(), loop();
	event_free(subject);
	close(fds[1]);
	SCENARIO("the number of a closed descriptor is used again");
	make_pair(fds);
	subject = event_new(base, fds[0], EV_READ, on_readable, NULL);
	event_add(subject, NULL);
	close(fds[0]);
	make_pair(other);
	expect(other[0] == fds[0], "the same number");
	struct event *second = event_new(base, other[0], EV_READ, on_timeout, NULL);
	event_add(second, NULL);
	event_free(second), event_free(subject);
	close(fds[1]), close(other[0]), close(other[1]);
}

static void freed_while_pending(void)
{
	struct timeval tv = ms(1);
	void *memory;
	SCENARIO("the memory of a pending event is freed");
	memory = malloc(event_get_struct_event_size());
	subject = memory;
	event_assign(subject, base, -1, 0, on_timeout, NULL);
	event_add(subject, &tv);
	free(memory);
	event_base_loop(base, EVLOOP_ONCE);
	SCENARIO("the memory of an active event is given back to the system");
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(memory != MAP_FAILED, "memory");
	subject = memory;
	event_assign(subject, base, -1, 0, on_readable, NULL);
	event_active(subject, EV_READ, 1);
	munmap(memory, 4096);
	loop();
}

static void never_set_up(void)
{
	struct event garbage, other;
	struct timeval tv = ms(1);
	SCENARIO("an event was never set up");
	memset(&garbage, 0x5a, sizeof(garbage));
	subject = &garbage;
	printf("del: %d\n", event_del(&garbage));
	printf("add: %d\n", event_add(&garbage, &tv));
	event_active(&garbage, EV_READ, 1);
	printf("pending: %d\n", event_pending(&garbage, EV_READ, NULL));
	SCENARIO("another event was copied over an event");
	event_assign(&garbage, base, -1, 0, on_timeout, NULL);
	event_assign(&other, base, -1, 0, on_readable, NULL);
	garbage = other;
	printf("add: %d\n", event_add(&garbage, &tv));
	SCENARIO("an event was freed");
	subject = event_new(base, -1, 0, on_timeout, NULL);
	event_free(subject);
	printf("add: %d\n", event_add(subject, &tv));
}

/* A block that the first large allocation gets each time: bases have the same address. */
static char block[16384] __attribute__((aligned(16)));
static int is_taken;

static void *allocate(size_t size)
{
	if (is_taken || size <= event_get_struct_event_size() || size > sizeof(block))
		return malloc(size);
	is_taken = 1;
	return block;
}

static void give_back(void *memory)
{
	if (memory == block)
		is_taken = 0;
	else
		free(memory);
}

static void base_was_freed(void)
{
	struct event event;
	struct timeval tv = ms(1);
	SCENARIO("the base of an event was freed");
	subject = &event;
	event_assign(&event, base, -1, 0, on_timeout, NULL);
	event_base_free(base);
	printf("add: %d\n", event_add(&event, &tv));
	event_active(&event, EV_READ, 1);
	printf("del: %d\n", event_del(&event));
	SCENARIO("another base has the address of the base that was freed");
	event_set_mem_functions(allocate, realloc, give_back);
	base = new_base();
	event_assign(&event, base, -1, 0, on_timeout, NULL);
	event_base_free(base);
	expect(new_base() == base, "the same address");
	printf("add: %d\n", event_add(&event, &tv));
	printf("assign: %d\n", event_assign(&event, base, -1, 0, on_timeout, NULL));
	printf("add: %d\n", event_add(&event, &tv));
	event_del(&event);
}

static void *add_from_thread(void *arg)
{
	struct timeval tv = ms(100000);
	event_add(arg, &tv);
	return NULL;
}

static void start_thread(evutil_socket_t fd, short what, void *arg)
{
	pthread_t thread;
	(void)fd, (void)what;
	pthread_create(&thread, NULL, add_from_thread, arg);
	pthread_join(thread, NULL);
}

static void second_thread(void)
{
	struct event *starter;
	SCENARIO("a second thread uses an event of a base for one thread");
	subject = event_new(base, -1, 0, on_timeout, NULL);
	starter = event_new(base, -1, 0, start_thread, subject);
	event_active(starter, EV_READ, 1);
	loop();
	event_free(starter), event_free(subject);
}

int main(void)
{
	event_set_log_callback(on_message);
	base = new_base();
	assigned_while_pending();
	closed_while_pending();
	freed_while_pending();
	never_set_up();
	base_was_freed();
	second_thread();
	event_base_free(base);
	return 0;
}

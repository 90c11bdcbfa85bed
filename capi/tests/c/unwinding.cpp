// longjmp(3) and exceptions that leave the loop through a callback.
#include <setjmp.h>
#include <stdexcept>

extern "C" {
#include "scenario.h"
}

static jmp_buf target;

static void jump(evutil_socket_t, short what, void *)
{
	printf("jumps:%s\n", names_of(what));
	longjmp(target, 5);
}

static void throw_one(evutil_socket_t, short what, void *)
{
	printf("throws:%s\n", names_of(what));
	throw std::runtime_error("from a callback");
}

int main()
{
	SCENARIO("longjmp leaves the loop, which then counts as running");
	struct event_base *base = new_base();
	struct event *ev = event_new(base, -1, 0, jump, nullptr);
	event_active(ev, EV_TIMEOUT, 1);
	int code = setjmp(target);
	if (code == 0)
		event_base_dispatch(base);
	printf("code: %d\n", code);
	event_set_log_callback([](int, const char *) {});
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NONBLOCK));
	event_free(ev);

	SCENARIO("an exception leaves the loop");
	struct event_base *second = new_base();
	ev = event_new(second, -1, 0, throw_one, nullptr);
	event_active(ev, EV_READ, 1);
	try {
		event_base_dispatch(second);
		printf("no exception\n");
	} catch (const std::runtime_error &error) {
		printf("caught: %s\n", error.what());
	}
	printf("pending: %d\n", event_pending(ev, EV_READ, nullptr));
	event_free(ev);
	return 0;
}

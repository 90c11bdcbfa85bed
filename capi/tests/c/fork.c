/* A child after fork(2). */
#include "scenario.h"

static void on_read(evutil_socket_t fd, short what, void *arg)
{
	char byte;
	expect(read(fd, &byte, 1) == 1, "read");
	printf("%s:%s '%c'\n", (char *)arg, names_of(what), byte);
	fflush(stdout);
}

int main(void)
{
	struct event_base *base = new_base();
	struct event *reader, *on_signal;
	struct timeval tv = ms(1);
	int fds[2], status;
	pid_t child;

	SCENARIO("a child's base is independent of its parent's after event_reinit");
	make_pair(fds);
	reader = event_new(base, fds[0], EV_READ, on_read, "reader");
	on_signal = event_new(base, SIGUSR1, EV_SIGNAL, say, "signal");
	event_add(reader, NULL);
	event_add(on_signal, NULL);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		printf("reinit: %d\n", event_reinit(base));
		event_del(reader);
		raise(SIGUSR1);
		event_base_loop(base, EVLOOP_ONCE);
		event_base_once(base, -1, EV_TIMEOUT, say, "timer of the child", &tv);
		printf("loop of the child: %d\n", event_base_dispatch(base));
		fflush(stdout);
		_exit(7);
	}
	waitpid(child, &status, 0);
	printf("child: %d\n", WEXITSTATUS(status));
	event_del(on_signal);
	expect(write(fds[1], "p", 1) == 1, "write");
	printf("loop of the parent: %d\n", event_base_dispatch(base));
	event_free(reader), event_free(on_signal);
	event_base_free(base);
	return 0;
}

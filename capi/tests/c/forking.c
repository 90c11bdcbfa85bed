/* A thread adds and deletes events of signals while the process forks. Each child does so, too.
 *
 * usage: forking CHILDREN */
#include <pthread.h>
#include <stdatomic.h>

#include "scenario.h"

/* A child that takes longer hangs: a signal ends it. */
#define CHILD_S 30

static atomic_int is_forking = 1;

static void ignore(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

static void add_and_delete(struct event_base *base)
{
	struct event *event = evsignal_new(base, SIGUSR2, ignore, NULL);
	if (event_add(event, NULL) != 0)
		abort();
	event_free(event);
}

static void *use_signals(void *arg)
{
	struct event_base *base = new_base();
	(void)arg;
	while (atomic_load(&is_forking))
		add_and_delete(base);
	event_base_free(base);
	return NULL;
}

int main(int argc, char **argv)
{
	int children = argc > 1 ? atoi(argv[1]) : 300, ended = 0, status, i;
	pthread_t thread;

	pthread_create(&thread, NULL, use_signals, NULL);
	for (i = 0; i < children; i++) {
		pid_t child = fork();
		if (child == 0) {
			struct event_base *base;
			alarm(CHILD_S);
			base = new_base();
			add_and_delete(base);
			event_base_free(base);
			_exit(0);
		}
		if (waitpid(child, &status, 0) == child && WIFEXITED(status))
			ended++;
		else
			break;
	}
	atomic_store(&is_forking, 0);
	pthread_join(thread, NULL);
	printf("children that ended: %d of %d\n", ended, children);
	return 0;
}

/* Other threads: additions, activations and deletions while the loop waits or calls. */
#include <pthread.h>
#include <semaphore.h>

#include "scenario.h"

static struct event_base *base;
static struct event *subject;
static sem_t in_callback, may_return;
static volatile int returned;

static void *run_loop(void *arg)
{
	(void)arg;
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY));
	return NULL;
}

static void post(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("%s:%s\n", (char *)arg, names_of(what));
	sem_post(&in_callback);
}

static void linger(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	sem_post(&in_callback);
	sem_wait(&may_return);
	usleep(20000);
	returned = 1;
}

/* Whether the loop waits: its thread does not run while it is in epoll_wait. */
static void let_it_wait(void)
{
	usleep(20000);
}

static pthread_t start(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, run_loop, NULL);
	let_it_wait();
	return thread;
}

static void finish(pthread_t thread)
{
	event_base_loopbreak(base);
	pthread_join(thread, NULL);
}

static void additions(void)
{
	pthread_t thread = start();
	struct timeval tv = ms(1);
	int fds[2];
	SCENARIO("what another thread adds or activates ends an endless wait");
	make_pair(fds);
	subject = event_new(base, fds[0], EV_READ, post, "added");
	expect(write(fds[1], "x", 1) == 1, "write");
	event_add(subject, NULL);
	sem_wait(&in_callback);
	let_it_wait();
	event_active(subject, EV_WRITE, 1);
	sem_wait(&in_callback);
	event_free(subject);
	let_it_wait();
	subject = event_new(base, -1, 0, post, "timer");
	event_add(subject, &tv);
	sem_wait(&in_callback);
	event_base_once(base, -1, EV_TIMEOUT, post, "once", NULL);
	sem_wait(&in_callback);
	finish(thread);
	event_free(subject);
	close(fds[0]), close(fds[1]);
}

static void *release(void *arg)
{
	(void)arg;
	usleep(10000);
	sem_post(&may_return);
	return NULL;
}

static void deletions(void)
{
	pthread_t thread = start(), helper;
	SCENARIO("event_del in another thread returns after the callback, event_del_noblock before");
	subject = event_new(base, -1, 0, linger, NULL);
	returned = 0;
	event_active(subject, EV_TIMEOUT, 1);
	sem_wait(&in_callback);
	printf("runs in this thread: %d\n", event_base_get_running_event(base) != NULL);
	pthread_create(&helper, NULL, release, NULL);
	event_del(subject);
	printf("returned: %d\n", returned);
	pthread_join(helper, NULL);
	returned = 0;
	event_active(subject, EV_TIMEOUT, 1);
	sem_wait(&in_callback);
	event_del_noblock(subject);
	printf("returned: %d\n", returned);
	sem_post(&may_return);
	event_free(subject);
	SCENARIO("event_del does not wait for the callback of an event with EV_FINALIZE");
	subject = event_new(base, -1, EV_FINALIZE, linger, NULL);
	returned = 0;
	event_active(subject, EV_TIMEOUT, 1);
	sem_wait(&in_callback);
	event_del(subject);
	printf("returned: %d\n", returned);
	pthread_create(&helper, NULL, release, NULL);
	event_del_block(subject);
	printf("returned: %d\n", returned);
	pthread_join(helper, NULL);
	finish(thread);
	event_free(subject);
}

static volatile int called;

static void count_call(evutil_socket_t fd, short what, void *arg)
{
	int *freed = arg;
	(void)fd, (void)what;
	if (*freed)
		printf("called after it was deleted\n");
	called++;
}

static void *churn(void *arg)
{
	int i;
	(void)arg;
	for (i = 0; i < 5000; i++) {
		int *freed = calloc(1, sizeof(int));
		struct event *ev = event_new(base, -1, EV_PERSIST, count_call, freed);
		struct timeval tv = {i % 3, i % 7};
		event_add(ev, &tv);
		if (i % 2)
			event_active(ev, EV_READ, 1);
		event_del(ev);
		*freed = 1;
		event_free(ev);
		free(freed);
	}
	return NULL;
}

static void churns(void)
{
	pthread_t thread = start(), churners[3];
	int i;
	SCENARIO("three threads add, activate and free events of a running loop");
	for (i = 0; i < 3; i++)
		pthread_create(&churners[i], NULL, churn, NULL);
	for (i = 0; i < 3; i++)
		pthread_join(churners[i], NULL);
	printf("added: %d\n", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	finish(thread);
}

int main(void)
{
	sem_init(&in_callback, 0, 0);
	sem_init(&may_return, 0, 0);
	printf("use: %d\n", evthread_use_pthreads());
	printf("again: %d\n", evthread_use_pthreads());
	base = new_base();
	printf("notifiable: %d %d\n", evthread_make_base_notifiable(base),
	    evthread_make_base_notifiable(NULL));
	additions();
	deletions();
	churns();
	event_base_free(base);
	return 0;
}

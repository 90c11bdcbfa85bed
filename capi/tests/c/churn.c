/* Threads make, add, activate, delete and free events of a loop that runs in another thread. The
 * program checks what libevent promises of that, and aborts if it does not hold.
 *
 * usage: churn EVENTS [THREADS] */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "scenario.h"

#define THREADS_MAX 16
/* How many ended subjects a thread keeps, so that a late call finds that its subject has ended. */
#define KEPT 1024
/* A thread that waits for its callback sleeps this long before it looks again. */
#define STEP_NS 20000
/* Without progress for this long the program hangs. */
#define HANG_S 30

enum state { LIVE, DELETED_NOBLOCK, ENDED };

/* What one event is about: the argument of its callback. */
struct subject {
	_Atomic int state;
	/* How often its callback began and returned, and how often its finalizer was called. */
	_Atomic int began, returned, finalized;
	struct event *event;
	struct event embedded;
};

struct worker {
	pthread_t thread;
	long events, number;
	int fds[2];
	struct subject *kept[KEPT];
};

static struct event_base *base;
/* A lock of the program. Callbacks of one kind want it. */
static pthread_mutex_t program_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_long progress, operations, calls, deleted_while_running;

static void fail(const char *what)
{
	fprintf(stderr, "FAILED: %s\n", what);
	abort();
}

static void check(int holds, const char *what)
{
	if (!holds)
		fail(what);
}

static void begin(struct subject *subject)
{
	int began = atomic_fetch_add(&subject->began, 1) + 1;
	atomic_fetch_add(&calls, 1);
	switch (atomic_load(&subject->state)) {
	case ENDED:
		fail("a callback began after event_del or event_free had returned");
		break;
	case DELETED_NOBLOCK:
		/* The loop had chosen it before; a second call it may not choose. */
		if (began - atomic_load(&subject->returned) > 1)
			fail("two calls of one event at once");
		break;
	}
	check(!atomic_load(&subject->finalized), "a callback began after the finalizer");
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct subject *subject = arg;
	(void)fd, (void)what;
	begin(subject);
	atomic_fetch_add(&subject->returned, 1);
}

/* A callback that takes a while, so that others find it running. */
static void on_event_slow(evutil_socket_t fd, short what, void *arg)
{
	struct subject *subject = arg;
	int i;
	(void)fd, (void)what;
	begin(subject);
	for (i = 0; i < 20; i++)
		sched_yield();
	atomic_fetch_add(&subject->returned, 1);
}

/* A callback that wants the program's lock. */
static void on_event_locked(evutil_socket_t fd, short what, void *arg)
{
	struct subject *subject = arg;
	(void)fd, (void)what;
	begin(subject);
	pthread_mutex_lock(&program_lock);
	pthread_mutex_unlock(&program_lock);
	atomic_fetch_add(&subject->returned, 1);
}

/* A callback that deletes its own event. */
static void on_last_event(evutil_socket_t fd, short what, void *arg)
{
	struct subject *subject = arg;
	(void)fd, (void)what;
	begin(subject);
	event_del(subject->event);
	atomic_fetch_add(&operations, 1);
	atomic_fetch_add(&subject->returned, 1);
}

static void on_finalize(struct event *event, void *arg)
{
	struct subject *subject = arg;
	check(event == subject->event, "a finalizer got another event");
	check(atomic_load(&subject->began) == atomic_load(&subject->returned),
	    "a finalizer was called while the callback ran");
	check(atomic_fetch_add(&subject->finalized, 1) == 0, "a finalizer was called twice");
}

static void wait_until(_Atomic int *value, int least)
{
	struct timespec step = {0, STEP_NS};
	while (atomic_load(value) < least)
		nanosleep(&step, NULL);
}

static int is_running(struct subject *subject)
{
	return atomic_load(&subject->began) != atomic_load(&subject->returned);
}

/* The event in memory of its own, or in that of the subject. */
static struct subject *make(struct worker *worker, long i, short events, event_callback_fn function)
{
	struct subject *subject = malloc(sizeof(*subject));
	int fd = events & (EV_READ | EV_WRITE) ? worker->fds[0] : -1;
	check(subject != NULL, "memory");
	memset(subject, 0xa5, sizeof(*subject));
	subject->state = LIVE;
	subject->began = subject->returned = subject->finalized = 0;
	if (i % 2) {
		subject->event = event_new(base, fd, events, function, subject);
		check(subject->event != NULL, "an event");
	} else {
		subject->event = &subject->embedded;
		check(event_assign(subject->event, base, fd, events, function, subject) == 0,
		    "event_assign");
	}
	return subject;
}

/* Its event must be deleted already. */
static void end(struct worker *worker, long i, struct subject *subject)
{
	struct subject **kept = &worker->kept[i % KEPT];
	atomic_store(&subject->state, ENDED);
	if (subject->event != &subject->embedded)
		event_free(subject->event);
	else
		memset(&subject->embedded, 0x5a, sizeof(subject->embedded));
	free(*kept);
	*kept = subject;
	atomic_fetch_add(&progress, 1);
}

static void add(struct subject *subject, const struct timeval *tv)
{
	check(event_add(subject->event, tv) == 0, "event_add");
}

/* An endless wait of a descriptor or of no one, a timeout, and activations; event_del ends it. */
static void churn_plain(struct worker *worker, long i)
{
	static const short kinds[] = {EV_READ | EV_PERSIST, EV_WRITE | EV_PERSIST, EV_WRITE, 0,
	    EV_PERSIST, EV_READ | EV_WRITE | EV_PERSIST | EV_ET, EV_READ};
	struct subject *subject = make(worker, i, kinds[i / 2 % 7], on_event);
	struct timeval soon = {0, i % 300}, late = {1000000, 0};
	switch (i / 3 % 4) {
	case 0:
		add(subject, NULL);
		break;
	case 1:
		add(subject, &late);
		break;
	case 2:
		add(subject, &soon);
		break;
	case 3:
		event_active(subject->event, EV_READ, 1);
		wait_until(&subject->began, 1);
		break;
	}
	if (i % 5 == 0)
		event_active(subject->event, EV_TIMEOUT, 1);
	if (i % 7 == 0)
		event_pending(subject->event, EV_READ | EV_WRITE | EV_TIMEOUT, NULL);
	check(event_del(subject->event) == 0, "event_del");
	check(!is_running(subject), "event_del returned before the callback did");
	end(worker, i, subject);
	atomic_fetch_add(&operations, 4);
}

/* The loop's wait has no timeout, and the new event ends it: the thread waits for its callback. */
static void churn_wake(struct worker *worker, long i)
{
	struct subject *subject = make(worker, i, EV_WRITE | (i % 4 < 2 ? EV_PERSIST : 0), on_event);
	add(subject, NULL);
	wait_until(&subject->began, 1);
	event_del(subject->event);
	check(!is_running(subject), "event_del returned before the callback did");
	end(worker, i, subject);
	atomic_fetch_add(&operations, 4);
}

/* event_del_noblock does not wait, event_del_block does. */
static void churn_noblock(struct worker *worker, long i)
{
	struct subject *subject = make(worker, i, EV_WRITE | EV_PERSIST, on_event_slow);
	int began;
	add(subject, NULL);
	if (i % 3)
		wait_until(&subject->began, 1);
	event_del_noblock(subject->event);
	atomic_store(&subject->state, DELETED_NOBLOCK);
	began = atomic_load(&subject->began);
	if (is_running(subject))
		atomic_fetch_add(&deleted_while_running, 1);
	event_del_block(subject->event);
	check(!is_running(subject), "event_del_block returned before the callback did");
	check(atomic_load(&subject->began) - began <= 1, "called twice after event_del_noblock");
	end(worker, i, subject);
	atomic_fetch_add(&operations, 5);
}

/* The thread holds a lock that the callback wants. Only event_del may not be called so. */
static void churn_locked(struct worker *worker, long i)
{
	short finalize = i % 2 ? EV_FINALIZE : 0;
	struct subject *subject = make(worker, i, EV_WRITE | EV_PERSIST | finalize, on_event_locked);
	pthread_mutex_lock(&program_lock);
	add(subject, NULL);
	pthread_mutex_unlock(&program_lock);
	if (i % 3 == 0)
		wait_until(&subject->began, 1);
	pthread_mutex_lock(&program_lock);
	event_active(subject->event, EV_READ, 1);
	add(subject, NULL);
	event_pending(subject->event, EV_WRITE, NULL);
	event_remove_timer(subject->event);
	if (finalize)
		event_del(subject->event);
	else
		event_del_noblock(subject->event);
	pthread_mutex_unlock(&program_lock);
	event_del_block(subject->event);
	check(!is_running(subject), "event_del_block returned before the callback did");
	end(worker, i, subject);
	atomic_fetch_add(&operations, 9);
}

/* The event deletes itself, while another thread adds or deletes it. */
static void churn_self_deleting(struct worker *worker, long i)
{
	struct subject *subject = make(worker, i, EV_WRITE | EV_PERSIST, on_last_event);
	add(subject, NULL);
	if (i % 3 == 0)
		wait_until(&subject->began, 1);
	add(subject, NULL);
	event_del(subject->event);
	check(!is_running(subject), "event_del returned before the callback did");
	end(worker, i, subject);
	atomic_fetch_add(&operations, 5);
}

/* The finalizer is the last call. */
static void churn_finalized(struct worker *worker, long i)
{
	struct subject *subject = make(worker, i, EV_WRITE | EV_PERSIST, on_event);
	add(subject, NULL);
	if (i % 3)
		event_active(subject->event, EV_READ, 1);
	if (subject->event == &subject->embedded)
		event_finalize(0, subject->event, on_finalize);
	else
		event_free_finalize(0, subject->event, on_finalize);
	wait_until(&subject->finalized, 1);
	check(!is_running(subject), "the finalizer was called before the callback returned");
	subject->event = &subject->embedded;
	end(worker, i, subject);
	atomic_fetch_add(&operations, 3);
}

static void *work(void *arg)
{
	static void (*const kinds[])(struct worker *, long) = {churn_plain, churn_wake, churn_plain,
	    churn_noblock, churn_plain, churn_locked, churn_plain, churn_self_deleting, churn_plain,
	    churn_finalized};
	struct worker *worker = arg;
	long i;
	for (i = 0; i < worker->events; i++)
		kinds[i % 10](worker, i / 10 + worker->number);
	for (i = 0; i < KEPT; i++)
		free(worker->kept[i]);
	return NULL;
}

/* The wait of this loop has no timeout but those of the threads' events. */
static void *run_loop(void *arg)
{
	(void)arg;
	check(event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY) == 0, "event_base_loop");
	return NULL;
}

/* Ends the program if no event ended for a while. */
static void *watch(void *arg)
{
	long last = -1, now;
	(void)arg;
	while ((now = atomic_load(&progress)) != last) {
		last = now;
		sleep(HANG_S);
	}
	fail("a hang: no event ended for a while");
	return NULL;
}

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	long events = argc > 1 ? atol(argv[1]) : 10000;
	int threads = argc > 2 ? atoi(argv[2]) : 3, i;
	pthread_t loop, watcher;
	double start = now_s();

	if (events < 1 || threads < 1 || threads > THREADS_MAX) {
		fprintf(stderr, "usage: churn EVENTS [THREADS], of at most %d threads\n", THREADS_MAX);
		return 2;
	}
	check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	base = new_base();
	pthread_create(&watcher, NULL, watch, NULL);
	pthread_create(&loop, NULL, run_loop, NULL);
	for (i = 0; i < threads; i++) {
		workers[i].number = i;
		workers[i].events = events / threads + (i < events % threads);
		make_pair(workers[i].fds);
		check(write(workers[i].fds[1], "x", 1) == 1, "write");
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	check(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED) == 0, "an event is left");
	event_base_loopbreak(base);
	pthread_join(loop, NULL);
	event_base_free(base);
	printf("ended: %ld\n", atomic_load(&progress));
	fprintf(stderr, "operations: %ld, calls: %ld, deleted while running: %ld, %.2f s\n",
	    atomic_load(&operations), atomic_load(&calls), atomic_load(&deleted_while_running),
	    now_s() - start);
	return 0;
}

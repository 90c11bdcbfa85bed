/* locked_hops: messages that travel between two threads, handed over as memcached's threads do it.
 *
 * A message is an item that the sender appends to the list of the other thread under a mutex, and a write to that
 * thread's eventfd, one for every message. The other thread reads the eventfd and takes as many items as it says.
 * benches/message_hops.rs does the same by queues without a lock.
 *
 *     locked_hops [--tokens N] [--seconds S]      1 message on its way at once; 3 seconds
 *
 * Each thread has a processor of its own, of those that the process may use. It prints one line of JSON.
 */
#include "client.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

enum { THREADS = 2, TOKENS_MAX = 4096 };

struct token {
    struct token *next;
    uint64_t payload[4]; /* that of message_hops */
};

struct thread {
    pthread_mutex_t lock;
    struct token *head, **tail; /* under the lock */
    int notify, epoll, processor;
    uint64_t hops;
    pthread_t id;
} __attribute__((aligned(128)));

static struct thread threads[THREADS];
static atomic_bool is_over;

static const char usage[] = "locked_hops [--tokens N] [--seconds S]";

static void wake(struct thread *thread) {
    uint64_t one = 1;
    if (write(thread->notify, &one, sizeof one) != sizeof one)
        die("write to an eventfd");
}

static void post(struct thread *thread, struct token *token) {
    token->next = NULL;
    pthread_mutex_lock(&thread->lock);
    *thread->tail = token;
    thread->tail = &token->next;
    pthread_mutex_unlock(&thread->lock);
    wake(thread);
}

/* The first token, or none. */
static struct token *take(struct thread *thread) {
    pthread_mutex_lock(&thread->lock);
    struct token *token = thread->head;
    if (token != NULL && (thread->head = token->next) == NULL)
        thread->tail = &thread->head;
    pthread_mutex_unlock(&thread->lock);
    return token;
}

static void *run(void *argument) {
    struct thread *thread = argument, *next = &threads[(thread - threads + 1) % THREADS];
    struct epoll_event event;
    uint64_t items;
    cpu_set_t processor;

    CPU_ZERO(&processor);
    CPU_SET(thread->processor, &processor);
    if (sched_setaffinity(0, sizeof processor, &processor) != 0)
        die("sched_setaffinity");
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        if (epoll_wait(thread->epoll, &event, 1, -1) != 1 || read(thread->notify, &items, sizeof items) != sizeof items)
            die("wait for an eventfd");
        while (items-- > 0) {
            struct token *token = take(thread);
            if (token == NULL)
                break; /* the wake was for the end */
            thread->hops++;
            post(next, token);
        }
    }
    return NULL;
}

static void start(struct thread *thread, int processor) {
    struct epoll_event event = {.events = EPOLLIN};

    pthread_mutex_init(&thread->lock, NULL);
    thread->tail = &thread->head;
    thread->processor = processor;
    if ((thread->notify = eventfd(0, EFD_CLOEXEC)) < 0 || (thread->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
        epoll_ctl(thread->epoll, EPOLL_CTL_ADD, thread->notify, &event) != 0)
        die("eventfd, epoll");
}

int main(int argc, char **argv) {
    static const struct option flags[] = {{"tokens", required_argument, NULL, 't'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {0}};
    static struct token tokens[TOKENS_MAX];
    unsigned count = 1, seconds = 3;
    uint64_t hops = 0;
    int flag, started = 0;
    cpu_set_t usable;

    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (flag == 't')
            count = parse_number("tokens", optarg, TOKENS_MAX);
        else if (flag == 's')
            seconds = parse_number("seconds", optarg, 3600);
        else {
            fprintf(stderr, "usage: %s\n", usage);
            return 2;
        }
    }
    if (sched_getaffinity(0, sizeof usable, &usable) != 0)
        die("sched_getaffinity");
    for (int processor = 0; processor < CPU_SETSIZE && started < THREADS; processor++)
        if (CPU_ISSET(processor, &usable))
            start(&threads[started++], processor);
    if (started < THREADS) {
        fprintf(stderr, "locked_hops: it needs two processors\n");
        return 1;
    }
    for (int i = 0; i < THREADS; i++)
        if ((errno = pthread_create(&threads[i].id, NULL, run, &threads[i])) != 0)
            die("pthread_create");

    uint64_t begin = now_ns();
    for (unsigned i = 0; i < count; i++)
        post(&threads[0], &tokens[i]);
    sleep(seconds);
    atomic_store_explicit(&is_over, 1, memory_order_relaxed);
    uint64_t elapsed = now_ns() - begin;
    for (int i = 0; i < THREADS; i++)
        wake(&threads[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        hops += threads[i].hops;
    }
    printf("{\"hops\": %llu, \"elapsed_ns\": %llu}\n", (unsigned long long)hops, (unsigned long long)elapsed);
    return 0;
}

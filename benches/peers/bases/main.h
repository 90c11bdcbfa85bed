/* The command line and the line of output; includes the benchmarks, after an adapter has defined each step. */
#include "cascade.h"
#include "chain.h"
#include "changes.h"
#include "memory.h"
#include "timers.h"

static const struct {
    const char *name;
    void (*run)(void);
} BENCHMARKS[] = {
    {"chain", chain_benchmark},     {"cascade", cascade_benchmark}, {"timers", timers_benchmark},
    {"changes", changes_benchmark}, {"memory", memory_benchmark},
};

static const struct {
    const char *name;
    const char **value;
} TEXTS[] = {
    {"--variant", &options.variant}, {"--rearm", &options.rearm}, {"--deadlines", &options.deadlines},
};

static const struct {
    const char *name;
    unsigned *value, most;
} NUMBERS[] = {
    {"--pipes", &options.pipes, 9900},        {"--active", &options.active, 9900},
    {"--writes", &options.writes, 100000000}, {"--runs", &options.runs, RUNS_MAX},
    {"--timers", &options.timers, 10000000},  {"--changes", &options.changes, 9900},
    {"--events", &options.events, 10000000},  {"--descriptors", &options.descriptors, 19800},
};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static void parse_flag(const char *name, const char *text) {
    for (size_t i = 0; i < LENGTH(TEXTS); i++) {
        if (strcmp(name, TEXTS[i].name) == 0) {
            *TEXTS[i].value = text;
            return;
        }
    }
    for (size_t i = 0; i < LENGTH(NUMBERS); i++) {
        if (strcmp(name, NUMBERS[i].name) == 0) {
            char *end;
            unsigned long number = strtoul(text, &end, 10);
            if (*text < '0' || *text > '9' || *end != '\0' || number == 0 || number > NUMBERS[i].most) {
                fprintf(stderr, "%s is 1 to %u, not '%s'\n", name, NUMBERS[i].most, text);
                exit(2);
            }
            *NUMBERS[i].value = (unsigned)number;
            return;
        }
    }
    fprintf(stderr, "no flag '%s'\n", name);
    exit(2);
}

static void parse_options(int argc, char **argv) {
    if (argc < 2 || argc % 2 != 0)
        refuse("usage: bases-" LIBRARY " chain|cascade|timers|changes|memory [--variant WORD] [--pipes N] [--active N] "
               "[--writes N] [--rearm WORD] [--timers N] [--deadlines random|common] [--changes N] [--events N] "
               "[--descriptors N] [--runs N]");
    options.benchmark = argv[1];
    for (int i = 2; i < argc; i += 2)
        parse_flag(argv[i], argv[i + 1]);
    if (options.active > options.pipes)
        refuse("--active is at most --pipes");
    if (strcmp(options.deadlines, "random") != 0 && strcmp(options.deadlines, "common") != 0)
        refuse("--deadlines is random or common");
}

int main(int argc, char **argv) {
    parse_options(argc, argv);
    raise_descriptor_limit();
    for (size_t i = 0; i < LENGTH(BENCHMARKS); i++) {
        if (strcmp(options.benchmark, BENCHMARKS[i].name) == 0) {
            printf("{");
            print_text("library", LIBRARY);
            print_text("version", library_version());
            print_text("benchmark", options.benchmark);
            print_text("variant", options.variant);
            BENCHMARKS[i].run();
            printf("\"backend\": \"%s\"}\n", backend_used);
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    }
    fprintf(stderr, "no benchmark '%s'\n", options.benchmark);
    return 2;
}

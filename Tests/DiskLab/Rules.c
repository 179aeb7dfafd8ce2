// The rules: read from their file whenever it is another, counted, and asked about each call.
#define _GNU_SOURCE
#include "Rules.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rule {
    char operation[16], part[256], what[16];
    long from, to;  // by its own count
    long met;
};

static char file[PATH_MAX];
static struct rule rules[64];
static size_t number;
static struct stat known;

void disklab_rules_in(const char *path) { snprintf(file, sizeof file, "%s", path); }
int disklab_has_rules(void) { return file[0] != 0; }

// A rule that cannot be read would be a test that tests nothing.
static void give_up(const char *line) {
    fprintf(stderr, "disk lab: this is no rule: %s\n", line);
    _exit(70);
}

static const struct { const char *word; int code; } codes[] = {
    {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}, {"EDQUOT", EDQUOT}, {"EMFILE", EMFILE},
    {"short", 0}, {"ignore", 0}, {"late", 0},
};

static void read_line(const char *line) {
    char when[32] = "always";
    struct rule rule = {.from = 1, .to = LONG_MAX};
    int words = sscanf(line, "%15s %255s %15s %31s", rule.operation, rule.part, rule.what, when);
    if (words <= 0) return;
    if (words < 3 || number == sizeof rules / sizeof *rules) give_up(line);
    size_t i = 0, last = sizeof codes / sizeof *codes;
    while (i < last && strcmp(codes[i].word, rule.what)) i++;
    if (i == last) give_up(line);
    if (strcmp(when, "always")) {
        char *end;
        rule.from = strtol(when, &end, 10);
        if (end == when || rule.from < 1) give_up(line);
        if (*end != '+') rule.to = rule.from;
    }
    rules[number++] = rule;
}

// Counts begin anew with another file.
static void refresh(void) {
    struct stat status;
    if (!file[0]) return;
    if (stat(file, &status)) {
        number = 0;
        known = (struct stat){0};
        return;
    }
    if (status.st_ino == known.st_ino && status.st_ctim.tv_sec == known.st_ctim.tv_sec
        && status.st_ctim.tv_nsec == known.st_ctim.tv_nsec) return;
    known = status;
    number = 0;
    FILE *lines = fopen(file, "re");
    if (!lines) give_up(file);
    char line[512];
    while (fgets(line, sizeof line, lines)) read_line(line);
    fclose(lines);
}

struct disklab_verdict disklab_judge(const char *operation, const char *path, const char *to, int changes) {
    struct disklab_verdict verdict = {0};
    int before = errno;
    refresh();
    errno = before;
    for (size_t i = 0; i < number; i++) {
        struct rule *rule = &rules[i];
        int is_meant = !strcmp(rule->operation, operation) || (changes && !strcmp(rule->operation, "any"));
        int is_there = !strcmp(rule->part, "*") || strstr(path, rule->part) || (to && strstr(to, rule->part));
        if (!is_meant || !is_there) continue;
        rule->met++;
        if (rule->met < rule->from || rule->met > rule->to) continue;
        for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
            if (!strcmp(codes[k].word, rule->what)) verdict.code = codes[k].code;
        }
        verdict.half = !strcmp(rule->what, "short");
        verdict.ignore = !strcmp(rule->what, "ignore");
        verdict.late = !strcmp(rule->what, "late");
        break;
    }
    return verdict;
}

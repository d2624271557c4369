/* SPDX-License-Identifier: Apache-2.0 */
/* Plans, journals and the file operations, on directories made here. */
#include "place.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "../../qsurgeon/operate/fsops.h"
#include "../../qsurgeon/operate/journal.h"
#include "../../qsurgeon/operate/perform.h"
#include "qsurgeon/apply.h"
#include "qsurgeon/plan.h"
#include "qsurgeon/reader.h"

static struct qs_error err;

static char *get(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char *data = talloc_size(root, 1 << 20);
    *size = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

static bool there(const char *name)
{
    struct stat st;
    return lstat(in_place(name), &st) == 0;
}

/* --- file operations ------------------------------------------------------------------------------------------------- */

static void test_fsops(void **state)
{
    (void)state;
    struct qs_fs *fs = NULL, *second = NULL;
    struct stat st;
    assert_int_equal(mkdir(in_place("q"), 0700), 0);
    assert_int_equal(mkdir(in_place("q/a"), 0700), 0);
    put(in_place("q/a/one"), "one", 3);
    put(in_place("q/a/two"), "two", 3);
    assert_int_equal(symlink("a", in_place("q/link")), 0);
    assert_int_equal(symlink("one", in_place("q/a/sym")), 0);
    assert_int_equal(qs_fs_open(root, in_place("q"), &fs, &err), QS_OK);
    assert_int_equal(qs_fs_open(root, in_place("q"), &second, &err), QS_BUSY);
    static const char *const bad[] = {"", ".", "..", "a/b", "lock", "../x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(qs_fs_run(fs, bad[i], &err), QS_DATA);
    assert_int_equal(qs_fs_move(fs, "a/one", "@/a/one", &err), QS_DATA);    /* no run yet */
    assert_int_equal(qs_fs_run(fs, "run", &err), QS_OK);
    static const char *const paths[] = {"../x", "/etc/passwd", "a//one", "a/./one", "a/../a/one", "a/", "@/../x", "@/", ""};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(qs_fs_stat(fs, paths[i], &st, &err), QS_DATA);
        assert_int_equal(qs_fs_move(fs, "a/one", paths[i], &err), QS_DATA);
    }
    assert_int_not_equal(qs_fs_stat(fs, "link/one", &st, &err), QS_OK);     /* no link is followed */
    int fd = -1;
    assert_int_not_equal(qs_fs_file(fs, "a/sym", O_RDONLY, &fd, NULL, NULL, &err), QS_OK);
    assert_int_equal(qs_fs_move(fs, "a/one", "a/two", &err), QS_DATA);      /* never replaces */
    assert_int_equal(qs_fs_move(fs, "a/none", "a/three", &err), QS_GONE);
    assert_int_equal(qs_fs_move(fs, "a/one", "@/a/one", &err), QS_OK);
    assert_true(there("q/.qsurgeon/run/a/one"));
    assert_int_equal(qs_fs_byte(fs, "@/a/one", 0, 'x', 'y', &err), QS_DATA);
    assert_int_equal(qs_fs_byte(fs, "@/a/one", 9, 'x', 'y', &err), QS_DATA);
    assert_int_equal(qs_fs_byte(fs, "@/a/one", 0, 'o', 'O', &err), QS_OK);
    assert_int_equal(qs_fs_unlink(fs, "a/two", &err), QS_DATA);             /* nothing outside the run directory */
    assert_int_equal(qs_fs_rmdir(fs, "a", &err), QS_DATA);
    assert_int_equal(qs_fs_wipe(fs, "a/", &err), QS_DATA);
    assert_int_equal(qs_fs_stat(fs, "a/two", &st, &err), QS_OK);
    assert_int_equal(qs_fs_create(fs, "a/new", QS_SPAN("x"), &st, true, &err), QS_DATA);
    assert_int_equal(qs_fs_create(fs, "@/new/x", QS_SPAN("x"), &st, true, &err), QS_OK);
    assert_int_equal(qs_fs_create(fs, "@/new/x", QS_SPAN("x"), &st, true, &err), QS_DATA);
    assert_int_equal(qs_fs_wipe(fs, "@/new/", &err), QS_OK);
    assert_false(there("q/.qsurgeon/run/new/x"));
    assert_int_equal(qs_fs_prune_run(fs, &err), QS_OK);
    assert_false(there("q/.qsurgeon/run/new"));
    assert_true(there("q/.qsurgeon/run/a/one"));                            /* full ones stay */
    assert_int_equal(qs_fs_sync(fs, &err), QS_OK);
    talloc_free(fs);
}

static void test_new_file(void **state)
{
    (void)state;
    struct qs_fs_new file, other;
    put(in_place(".plan.new"), "left by a crash", 15);
    assert_int_equal(qs_fs_new_begin(in_place("plan"), &file, &err), QS_OK);
    assert_int_equal(qs_fs_new_begin(in_place("plan"), &other, &err), QS_BUSY);     /* being written */
    assert_int_equal(qs_fs_new_forget(in_place("plan"), &err), QS_BUSY);
    assert_int_equal(qs_fs_new_finish(&file, &err), QS_OK);
    assert_int_equal(qs_fs_new_begin(in_place("plan"), &other, &err), QS_USAGE);
    put(in_place(".more.new"), "left by a crash", 15);
    assert_int_equal(qs_fs_new_forget(in_place("plan/below"), &err), QS_OK);
    assert_int_equal(qs_fs_new_forget(in_place("more"), &err), QS_OK);
    assert_int_equal(qs_fs_new_forget(in_place("more"), &err), QS_OK);
    assert_false(there(".more.new"));
    assert_int_equal(qs_fs_new_begin(in_place("nowhere/plan"), &other, &err), QS_IO);
}

/* A queue directory of that name in place, with a directory d; open, and in the midst of a run. */
static struct qs_fs *begin_run(const char *name)
{
    char path[64];
    struct qs_fs *fs = NULL;
    snprintf(path, sizeof path, "%s/d", name);
    assert_int_equal(mkdir(in_place(name), 0700), 0);
    assert_int_equal(mkdir(in_place(path), 0700), 0);
    assert_int_equal(qs_fs_open(root, in_place(name), &fs, &err), QS_OK);
    assert_int_equal(qs_fs_run(fs, "run", &err), QS_OK);
    return fs;
}

/* --- moves ------------------------------------------------------------------------------------------------------------ */

static void test_perform(void **state)
{
    (void)state;
    struct qs_fs *fs = begin_run("p");
    struct qs_move *moves = NULL;
    struct stat st, now;
    bool intact = false, changed = false;
    put(in_place("p/d/m"), "RRR", 3);
    assert_int_equal(qs_fs_stat(fs, "d/m", &st, &err), QS_OK);
    struct qs_step steps[] = {
        {.kind = QS_STEP_MOVE, .from = "d/m", .to = "@/d/m"},
        {.kind = QS_STEP_TIMES, .from = "@/d/m", .time = QS_TIME_AS_BEFORE},
        {.kind = QS_STEP_BYTE, .from = "@/d/m", .offset = 1, .expect = 'R', .byte = '/'},
        {.kind = QS_STEP_BYTE, .from = "@/d/m", .offset = 2, .expect = 'R', .byte = '/'},
        {.kind = QS_STEP_MOVE, .from = "d/log", .to = "@/d/log", .optional = true, .log = true},
        {.kind = QS_STEP_TIMES, .from = "@/d/m", .time = QS_TIME_AS_BEFORE},
        {.kind = QS_STEP_MOVE, .from = "@/d/m", .to = "d/m"},
    };
    enum { STEPS = sizeof steps / sizeof *steps };
    assert_int_equal(qs_moves_prepare(root, fs, steps, STEPS, &st, 0, &moves, &err), QS_OK);
    assert_int_equal(qs_moves_perform(fs, moves, STEPS, QS_LOCK_AFTER_CLAIM, &intact, &err), QS_OK);
    size_t size;
    assert_memory_equal(get(in_place("p/d/m"), &size), "R//", 3);
    for (unsigned again = 0; again < 3; again++) {      /* reversing twice is reversing once */
        assert_int_equal(qs_moves_reverse(fs, moves, STEPS, QS_LOCK_AFTER_CLAIM, &changed, &err), QS_OK);
        assert_true(changed == (again == 0));
        assert_memory_equal(get(in_place("p/d/m"), &size), "RRR", 3);
        assert_int_equal(qs_fs_stat(fs, "d/m", &now, &err), QS_OK);
        assert_true(now.st_ino == st.st_ino && now.st_mtim.tv_nsec == st.st_mtim.tv_nsec);
    }
    /* reversing from every point at which it may have stopped */
    for (size_t stop = 0; stop <= STEPS; stop++) {
        if (stop > 0)
            assert_int_equal(rename(in_place("p/d/m"), in_place("p/.qsurgeon/run/d/m")), 0);
        if (stop > 2)
            assert_int_equal(qs_fs_byte(fs, "@/d/m", 1, 'R', '/', &err), QS_OK);
        if (stop > 3)
            assert_int_equal(qs_fs_byte(fs, "@/d/m", 2, 'R', '/', &err), QS_OK);
        if (stop == STEPS)
            assert_int_equal(rename(in_place("p/.qsurgeon/run/d/m"), in_place("p/d/m")), 0);
        assert_int_equal(qs_moves_reverse(fs, moves, STEPS, QS_LOCK_AFTER_CLAIM, &changed, &err), QS_OK);
        assert_true(changed == (stop > 0));
        assert_memory_equal(get(in_place("p/d/m"), &size), "RRR", 3);
    }
    /* a step in the middle that cannot be done: what was done is reversed */
    moves[3].expect = 'X';
    assert_int_equal(qs_moves_perform(fs, moves, STEPS, QS_LOCK_AFTER_CLAIM, &intact, &err), QS_DATA);
    assert_true(intact);
    assert_memory_equal(get(in_place("p/d/m"), &size), "RRR", 3);
    /* another message of the same name is given back */
    assert_int_equal(rename(in_place("p/d/m"), in_place("p/d/kept")), 0);
    put(in_place("p/d/m"), "other", 5);
    assert_int_equal(qs_moves_perform(fs, moves, STEPS, QS_LOCK_AFTER_CLAIM, &intact, &err), QS_DATA);
    assert_true(intact && there("p/d/m") && !there("p/.qsurgeon/run/d/m"));
    assert_int_equal(unlink(in_place("p/d/m")), 0);
    assert_int_equal(qs_moves_perform(fs, moves, STEPS, QS_LOCK_AFTER_CLAIM, &intact, &err), QS_GONE);
    assert_true(intact);
    assert_int_equal(qs_moves_reverse(fs, moves, STEPS, QS_LOCK_AFTER_CLAIM, &changed, &err), QS_GONE);
    /* never moved, and rewritten by the mail server since: nothing to reverse, and no reason to stop */
    put(in_place("p/d/m"), "rewritten", 9);
    assert_int_equal(qs_moves_reverse(fs, moves, STEPS, QS_LOCK_AFTER_CLAIM, &changed, &err), QS_GONE);
    assert_int_equal(unlink(in_place("p/d/m")), 0);
    /* to where undo puts it, not to where it was */
    assert_int_equal(rename(in_place("p/d/kept"), in_place("p/d/m")), 0);
    struct qs_step hold = {.kind = QS_STEP_MOVE, .from = "d/m", .to = "d/held", .back = "d/back"};
    struct qs_move *one = NULL;
    assert_int_equal(qs_moves_prepare(root, fs, &hold, 1, &st, 0, &one, &err), QS_OK);
    assert_int_equal(qs_moves_reverse(fs, one, 1, QS_LOCK_AFTER_CLAIM, &changed, &err), QS_OK);      /* never moved */
    assert_true(there("p/d/m") && !changed);
    assert_int_equal(qs_moves_perform(fs, one, 1, QS_LOCK_NONE, &intact, &err), QS_OK);
    for (unsigned again = 0; again < 2; again++) {
        assert_int_equal(qs_moves_reverse(fs, one, 1, QS_LOCK_AFTER_CLAIM, &changed, &err), QS_OK);
        assert_true(changed == (again == 0));
    }
    /* to another time, and to another name and back: where it is says nothing */
    struct qs_step defer[] = {
        {.kind = QS_STEP_MOVE, .from = "d/back", .to = "@/d/m"},
        {.kind = QS_STEP_TIMES, .from = "@/d/m", .time = 1700000000},
        {.kind = QS_STEP_MOVE, .from = "@/d/m", .to = "d/back"},
    };
    struct qs_move *later = NULL;
    assert_int_equal(qs_fs_stat(fs, "d/back", &st, &err), QS_OK);
    assert_int_equal(qs_moves_prepare(root, fs, defer, 3, &st, 0, &later, &err), QS_OK);
    for (unsigned done = 0; done < 2; done++) {
        if (done)
            assert_int_equal(qs_moves_perform(fs, later, 3, QS_LOCK_AFTER_CLAIM, &intact, &err), QS_OK);
        assert_int_equal(qs_moves_reverse(fs, later, 3, QS_LOCK_AFTER_CLAIM, &changed, &err), QS_OK);
        assert_true(changed == (done == 1));
        assert_int_equal(qs_fs_stat(fs, "d/back", &now, &err), QS_OK);
        assert_true(now.st_mtim.tv_sec == st.st_mtim.tv_sec && now.st_mtim.tv_nsec == st.st_mtim.tv_nsec);
    }
    talloc_free(later);
    assert_true(there("p/d/back") && !there("p/d/m") && !there("p/d/held"));
    /* the server takes it before what follows the claim */
    struct qs_step release = {.kind = QS_STEP_MOVE, .from = "d/back", .to = "d/live"};
    struct qs_move *taken = NULL;
    struct qs_moving at;
    assert_int_equal(qs_moves_prepare(root, fs, &release, 1, &st, 0, &taken, &err), QS_OK);
    qs_moves_claim(fs, taken, 1, QS_LOCK_NONE, &at);
    assert_int_equal(rename(in_place("p/d/live"), in_place("p/d/active")), 0);
    qs_moves_follow(fs, taken, 1, QS_LOCK_NONE, &at);
    assert_true(at.intact && at.status == QS_OK);
    talloc_free(fs);
    talloc_free(moves);
    talloc_free(one);
    talloc_free_children(root);
}

/* A queue may have more directories than a process may have open files: hashed to a depth of two, or a restore of many. */
static size_t open_files(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* However many threads have worked, what they hold open is bounded; and who is not asked for holds nothing. */
static void test_twins(void **state)
{
    (void)state;
    enum { EACH = 500, MOST = 400 + 384 };
    static const unsigned threads[] = {2, 8, 3, 32, 2};
    struct stat like = {.st_uid = geteuid(), .st_gid = getegid(), .st_mode = S_IFREG | 0600};
    const size_t before = open_files();
    struct qs_fs *fs = begin_run("twins");
    for (unsigned i = 0; i < EACH; i++) {
        char path[64];
        snprintf(path, sizeof path, "@/%u/f", i);
        assert_int_equal(qs_fs_create(fs, path, QS_SPAN("x"), &like, false, &err), QS_OK);
    }
    for (size_t n = 0; n < sizeof threads / sizeof *threads; n++) {
        assert_int_equal(qs_fs_twins(fs, threads[n], &err), QS_OK);
        for (unsigned thread = 0; thread < threads[n]; thread++)
            for (unsigned i = 0; i < EACH; i++) {
                char path[64];
                struct stat st;
                snprintf(path, sizeof path, "@/%u/f", i);
                assert_int_equal(qs_fs_stat(qs_fs_of(fs, thread), path, &st, &err), QS_OK);
            }
        assert_true(open_files() <= before + MOST + 2);     /* the root and the lock */
    }
    assert_int_equal(qs_fs_sync(fs, &err), QS_OK);
    talloc_free(fs);
    assert_int_equal(open_files(), before);
}

static void test_many_directories(void **state)
{
    (void)state;
    enum { MANY = 1500 };
    struct stat st;
    char path[64], to[64];
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 700;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct qs_fs *fs = begin_run("many");
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "@/a/%u/f", i);
        snprintf(to, sizeof to, "@/b/%u/f", i);
        struct stat like = {.st_uid = geteuid(), .st_gid = getegid(), .st_mode = S_IFREG | 0600};
        assert_int_equal(qs_fs_create(fs, path, QS_SPAN("x"), &like, false, &err), QS_OK);
        assert_int_equal(qs_fs_move(fs, path, to, &err), QS_OK);
    }
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(to, sizeof to, "@/b/%u/f", i);
        assert_int_equal(qs_fs_stat(fs, to, &st, &err), QS_OK);
    }
    assert_int_equal(qs_fs_sync(fs, &err), QS_OK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    talloc_free(fs);
}

/* A log goes into the run directory by a link; stopped between its two halves, it has both names. */
static void test_bring(void **state)
{
    (void)state;
    struct qs_fs *fs = begin_run("b");
    struct qs_move *moves = NULL;
    struct stat st;
    bool intact = false, changed = false;
    put(in_place("b/d/m"), "mail", 4);
    put(in_place("b/d/log"), "log", 3);
    assert_int_equal(qs_fs_stat(fs, "d/m", &st, &err), QS_OK);
    struct qs_step steps[] = {
        {.kind = QS_STEP_MOVE, .from = "d/m", .to = "@/d/m"},
        {.kind = QS_STEP_MOVE, .from = "d/log", .to = "@/d/log", .optional = true, .log = true},
    };
    assert_int_equal(qs_fs_bring(fs, "d/log", "d/elsewhere", &err), QS_DATA);
    assert_int_equal(qs_moves_prepare(root, fs, steps, 2, &st, 0, &moves, &err), QS_OK);
    assert_int_equal(qs_moves_perform(fs, moves, 2, QS_LOCK_AFTER_CLAIM, &intact, &err), QS_OK);
    assert_true(!there("b/d/m") && !there("b/d/log") && there("b/.qsurgeon/run/d/m") && there("b/.qsurgeon/run/d/log"));
    assert_int_equal(link(in_place("b/.qsurgeon/run/d/log"), in_place("b/d/log")), 0);
    assert_int_equal(qs_moves_reverse(fs, moves, 2, QS_LOCK_AFTER_CLAIM, &changed, &err), QS_OK);
    assert_true(there("b/d/m") && there("b/d/log") && !there("b/.qsurgeon/run/d/m") && !there("b/.qsurgeon/run/d/log"));
    assert_int_equal(stat(in_place("b/d/log"), &st), 0);
    assert_int_equal(st.st_nlink, 1);
    /* a log that the mail server has made since is not the same: both stay */
    assert_int_equal(qs_moves_perform(fs, moves, 2, QS_LOCK_AFTER_CLAIM, &intact, &err), QS_OK);
    put(in_place("b/d/log"), "newer", 5);
    assert_int_equal(qs_moves_reverse(fs, moves, 2, QS_LOCK_AFTER_CLAIM, &changed, &err), QS_OK);
    size_t size;
    assert_memory_equal(get(in_place("b/d/log"), &size), "newer", 5);
    assert_true(there("b/.qsurgeon/run/d/log"));
    talloc_free(moves);
    talloc_free(fs);
    talloc_free_children(root);
}

/* --- plans and journals ----------------------------------------------------------------------------------------------- */

static struct qs_plan_item items[] = {
    {.id = "3F702E66109", .queue_name = "deferred", .path = "deferred/3/3F702E66109", .reason = "storm newsletter C-1",
     .inode = 17, .size = 300, .digest = 0xfedcba9876543210u, .arrival = 1700000000},
    {.id = "3E58CE66108", .queue_name = "hold", .path = "hold/3E58CE66108", .reason = "legit", .inode = 18, .size = 400,
     .arrival = 1700000000, .born = 1700000000987654321, .unread = true},
};

static struct qs_plan plan_of(void)
{
    return (struct qs_plan){.host = "h\"ost", .mta = "postfix", .instance = "postfix", .queue_dir = "/q", .tool = "1",
                            .words = "--sender x", .made = 1, .action = QS_ACT_PURGE, .items = items, .count = 2, .bytes = 700};
}

static void test_plan(void **state)
{
    (void)state;
    struct qs_plan plan = plan_of(), *read = NULL;
    plan.pace = 60;
    plan.until = 1700000007;
    plan.output = "/archives/\xc3\xa4 \"1\"";
    assert_int_equal(qs_plan_write(&plan, in_place("a.plan"), &err), QS_OK);
    assert_int_equal(qs_plan_write(&plan, in_place("a.plan"), &err), QS_USAGE);
    assert_int_equal(qs_plan_read(root, in_place("a.plan"), false, &read, &err), QS_OK);
    assert_string_equal(read->host, plan.host);
    assert_true(read->pace == 60 && read->until == 1700000007);
    assert_string_equal(read->output, plan.output);
    assert_true(read->count == 2 && read->items[0].digest == items[0].digest && read->items[1].inode == 18);
    assert_true(read->items[0].born == 0 && !read->items[0].unread && read->items[0].arrival == items[0].arrival);
    assert_true(read->items[1].born == items[1].born && read->items[1].unread && read->items[1].arrival == items[1].arrival);
    talloc_free(read);
    size_t size = 0, refused = 0;
    char *data = get(in_place("a.plan"), &size);
    for (size_t cut = 0; cut < size; cut++) {
        put(in_place("cut.plan"), data, cut);
        assert_int_equal(qs_plan_read(root, in_place("cut.plan"), false, &read, &err), QS_DATA);
        assert_int_equal(qs_plan_read(root, in_place("cut.plan"), true, &read, &err), QS_DATA);
    }
    for (size_t at = 0; at < size; at++) {      /* any changed byte */
        char old = data[at];
        data[at] = (char)(old ^ 0x01);
        put(in_place("cut.plan"), data, size);
        assert_int_equal(qs_plan_read(root, in_place("cut.plan"), false, &read, &err), QS_DATA);
        if (qs_plan_read(root, in_place("cut.plan"), true, &read, &err) == QS_OK)
            talloc_free(read);
        data[at] = old;
        refused++;
    }
    assert_true(refused > 500);
    items[1].path = "hold/../x";
    assert_int_equal(qs_plan_write(&plan, in_place("b.plan"), &err), QS_DATA);
    items[1].path = "hold/3E58CE66108";
    plan.output = "/not UTF-8 \xff";
    assert_int_equal(qs_plan_write(&plan, in_place("b.plan"), &err), QS_DATA);
    plan.output = "relative";
    assert_int_equal(qs_plan_write(&plan, in_place("b.plan"), &err), QS_OK);
    assert_int_equal(qs_plan_read(root, in_place("b.plan"), true, &read, &err), QS_DATA);
    plan.output = "/a.tar.zst";                 /* of an action that has none */
    plan.action = QS_ACT_HOLD;
    assert_int_equal(qs_plan_write(&plan, in_place("c.plan"), &err), QS_OK);
    assert_int_equal(qs_plan_read(root, in_place("c.plan"), true, &read, &err), QS_DATA);
    talloc_free_children(root);
}

static uint32_t done_in(const struct qs_past *past)
{
    uint32_t done = 0;
    for (uint32_t n = 0; n < past->count; n++)
        done += past->of[n].has_outcome && past->of[n].outcome == QS_DONE;
    return done;
}

/* A list of runs reads less of a journal, and says the same. */
static void skim_agrees(uint32_t count)
{
    struct qs_past *past = NULL, *skimmed = NULL;
    uint32_t in_doubt = 0;
    assert_int_equal(qs_journal_read(root, place, count, &past, &err), QS_OK);
    assert_int_equal(qs_journal_skim(root, place, count, &skimmed, &err), QS_OK);
    for (uint32_t n = 0; n < count; n++)
        in_doubt += past->of[n].moves && !past->of[n].has_outcome && !past->of[n].settled;
    assert_int_equal(skimmed->done, done_in(past));
    assert_int_equal(skimmed->in_doubt, in_doubt);
    assert_true(skimmed->archived == past->archived && skimmed->unlinked == past->unlinked && skimmed->undoing == past->undoing &&
                skimmed->undone == past->undone && skimmed->end == past->end && !skimmed->archive == !past->archive);
    if (past->archive)
        assert_string_equal(skimmed->archive, past->archive);
    talloc_free(past);
    talloc_free(skimmed);
}

static void test_skim(void **state)
{
    (void)state;
    struct qs_journal *journal = NULL;
    const struct qs_move move = {.kind = QS_STEP_MOVE, .from = "active/A", .to = "hold/A"};
    (void)unlink(in_place("journal.jsonl"));                    /* another test's */
    skim_agrees(3);                                             /* none yet */
    assert_int_equal(qs_journal_open(root, place, &journal, &err), QS_OK);
    for (uint32_t n = 0; n < 3; n++)
        assert_int_equal(qs_journal_moves(journal, n, &move, 1, &err), QS_OK);
    assert_int_equal(qs_journal_outcome(journal, 0, false, QS_DONE, "", &err), QS_OK);
    assert_int_equal(qs_journal_outcome(journal, 1, false, QS_LEFT_BUSY, "\"outcome\":\"done\"", &err), QS_OK);
    assert_int_equal(qs_journal_outcome(journal, 2, false, QS_DONE, "", &err), QS_OK);
    assert_int_equal(qs_journal_moves(journal, 2, &move, 1, &err), QS_OK);       /* taken up again */
    assert_int_equal(qs_journal_archive(journal, "/a b", &err), QS_OK);
    assert_int_equal(qs_journal_mark(journal, "archived", &err), QS_OK);
    assert_int_equal(qs_journal_mark(journal, "end", &err), QS_OK);
    assert_int_equal(qs_journal_mark(journal, "undoing", &err), QS_OK);
    assert_int_equal(qs_journal_outcome(journal, 1, true, QS_DONE, "", &err), QS_OK);
    assert_int_equal(qs_journal_outcome(journal, 2, true, QS_LEFT_BUSY, "", &err), QS_OK);
    assert_int_equal(qs_journal_outcome(journal, 2, true, QS_LEFT_GONE, "", &err), QS_OK);
    assert_int_equal(qs_journal_mark(journal, "undone", &err), QS_OK);
    talloc_free(journal);
    size_t size = 0;
    char *data = get(in_place("journal.jsonl"), &size);
    for (size_t cut = 0; cut <= size; cut++) {
        put(in_place("journal.jsonl"), data, cut);
        skim_agrees(3);
    }
    talloc_free_children(root);
}

static void test_journal(void **state)
{
    (void)state;
    struct qs_journal *journal = NULL;
    struct qs_past *past = NULL;
    struct qs_move moves[] = {
        {.kind = QS_STEP_MOVE, .from = "active/A", .to = "@/active/A", .back = "deferred/A", .inode = 5},
        {.kind = QS_STEP_MOVE, .optional = true, .log = true, .from = "defer/A", .to = "@/defer/A"},
        {.kind = QS_STEP_TIMES, .from = "@/active/A", .before = {{1, 2}, {3, 4}}, .time = -5},
        {.kind = QS_STEP_BYTE, .from = "@/active/A", .offset = 7, .expect = 'R', .byte = '/'},
    };
    assert_int_equal(qs_journal_read(root, place, 2, &past, &err), QS_OK);      /* none yet */
    talloc_free(past);
    assert_int_equal(qs_journal_open(root, place, &journal, &err), QS_OK);
    assert_int_equal(qs_journal_moves(journal, 1, moves, 4, &err), QS_OK);
    assert_int_equal(qs_journal_outcome(journal, 1, false, QS_DONE, "", &err), QS_OK);
    assert_int_equal(qs_journal_archive(journal, "/a \"b\"", &err), QS_OK);
    assert_int_equal(qs_journal_outcome(journal, 1, true, QS_LEFT_BUSY, "lock\xff", &err), QS_OK);
    assert_int_equal(qs_journal_mark(journal, "undoing", &err), QS_OK);
    talloc_free(journal);
    assert_int_equal(qs_journal_read(root, place, 2, &past, &err), QS_OK);
    const struct qs_record *r = &past->of[1];
    assert_true(!past->of[0].moves && r->count == 4 && r->has_outcome && r->outcome == QS_DONE && !r->settled);
    assert_true(past->undoing && !past->undone && !past->end && !past->archived);
    assert_string_equal(past->archive, "/a \"b\"");
    assert_string_equal(r->moves[0].back, "deferred/A");
    assert_true(r->moves[1].log && r->moves[1].optional && !r->moves[0].log && r->moves[0].inode == 5);
    assert_true(r->moves[2].time == -5 && r->moves[2].before[1].tv_nsec == 4 && r->moves[3].offset == 7 && r->moves[3].byte == '/');
    talloc_free(past);
    size_t size = 0;
    char *data = get(in_place("journal.jsonl"), &size);
    for (size_t cut = 0; cut <= size; cut++) {      /* a crash cuts it off anywhere: what is whole counts */
        put(in_place("journal.jsonl"), data, cut);
        assert_int_equal(qs_journal_read(root, place, 2, &past, &err), QS_OK);
        talloc_free(past);
    }
    static const char *const hostile[] = {
        "{\"n\":2,\"moves\":[]}\n", "{\"n\":0,\"moves\":[{\"k\":\"move\",\"f\":\"/etc/x\",\"t\":\"a\"}]}\n",
        "{\"n\":0,\"moves\":[{\"k\":\"move\",\"f\":\"a\",\"t\":\"../a\"}]}\n", "{\"n\":0,\"moves\":[{\"k\":\"burn\",\"f\":\"a\"}]}\n",
        "{\"n\":0,\"moves\":[{\"k\":\"move\",\"f\":\"a\",\"t\":\"b\",\"bk\":\"/x\"}]}\n", "{\"n\":-1}\n", "{\"n\":\"x\"}\n",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        put(in_place("journal.jsonl"), hostile[i], strlen(hostile[i]));
        assert_int_equal(qs_journal_read(root, place, 2, &past, &err), QS_DATA);
    }
    talloc_free_children(root);
}

/* --- a run beside an MTA that moves its mail --------------------------------------------------------------------------- */

/* An MTA whose messages wait in one directory, and are in another while it has them in its hands. */
enum { WAITS, HANDS, DIRECTORIES };
static const char *const directories[DIRECTORIES] = {"waits", "hands"}, *const names[] = {"one", "two", "three"};
enum { NAMES = sizeof names / sizeof *names };

struct qs_queue {
    size_t walked;
};

static bool mta_path(const struct qs_queue *queue, const struct qs_entry *e, char *to, size_t size)
{
    (void)queue;
    return snprintf(to, size, "%s/%s", directories[e->dir], e->id) > 0;
}

static const char *mta_file(const struct qs_entry *e)
{
    char name[40];
    snprintf(name, sizeof name, "live/%s/%s", directories[e->dir], e->id);
    return in_place(name);
}

static enum qs_status mta_open(TALLOC_CTX *parent, const struct qs_instance *instance, struct qs_queue **out,
                               struct qs_error *error)
{
    (void)instance;
    *out = talloc_zero(parent, struct qs_queue);
    return *out ? QS_OK : qs_fail(error, QS_NOMEM, "out of memory");
}

static enum qs_status mta_next(struct qs_queue *queue, struct qs_entry *e, struct qs_error *error)
{
    (void)error;
    struct stat st;
    while (queue->walked < (size_t)NAMES * DIRECTORIES) {
        *e = (struct qs_entry){.id = names[queue->walked / DIRECTORIES], .dir = (uint32_t)(queue->walked % DIRECTORIES)};
        queue->walked++;
        if (lstat(mta_file(e), &st) == 0) {
            e->inode = st.st_ino;
            return QS_OK;
        }
    }
    return QS_END;
}

static enum qs_status mta_read(const struct qs_queue *queue, struct qs_entry *e, struct qs_reader *reader,
                               struct qs_envelope *out, struct qs_error *error)
{
    (void)queue;
    *out = (struct qs_envelope){.size = 1};
    return qs_file_open(reader->message, AT_FDCWD, mta_file(e), error);
}

static enum qs_status mta_content(const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader, size_t cap,
                                  struct qs_span *out, bool *whole, struct qs_error *error)
{
    (void)queue, (void)e, (void)reader, (void)cap, (void)error;
    *out = qs_span_of("x");
    *whole = true;
    return QS_OK;
}

static enum qs_lock_rule mta_lock_rule(const struct qs_queue *queue, const struct qs_entry *e)
{
    (void)queue;
    return e && e->dir == HANDS ? QS_LOCK_NONE : QS_LOCK_AFTER_CLAIM;
}

static enum qs_status mta_steps(TALLOC_CTX *parent, const struct qs_queue *queue, const struct qs_entry *e,
                                struct qs_reader *reader, const struct qs_envelope *envelope, const struct qs_surgery *what,
                                struct qs_step **list, size_t *count, struct qs_error *error)
{
    (void)queue, (void)reader, (void)envelope, (void)what, (void)error;
    *list = talloc_zero(parent, struct qs_step);
    **list = (struct qs_step){.kind = QS_STEP_MOVE, .to = talloc_asprintf(parent, "hold/%s", e->id),
                              .from = talloc_asprintf(parent, "%s/%s", directories[e->dir], e->id)};
    *count = 1;
    return QS_OK;
}

static const char *mta_root(const struct qs_queue *queue)
{
    (void)queue;
    static char path[100];
    snprintf(path, sizeof path, "%s/live", place);
    return path;
}

static const struct qs_format mta = {
    .name = "mta", .open = mta_open, .next = mta_next, .read = mta_read, .content = mta_content, .path = mta_path,
    .lock_rule = mta_lock_rule, .steps = mta_steps, .root = mta_root, .actions = 1 << QS_ACT_HOLD,
};

/* The same MTA, one that never gives a message another file: what is known by its file is not read. */
static enum qs_status no_read(const struct qs_queue *queue, struct qs_entry *e, struct qs_reader *reader, struct qs_envelope *out,
                              struct qs_error *error)
{
    (void)queue, (void)e, (void)reader, (void)out;
    return qs_fail(error, QS_IO, "it was read");
}

static const struct qs_format mta_unread = {
    .name = "mta", .open = mta_open, .next = mta_next, .read = no_read, .path = mta_path, .lock_rule = mta_lock_rule,
    .steps = mta_steps, .root = mta_root, .actions = 1 << QS_ACT_HOLD, .moves_only = 1 << QS_ACT_HOLD,
};

/* When the first message has been moved, the MTA takes one of those that wait. */
static bool takes_one(void *data, uint32_t done, uint32_t count)
{
    (void)count;
    if (done == 1 && !*(bool *)data) {
        assert_true(there("live/hold/two") && there("live/hands/one"));     /* what it had in its hands is left for later */
        assert_int_equal(rename(in_place("live/waits/three"), in_place("live/hands/three")), 0);
        *(bool *)data = true;
    }
    return true;
}

static struct qs_plan_item list[NAMES];

/* Makes the queue and a plan to hold all three. */
static struct qs_plan make_mail(bool by_file)
{
    static const char *const made[] = {"live", "live/waits", "live/hands", "live/hold", "state"};
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s/live %s/state", place, place);
    assert_int_equal(system(command), 0);
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        assert_int_equal(mkdir(in_place(made[i]), 0700), 0);
    for (uint32_t i = 0; i < NAMES; i++) {
        struct qs_entry e = {.id = names[i], .dir = i == 0 ? HANDS : WAITS};
        struct stat st;
        int64_t born = 0;
        put(mta_file(&e), "x", 1);
        assert_int_equal(qs_file_look(AT_FDCWD, mta_file(&e), &st, &born, &err), QS_OK);
        list[i] = (struct qs_plan_item){.id = names[i], .queue_name = directories[e.dir], .reason = "storm", .inode = st.st_ino,
                                        .size = 1, .dir = e.dir, .placed = true,
                                        .digest = by_file ? 0 : XXH3_64bits("x", 1), .born = by_file ? born : 0,
                                        .path = talloc_asprintf(root, "%s/%s", directories[e.dir], names[i])};
    }
    struct stat top;
    assert_int_equal(stat(mta_root(NULL), &top), 0);
    return (struct qs_plan){.host = "h", .mta = "mta", .device = top.st_dev, .instance = "mta", .queue_dir = mta_root(NULL), .tool = "1", .words = "all",
                            .made = 1, .action = QS_ACT_HOLD, .items = list, .count = NAMES, .bytes = NAMES};
}

static struct qs_run_result *hold_mail(const struct qs_plan *plan, const struct qs_format *format,
                                       bool (*keep_going)(void *, uint32_t, uint32_t), void *data)
{
    const struct qs_instance instance = {.format = format, .name = "mta", .queue_dir = plan->queue_dir};
    const struct qs_operate how = {.state_dir = in_place("state"), .archive_fd = -1, .now = 1, .keep_going = keep_going,
                                   .data = data};
    struct qs_run_result *result = NULL;
    struct qs_queue *queue = NULL;
    assert_int_equal(qs_prepare_queue(plan->queue_dir, getuid(), getgid(), &err), QS_OK);
    assert_int_equal(mta_open(root, &instance, &queue, &err), QS_OK);
    assert_int_equal(qs_apply(root, plan, &instance, queue, &how, &result, &err), QS_OK);
    return result;
}

static void check_moving_mail(const struct qs_format *format, bool by_file)
{
    bool taken = false;
    const struct qs_plan plan = make_mail(by_file);
    const struct qs_run_result *result = hold_mail(&plan, format, takes_one, &taken);
    assert_true(taken);
    assert_true(there("live/hold/one") && there("live/hold/two") && there("live/hold/three"));
    assert_int_equal(result->count[QS_DONE], NAMES);
    talloc_free_children(root);
}

static void test_moving_mail(void **state)
{
    (void)state;
    check_moving_mail(&mta, false);
    check_moving_mail(&mta_unread, true);
}

/* Another message has the ID, and maybe even the file, of one that was planned: it stays where it is. */
static void test_other_mail(void **state)
{
    (void)state;
    const struct qs_plan plan = make_mail(true);
    if (list[0].born == 0) {        /* a file system that does not say when a file was made */
        talloc_free_children(root);
        skip();
    }
    put(in_place("live/waits/new"), "y", 1);
    assert_int_equal(rename(in_place("live/waits/new"), in_place("live/waits/two")), 0);
    list[2].born--;
    const struct qs_run_result *result = hold_mail(&plan, &mta_unread, NULL, NULL);
    assert_true(there("live/hold/one") && there("live/waits/two") && there("live/waits/three"));
    assert_int_equal(result->count[QS_DONE], 1);
    assert_int_equal(result->count[QS_LEFT_CHANGED], 2);
    for (uint32_t i = 0; i < result->left_count; i++)
        assert_non_null(strstr(result->left[i].why, "another "));
    /* nor does a file number say anything on another file system */
    struct qs_plan elsewhere = make_mail(true);
    elsewhere.device++;
    result = hold_mail(&elsewhere, &mta, NULL, NULL);
    assert_int_equal(result->count[QS_LEFT_CHANGED], NAMES);
    assert_true(there("live/hands/one") && there("live/waits/two"));
    talloc_free_children(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fsops), cmocka_unit_test(test_new_file), cmocka_unit_test(test_perform),
        cmocka_unit_test(test_many_directories), cmocka_unit_test(test_twins), cmocka_unit_test(test_bring),
        cmocka_unit_test(test_plan), cmocka_unit_test(test_journal), cmocka_unit_test(test_skim),
        cmocka_unit_test(test_moving_mail), cmocka_unit_test(test_other_mail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

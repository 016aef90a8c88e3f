/*
 * tests/system/kill-write.c - a library to preload: a program dies at a chosen change of its files, or tells of all of them
 *
 * Each write, cut, punch and reservation is a point. The test counts them in a file that both map and says at which one the
 * process is killed: just before it, or when half of a write's sectors are there. With KILL_WRITE_LOG set every change and
 * every flush is written down with its data, in the order in which they happened.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SECTOR = 512 };

typedef struct Control {
        uint64_t kill_at; /* 0: never */
        uint64_t torn;
        uint64_t passed;
} Control;

typedef struct Record {
        uint64_t act; /* a letter */
        uint64_t inode, offset, length;
} Record;

static Control *control;
static pid_t process;
static int log_fd = -1;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
        const char *path = getenv("KILL_WRITE_FILE"), *log = getenv("KILL_WRITE_LOG");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0)
                return;
        control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (control == MAP_FAILED)
                control = NULL;
        close(fd);
        log_fd = log ? open(log, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
        process = getpid();
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* kill() is not among the calls of a program that has confined itself. */
static void die(void)
{
        syscall(SYS_tgkill, getpid(), gettid(), SIGKILL);
        for (;;)
                pause();
}

/* Whether this is the change at which the process dies. */
static int is_last(void)
{
        return __atomic_add_fetch(&control->passed, 1, __ATOMIC_SEQ_CST) == control->kill_at;
}

static int counts(void)
{
        return control && getpid() == process;
}

static void tell(char act, int fd, uint64_t offset, uint64_t length, const void *data)
{
        Record record = { .act = (uint64_t)act, .offset = offset, .length = length };
        struct stat st;
        int was = errno;

        if (log_fd < 0)
                return;
        if (fstat(fd, &st) == 0)
                record.inode = st.st_ino;
        if (write(log_fd, &record, sizeof(record)) != sizeof(record) ||
            (data && write(log_fd, data, length) != (ssize_t)length))
                abort();
        errno = was;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
        ssize_t put;

        if (!counts())
                return NEXT(pwrite)(fd, data, n, offset);
        pthread_mutex_lock(&order);
        if (is_last()) {
                if (control->torn && n > SECTOR)
                        NEXT(pwrite)(fd, data, n / 2 / SECTOR * SECTOR, offset);
                die();
        }
        put = NEXT(pwrite)(fd, data, n, offset);
        if (put > 0)
                tell('w', fd, (uint64_t)offset, (uint64_t)put, data);
        pthread_mutex_unlock(&order);
        return put;
}

int ftruncate(int fd, off_t size)
{
        int r;

        if (!counts())
                return NEXT(ftruncate)(fd, size);
        pthread_mutex_lock(&order);
        if (is_last())
                die();
        r = NEXT(ftruncate)(fd, size);
        if (r == 0)
                tell('t', fd, (uint64_t)size, 0, NULL);
        pthread_mutex_unlock(&order);
        return r;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
        int r;

        if (!counts())
                return NEXT(fallocate)(fd, mode, offset, length);
        pthread_mutex_lock(&order);
        if (is_last())
                die();
        r = NEXT(fallocate)(fd, mode, offset, length);
        if (r == 0)
                tell(mode & FALLOC_FL_KEEP_SIZE ? 'z' : 'g', fd, (uint64_t)offset, (uint64_t)length, NULL);
        pthread_mutex_unlock(&order);
        return r;
}

int fdatasync(int fd)
{
        int r;

        if (!counts())
                return NEXT(fdatasync)(fd);
        pthread_mutex_lock(&order);
        r = NEXT(fdatasync)(fd);
        if (r == 0)
                tell('f', fd, 0, 0, NULL);
        pthread_mutex_unlock(&order);
        return r;
}

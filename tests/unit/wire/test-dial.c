#include "test.h"

#include "base/str.h"
#include "wire/dial.h"
#include "wire/transport.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Result {
        Fd fd;
        bool done;
        Error failure;
} Result;

static void result_done(Result *result)
{
        fd_close(&result->fd);
        err_done(&result->failure);
}
DEFINE_AUTO_VALUE(Result, result_done)

static void on_done(void *arg, Fd fd, const Error *failure)
{
        Result *result = arg;

        result->done = true;
        result->fd = fd;
        if (failure)
                err_copy(&result->failure, failure);
}

static Dial *dial_and_wait(Loop *loop, const Uri *uri, Result *result)
{
        Dial *dial = dial_new(loop, uri, &(DialOptions){ 0 }, on_done, result);

        CHECK(!result->done);
        while (!result->done)
                CHECK(loop_turn(loop, 10000, NULL) > 0);
        return dial;
}

static void check_failure(const char *text, const char *complaint)
{
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Uri) *uri = uri_parse(text, NULL);
        AUTO(Result) result = { .fd = -1 };
        AUTO(Dial) *dial = dial_and_wait(loop, uri, &result);

        CHECK(dial);
        CHECK_INT(result.fd, -1);
        if (!strstr(result.failure.text, complaint))
                CHECK_STR(result.failure.text, complaint);
}

static Fd listen_tcp(int *ret_port)
{
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof(at);
        Fd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        CHECK_INT(bind(fd, (struct sockaddr *)&at, len), 0);
        CHECK_INT(listen(fd, 5), 0);
        CHECK_INT(getsockname(fd, (struct sockaddr *)&at, &len), 0);
        *ret_port = ntohs(at.sin_port);
        return fd;
}

TEST(tcp_reaches_addresses_and_names) /* REM-11, REM-12 */
{
        static const char *const hosts[] = { "127.0.0.1", "localhost" };
        int port;
        AUTO(Fd) listening = listen_tcp(&port);

        for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
                AUTO(Loop) *loop = loop_new(NULL);
                AUTOFREE char *text = str_format("test+tcp://%s:%d/default", hosts[i], port);
                AUTO(Uri) *uri = uri_parse(text, NULL);
                AUTO(Result) result = { .fd = -1 };
                AUTO(Dial) *dial = dial_and_wait(loop, uri, &result);

                CHECK(dial);
                CHECK(result.fd >= 0);
        }
}

TEST(what_cannot_be_reached_is_told)
{
        int port;
        Fd listening = listen_tcp(&port);
        AUTOFREE char *refused = str_format("test+tcp://127.0.0.1:%d/default", port);

        fd_close(&listening);
        check_failure(refused, "Connection refused; is the daemon running?");
        check_failure("test+tcp://no-such-host.invalid/default", "'no-such-host.invalid' cannot be resolved");
        check_failure("test+unix:///default?socket=/nonexistent/sock", "cannot connect to '/nonexistent/sock'");
        check_failure("qemu+tls://h/system", "TLS connections are not built in yet");
        check_failure("qemu+ext:///system?command=/nonexistent/program", "cannot run '/nonexistent/program'");
}

TEST(a_unix_socket_is_reached_by_its_path) /* REM-15 */
{
        AUTO(Loop) *loop = loop_new(NULL);
        char dir[] = "/tmp/test-dial-XXXXXX";
        struct sockaddr_un at = { .sun_family = AF_UNIX };
        AUTO(Fd) listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        AUTO(Uri) *uri = NULL;
        AUTO(Result) result = { .fd = -1 };
        AUTO(Dial) *dial = NULL;
        AUTOFREE char *text = NULL;

        CHECK(mkdtemp(dir));
        snprintf(at.sun_path, sizeof(at.sun_path), "%s/a b", dir);
        CHECK_INT(bind(listening, (struct sockaddr *)&at, sizeof(at)), 0);
        CHECK_INT(listen(listening, 5), 0);
        text = str_format("test+unix:///default?socket=%s%%2Fa%%20b", dir);
        uri = uri_parse(text, NULL);
        dial = dial_and_wait(loop, uri, &result);
        CHECK(result.fd >= 0);
        unlink(at.sun_path);
        rmdir(dir);
}

/* A program that takes ssh's place. */
static char *make_program(const char *dir, const char *script)
{
        char *path = str_format("%s/program", dir);
        FILE *file = fopen(path, "w");

        fprintf(file, "#!/bin/sh\n%s\n", script);
        fclose(file);
        chmod(path, 0755);
        return path;
}

TEST(a_program_carries_the_stream_and_its_complaint_is_passed_on) /* REM-08 to REM-10, REM-14 */
{
        char dir[] = "/tmp/test-dial-XXXXXX", answer[256] = "";
        AUTO(Loop) *loop = loop_new(NULL);
        AUTO(Error) why = { 0 };
        AUTO(Result) result = { .fd = -1 };
        AUTOFREE char *program = NULL, *text = NULL;
        AUTO(Uri) *uri = NULL;
        AUTO(Dial) *dial = NULL;
        size_t got = 0;

        CHECK(mkdtemp(dir));
        program = make_program(dir,
                               "read line; echo \"$line $1 $2 $3 $4 $5\"; echo noise >&2; echo 'no route to h' >&2");
        text = str_format("qemu+ssh://u@h:22/system?command=%s&no_tty=1", program);
        uri = uri_parse(text, NULL);
        dial = dial_and_wait(loop, uri, &result);
        CHECK(result.fd >= 0);
        CHECK_INT(write(result.fd, "hello\n", 6), 6);
        for (;;) {
                ssize_t n = read(result.fd, answer + got, sizeof(answer) - 1 - got);

                if (n == 0)
                        break;
                if (n > 0)
                        got += (size_t)n;
                else
                        CHECK(loop_turn(loop, 10, NULL) >= 0);
        }
        CHECK_STR(answer, "hello -p 22 -l u -T\n");
        err_set(&why, ERR_RPC, "the peer closed the connection");
        dial_explain(dial, &why);
        CHECK(str_starts(why.text, "the connection through '/tmp/"));
        CHECK(str_ends(why.text, "/program' ended: no route to h"));
        unlink(program);
        rmdir(dir);
}

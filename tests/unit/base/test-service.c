#include "test.h"

#include "base/fd.h"
#include "base/service.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void pass(pid_t pid, const char *count, const char *names)
{
        AUTOFREE char *text = str_format("%d", pid);

        setenv("LISTEN_PID", text, 1);
        setenv("LISTEN_FDS", count, 1);
        setenv("LISTEN_FDNAMES", names, 1);
}

TEST(sockets_count_only_for_the_process_that_they_were_passed_to)
{
        unsetenv("LISTEN_PID");
        CHECK_INT(service_count_sockets(), 0);
        pass(getpid(), "2", "");
        CHECK_INT(service_count_sockets(), 2);
        pass(getpid() + 1, "2", "");
        CHECK_INT(service_count_sockets(), 0);
        pass(getpid(), "many", "");
        CHECK_INT(service_count_sockets(), 0);
        pass(getpid(), "-1", "");
        CHECK_INT(service_count_sockets(), 0);
}

TEST(sockets_have_the_names_that_were_passed_with_them)
{
        static const struct {
                const char *names;
                const char *expected[3];
        } cases[] = { { "a:bc-ro:d", { "a", "bc-ro", "d" } },
                      { "a", { "a", "", "" } },
                      { "a::d", { "a", "", "d" } },
                      { "", { "", "", "" } } };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                pass(getpid(), "3", cases[i].names);
                for (uint32_t n = 0; n < 3; n++) {
                        AUTOFREE char *name = service_socket_name(n);

                        CHECK_STR(name, cases[i].expected[n]);
                }
        }
}

/* Bind a datagram socket to a name as NOTIFY_SOCKET writes it. */
static Fd bind_to(const char *name)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        AUTO(Fd) fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        memcpy(address.sun_path, name, strlen(name));
        if (*name == '@')
                address.sun_path[0] = '\0';
        CHECK_INT(bind(fd, (struct sockaddr *)&address,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                  0);
        setenv("NOTIFY_SOCKET", name, 1);
        return fd_take(&fd);
}

TEST(a_manager_hears_what_it_is_told_with_and_without_a_file)
{
        char dir[] = "/tmp/drover-service-XXXXXX";
        AUTOFREE char *path = NULL, *abstract = NULL;

        CHECK(mkdtemp(dir));
        path = str_format("%s/notify", dir);
        abstract = str_format("@drover-service-%d", getpid());
        for (int i = 0; i < 2; i++) {
                AUTO(Fd) fd = bind_to(i ? abstract : path);
                char said[32] = "";

                CHECK_INT(service_notify("READY=1", NULL), 0);
                CHECK_INT(recv(fd, said, sizeof(said), 0), 7);
                CHECK_STR(said, "READY=1");
        }
        CHECK_INT(unlink(path), 0);
        CHECK_INT(rmdir(dir), 0);
}

TEST(without_a_manager_nobody_is_told_and_one_that_is_not_there_is_an_error)
{
        AUTO(Error) err = { 0 };

        unsetenv("NOTIFY_SOCKET");
        CHECK_INT(service_notify("READY=1", &err), 0);
        setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
        CHECK_INT(service_notify("READY=1", &err), -1);
        CHECK_STR(err.text, "cannot tell '/no/such/socket' that READY=1: No such file or directory");
        setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
        CHECK_INT(service_notify("READY=1", &err), -1);
        CHECK_STR(err.text, "NOTIFY_SOCKET: 'vsock:2:1' is not the name of a socket");
}

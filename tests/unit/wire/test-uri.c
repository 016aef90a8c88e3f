#include "test.h"

#include "base/str.h"
#include "wire/uri.h"

#include <string.h>

TEST(uris_split_into_their_fields) /* REM-01 to REM-04, REM-12, REM-13, REM-20 */
{
        static const struct {
                const char *text, *driver;
                UriTransport transport;
                const char *user, *host;
                int port;
                const char *path, *name;
        } cases[] = {
                { "qemu:///system", "qemu", URI_UNIX, NULL, NULL, 0, "/system", "qemu:///system" },
                { "test:///default", "test", URI_UNIX, NULL, NULL, 0, "/default", "test:///default" },
                { "qemu+tcp:///system", "qemu", URI_TCP, NULL, "localhost", 0, "/system", "qemu:///system" },
                { "qemu://towada/system", "qemu", URI_TLS, NULL, "towada", 0, "/system", "qemu:///system" },
                { "xen://towada/", "xen", URI_TLS, NULL, "towada", 0, "/", "xen:///" },
                { "xen://towada/?no_verify=1", "xen", URI_TLS, NULL, "towada", 0, "/", "xen:///" },
                { "xen+ssh://ccurran@towada/", "xen", URI_SSH, "ccurran", "towada", 0, "/", "xen:///" },
                { "qemu+ssh://towada/system", "qemu", URI_SSH, NULL, "towada", 0, "/system", "qemu:///system" },
                { "test+tcp://10.1.1.10:5000/default", "test", URI_TCP, NULL, "10.1.1.10", 5000, "/default",
                  "test:///default" },
                { "qemu+tcp://[fe80::1%25eth0]:7/system", "qemu", URI_TCP, NULL, "fe80::1%eth0", 7, "/system",
                  "qemu:///system" },
                { "qemu+tcp://[::1]/system", "qemu", URI_TCP, NULL, "::1", 0, "/system", "qemu:///system" },
                { "qemu+ssh://a%40b@h:/system", "qemu", URI_SSH, "a@b", "h", 0, "/system", "qemu:///system" },
                { "qemu+unix:///system?socket=%2Ftmp%2Fa%20b", "qemu", URI_UNIX, NULL, NULL, 0, "/system",
                  "qemu:///system" },
                { "qemu+ext:///system?command=/bin/x&foo=1", "qemu", URI_EXT, NULL, NULL, 0, "/system",
                  "qemu:///system?foo=1" },
                { "qemu+tcp://h/x?name=qemu:///system", "qemu", URI_TCP, NULL, "h", 0, "/x", "qemu:///system" },
                { "qemu+tcp://h/x%20y?foo=%41&mode=auto&bar", "qemu", URI_TCP, NULL, "h", 0, "/x y",
                  "qemu:///x%20y?foo=%41&bar" },
                { "qemu+tcp://h", "qemu", URI_TCP, NULL, "h", 0, "", "qemu://" },
                { "", NULL, URI_UNIX, NULL, NULL, 0, NULL, "" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Error) err = { 0 };
                AUTO(Uri) *uri = uri_parse(cases[i].text, &err);

                CHECK_STR(err.text ?: "accepted", "accepted");
                CHECK_STR(uri->driver ?: "none", cases[i].driver ?: "none");
                CHECK_STR(uri_transport_name(uri->transport), uri_transport_name(cases[i].transport));
                CHECK_STR(uri->user ?: "none", cases[i].user ?: "none");
                CHECK_STR(uri->host ?: "none", cases[i].host ?: "none");
                CHECK_INT(uri->port, cases[i].port);
                CHECK_STR(uri->path ?: "none", cases[i].path ?: "none");
                CHECK_STR(uri->name, cases[i].name);
        }
}

TEST(parameters_are_for_the_client) /* REM-14 to REM-19 */
{
        AUTO(Error) err = { 0 };
        AUTO(Uri) *uri = uri_parse(
                "qemu+ssh://h/system?command=/opt/bin/ssh&socket=%2Ftmp%2Fa%20b&netcat=/opt/nc&no_tty=1"
                "&no_verify=1&keyfile=/k&proxy=native&mode=legacy&sshauth=agent&known_hosts=/x",
                &err);

        CHECK_STR(uri->command, "/opt/bin/ssh");
        CHECK_STR(uri->socket, "/tmp/a b");
        CHECK_STR(uri->netcat, "/opt/nc");
        CHECK_STR(uri->keyfile, "/k");
        CHECK(uri->no_tty && uri->no_verify);
        CHECK_INT(uri->proxy, URI_PROXY_NATIVE);
        CHECK_INT(uri->mode, URI_MODE_LEGACY);
        CHECK_STR(uri->name, "qemu:///system");
}

TEST(uris_that_cannot_be_are_refused_with_a_reason) /* REM-04, REM-10 */
{
        static const struct {
                const char *text, *complaint;
        } cases[] = {
                { "system", "is not a connection URI" },
                { "qemu:/system", "is not a connection URI" },
                { "://h/", "is not a connection URI" },
                { "qe mu:///system", "name of a driver" },
                { "qemu+carrier://h/system", "unknown transport 'carrier'" },
                { "qemu+libssh2://h/system", "use ssh" },
                { "qemu+ext:///system", "needs the parameter 'command'" },
                { "qemu+unix://h/system", "no other host" },
                { "qemu+tcp://h:0/system", "'0' is not a port" },
                { "qemu+tcp://h:65536/system", "is not a port" },
                { "qemu+tcp://h:x/system", "is not a port" },
                { "qemu+tcp://[::1/system", "no closing ']'" },
                { "qemu+tcp://[::1]x/system", "is not a port" },
                { "qemu+ssh://-oProxyCommand=x/system", "is not a host name" },
                { "qemu+ssh://-l@h/system", "is not a user name" },
                { "qemu+tcp://h/sys%2", "broken % escape" },
                { "qemu+tcp://h/sys%00", "broken % escape" },
                { "qemu:///system?socket=%zz", "broken % escape" },
                { "qemu:///system?no_tty=maybe", "cannot be 'maybe'" },
                { "qemu:///system?proxy=squid", "cannot be 'squid'" },
                { "qemu:///syst\xff", "not UTF-8" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Error) err = { 0 };

                CHECK_NULL(uri_parse(cases[i].text, &err));
                CHECK_INT(err.code, ERR_INVALID_ARG);
                if (!strstr(err.text, cases[i].complaint))
                        CHECK_STR(err.text, cases[i].complaint);
        }
}
